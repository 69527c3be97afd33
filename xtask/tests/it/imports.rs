//! Who may import whom.

use std::collections::BTreeSet;
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, Package};

use crate::{by_id, metadata, root};

/// Our crates, and which of ours each may depend on. The development dependency kez-testkit is open to all.
/// Crates that are still to come have their row already.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("kez-core", &[]),
    ("kez-e2e", &["kez-core"]),
    ("kez-nats-auth", &["kez-core"]),
    ("kez-serve", &["kez-core"]),
    ("kez-sig-server", &["kez-core", "kez-serve"]),
    ("kez-client", &["kez-core", "kez-e2e", "kez-nats-auth"]),
    ("kez-cli", &["kez-client", "kez-core", "kez-e2e"]),
    ("kez-wasm", &["kez-core", "kez-e2e"]),
    ("web-assets", &[]),
    ("kez-chat-server", &["kez-core", "kez-nats-auth", "kez-serve", "kez-sig-server", "web-assets"]),
    (
        "kez-testkit",
        &[
            "kez-chat-server",
            "kez-client",
            "kez-core",
            "kez-nats-auth",
            "kez-serve",
            "kez-sig-server",
            "web-assets",
        ],
    ),
    ("kez-bench", &["kez-core", "kez-serve"]),
    ("xtask", &[]),
];

/// Only as a development dependency.
const TESTKIT: &str = "kez-testkit";

/// Crates that read the clock, chance, files or the network, or that need them to.
const AMBIENT: &[&str] =
    &["getrandom", "rand", "tokio", "mio", "socket2", "hyper", "reqwest", "rusqlite", "rustix"];

#[test]
fn crates_import_only_what_their_row_allows() {
    let metadata = metadata();
    let ours: BTreeSet<&str> =
        metadata.workspace_packages().iter().map(|package| package.name.as_str()).collect();
    let mut broken = Vec::new();
    for package in metadata.workspace_packages() {
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == package.name.as_str()) else {
            broken.push(format!("{} has no row in MAY_IMPORT", package.name));
            continue;
        };
        for dependency in
            package.dependencies.iter().filter(|dependency| ours.contains(dependency.name.as_str()))
        {
            let name = dependency.name.as_str();
            let for_tests = name == TESTKIT && dependency.kind == DependencyKind::Development;
            if !for_tests && !allowed.contains(&name) {
                broken.push(format!("{} must not import {name} ({})", package.name, dependency.kind));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_server_can_never_decrypt() {
    let metadata = metadata();
    let reached = linked_into(&metadata, "kez-chat-server");
    for engine in ["kez-e2e", "openmls"] {
        assert!(!reached.contains(engine), "kez-chat-server must not reach {engine}");
    }
}

#[test]
fn the_core_has_no_clock_chance_or_network() {
    let reached = linked_alone("kez-core");
    assert!(reached.contains("ed25519-dalek"), "the walk over the graph found nothing");
    let ambient: Vec<&&str> = AMBIENT.iter().filter(|name| reached.contains(**name)).collect();
    assert!(ambient.is_empty(), "kez-core must not reach {ambient:?}");
}

/// Every package that ordinary dependencies of `name` reach on any platform when nothing else is built with it, with
/// every feature of `name` on.
///
/// `cargo metadata` knows only the features of the whole workspace, in which the MLS library of the tests asks shared
/// crates for random numbers.
fn linked_alone(name: &str) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = Command::new(cargo)
        .current_dir(root())
        .args(["tree", "--package", name, "--edges", "normal", "--target", "all", "--all-features"])
        .args(["--prefix", "none", "--format", "{p}"])
        .output()
        .unwrap_or_else(|error| panic!("cargo tree: {error}"));
    assert!(tree.status.success(), "cargo tree: {}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8_lossy(&tree.stdout);
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// Every package that ordinary dependencies of `name` reach on any platform.
fn linked_into(metadata: &Metadata, name: &str) -> BTreeSet<String> {
    let packages = by_id(metadata);
    let nodes = metadata.resolve.as_ref().map(|resolve| resolve.nodes.as_slice()).unwrap_or_default();
    let start = metadata.workspace_packages().into_iter().find(|package| package.name.as_str() == name);
    let mut waiting: Vec<&Package> = start.into_iter().collect();
    let mut reached = BTreeSet::new();
    let mut seen = BTreeSet::new();
    while let Some(package) = waiting.pop() {
        if !seen.insert(&package.id) {
            continue;
        }
        reached.insert(package.name.to_string());
        let node = nodes.iter().find(|node| node.id == package.id);
        let edges = node.into_iter().flat_map(|node| &node.deps);
        let ordinary =
            edges.filter(|edge| edge.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
        waiting.extend(ordinary.filter_map(|edge| packages.get(&edge.pkg).copied()));
    }
    reached
}
