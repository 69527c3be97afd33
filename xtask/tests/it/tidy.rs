//! Rules on our Rust files that no lint covers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::root;

/// A longer file holds more than one thing.
const LINES_MAX: usize = 900;

/// Where our Rust files are.
const PLACES: &[&str] = &["src", "tests", "benches", "examples", "crates", "xtask"];

#[test]
fn nothing_is_left_undone_or_ignored() {
    // Put together here, or this file would be the first finding.
    let words = [["to", "do!"], ["unimple", "mented!"], ["#[ign", "ore"]].map(|parts| parts.concat());
    let mut findings = Vec::new();
    for (path, text) in rust_files() {
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(word.as_str())) {
                findings.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = rust_files()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "more than {LINES_MAX} lines: {long:#?}");
}

fn rust_files() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for place in PLACES {
        collect(&root().join(place), &mut files);
    }
    assert!(files.iter().any(|(path, _)| path.ends_with("tidy.rs")), "this file is one of ours");
    files
}

fn collect(path: &Path, files: &mut Vec<(PathBuf, String)>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            if entry.file_name() != "target" {
                collect(&entry.path(), files);
            }
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        files.push((path.to_path_buf(), text));
    }
}
