//! Vectors of what this crate keeps to itself; the others are read in `tests/vectors.rs`.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Calls `check` with each file of `vectors/<topic>/<side>` and its name.
pub(crate) fn each<T: DeserializeOwned>(topic: &str, side: &str, check: impl Fn(&str, T)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors").join(topic).join(side);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        check(&file.to_string_lossy(), serde_json::from_slice(&fs::read(&file).unwrap()).unwrap());
    }
}
