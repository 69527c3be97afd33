//! Rules over the whole workspace, checked as ordinary tests.

mod imports;
mod licences;
mod tidy;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use cargo_metadata::{CargoOpt, Metadata, MetadataCommand, Package, PackageId};

/// The workspace root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What cargo resolved, with every feature of ours on.
fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .features(CargoOpt::AllFeatures)
        .exec()
        .unwrap_or_else(|error| panic!("cargo metadata: {error}"))
}

/// All packages by id.
fn by_id(metadata: &Metadata) -> BTreeMap<&PackageId, &Package> {
    metadata.packages.iter().map(|package| (&package.id, package)).collect()
}
