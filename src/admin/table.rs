//! Text in columns.

use std::io::{self, Write};

/// Where the text of a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Rows below a head, each column as wide as its widest cell.
#[derive(Debug)]
pub(super) struct Table<const COLUMNS: usize> {
    aligned: [Align; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub(super) fn new(head: [(&str, Align); COLUMNS]) -> Self {
        Self { aligned: head.map(|(_, align)| align), rows: vec![head.map(|(name, _)| name.to_owned())] }
    }

    pub(super) fn row(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells);
    }

    pub(super) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let mut widths = [0; COLUMNS];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for row in &self.rows {
            let cells = row.iter().zip(self.aligned).zip(widths).map(|((cell, align), width)| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            });
            writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// Bytes in the largest unit of which there is one, with a tenth: `22 B`, `1.5 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    let units = [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        None => format!("{bytes} B"),
        Some((name, unit)) => {
            let tenths = u128::from(bytes % unit) * 10 / u128::from(unit);
            format!("{}.{tenths} {name}", bytes / unit)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_cut_to_a_tenth() {
        let sizes = [0, 1_023, 1_024, 1_535, 1_536, (1 << 20) - 1, 1 << 40, u64::MAX].map(size);
        let expected =
            ["0 B", "1023 B", "1.0 KiB", "1.4 KiB", "1.5 KiB", "1023.9 KiB", "1.0 TiB", "16777215.9 TiB"];
        assert_eq!(sizes, expected);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_with_text() {
        let mut table = Table::new([("name", Align::Left), ("count", Align::Right), ("", Align::Left)]);
        table.row(["é".to_owned(), "7".to_owned(), String::new()]);
        table.row(["longer".to_owned(), "1234567".to_owned(), "x".to_owned()]);
        let mut text = Vec::new();
        table.print(&mut text).unwrap();
        let expected = "name      count\né             7\nlonger  1234567  x\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
