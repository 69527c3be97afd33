//! Everything a server has stored, to be compared.

use std::fmt::Write as _;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use crate::net::Net;

impl Net {
    /// Every row of every table of the server's file as text: the same, as long as nothing was written. But for the time,
    /// which the server notes by itself.
    pub fn contents(&self) -> String {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let db = Connection::open_with_flags(self.args().db, flags).expect("the file opens");
        let db = db.unchecked_transaction().expect("a snapshot");
        let mut names = db
            .prepare(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'noted_time' ORDER BY name",
            )
            .expect("a statement");
        let names: Vec<String> =
            names.query_map([], |row| row.get(0)).and_then(Iterator::collect).expect("the names of tables");
        names.iter().fold(String::new(), |text, name| text + &table(&db, name))
    }
}

fn table(db: &Connection, name: &str) -> String {
    let mut statement = db.prepare(&format!("SELECT * FROM \"{name}\"")).expect("a table");
    let columns = statement.column_count();
    let mut rows = statement.query([]).expect("rows");
    let mut lines = Vec::new();
    while let Some(row) = rows.next().expect("a row") {
        let mut line = name.to_owned();
        for column in 0..columns {
            let value = row.get_ref(column).expect("a value");
            let written = match value {
                ValueRef::Text(text) => write!(line, " {}", String::from_utf8_lossy(text)),
                other => write!(line, " {other:?}"),
            };
            written.expect("a String");
        }
        lines.push(line + "\n");
    }
    lines.sort_unstable();
    lines.concat()
}
