//! What several modules need.

use std::collections::BTreeMap;
use std::path::Path;

use data_encoding::BASE64;
use serde_json::Value;

/// Whether the long forms are wanted: `cargo xtask test --full`.
pub(crate) fn full() -> bool {
    std::env::var_os("KEZ_FULL").is_some_and(|value| value == "1")
}

/// `long` in the long form, otherwise `short`.
pub(crate) fn short_or_full(short: usize, long: usize) -> usize {
    if full() { long } else { short }
}

/// The vectors of a folder below `vectors/`, by file name. An empty folder is a mistake.
pub(crate) fn vectors(folder: &str) -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(folder);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let read = |file: std::io::Result<std::fs::DirEntry>| {
        let file = file.expect("a file");
        let text = std::fs::read(file.path()).expect("a readable file");
        let name = file.file_name().into_string().expect("a name in UTF-8");
        (name, serde_json::from_slice(&text).expect("JSON"))
    };
    let vectors: BTreeMap<_, _> = files.map(read).collect();
    assert!(!vectors.is_empty(), "no vectors in {}", folder.display());
    vectors
}

/// The bytes of a member `…_base64`.
pub(crate) fn base64(value: &Value) -> Vec<u8> {
    BASE64.decode(value.as_str().expect("text").as_bytes()).expect("base64")
}
