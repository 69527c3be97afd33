//! deny.toml, read by ourselves: its licence and ban rules hold also where cargo-deny is not installed.

use std::{collections::BTreeMap, fs};

use toml::{Table, Value};

use crate::{metadata, root};

/// Where crates.io packages come from, as cargo writes it.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn every_dependency_has_an_allowed_licence() {
    let rules = deny_toml();
    let allowed = strings(&rules["licenses"]["allow"]);
    let by_name: BTreeMap<&str, Vec<&str>> = tables(&rules["licenses"]["exceptions"])
        .map(|exception| (text(&exception["crate"]), strings(&exception["allow"])))
        .collect();
    let metadata = metadata();
    let mut refused = Vec::new();
    for package in &metadata.packages {
        let exceptions = by_name.get(package.name.as_str()).map(Vec::as_slice).unwrap_or_default();
        let permitted = |licence: &str| allowed.contains(&licence) || exceptions.contains(&licence);
        let expression = package.license.as_deref().unwrap_or("(none)");
        if !satisfied(expression, &permitted) {
            refused.push(format!("{} {}: {expression}", package.name, package.version));
        }
    }
    assert!(refused.is_empty(), "not on the list of deny.toml: {refused:#?}");
}

#[test]
fn nothing_banned_is_in_the_graph() {
    let rules = deny_toml();
    let banned: Vec<&str> = tables(&rules["bans"]["deny"]).map(|ban| text(&ban["crate"])).collect();
    assert!(
        banned.contains(&"aws-lc-rs") && banned.contains(&"aws-lc-sys") && banned.contains(&"openssl-sys")
    );
    let metadata = metadata();
    let names = metadata.packages.iter().map(|package| package.name.as_str());
    let found: Vec<&str> = names.filter(|name| banned.contains(name)).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn no_banned_feature_is_on() {
    let rules = deny_toml();
    let metadata = metadata();
    let nodes = metadata.resolve.as_ref().map(|resolve| resolve.nodes.as_slice()).unwrap_or_default();
    let mut checked = 0;
    for ban in tables(&rules["bans"]["features"]) {
        let (name, features) = (text(&ban["crate"]), strings(&ban["deny"]));
        for package in metadata.packages.iter().filter(|package| package.name.as_str() == name) {
            let node = nodes.iter().find(|node| node.id == package.id);
            for feature in node.into_iter().flat_map(|node| &node.features) {
                assert!(!features.contains(&feature.as_str()), "{name} has {feature}: {:?}", ban["reason"]);
                checked += 1;
            }
        }
    }
    assert!(checked > 0, "no package of a [[bans.features]] rule is in the graph");
}

#[test]
fn every_package_comes_from_crates_io() {
    let metadata = metadata();
    for package in &metadata.packages {
        let Some(source) = &package.source else { continue };
        assert_eq!(source.repr, CRATES_IO, "{}", package.name);
    }
}

fn deny_toml() -> Table {
    let path = root().join("deny.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("deny.toml: {error}"))
}

fn tables(value: &Value) -> impl Iterator<Item = &Table> {
    value.as_array().into_iter().flatten().filter_map(Value::as_table)
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value:?}"))
}

/// Whether an SPDX expression can be fulfilled with permitted licences: `AND` binds tighter than `OR`, `WITH`
/// belongs to its licence, and the old `MIT/Apache-2.0` means `OR`. What cannot be read is refused.
fn satisfied(expression: &str, permitted: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest, permitted) == Some(true) && rest.is_empty()
}

fn either(rest: &mut &[&str], permitted: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut value = both(rest, permitted)?;
    while let ["OR", after @ ..] = *rest {
        *rest = after;
        value |= both(rest, permitted)?;
    }
    Some(value)
}

fn both(rest: &mut &[&str], permitted: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut value = single(rest, permitted)?;
    while let ["AND", after @ ..] = *rest {
        *rest = after;
        value &= single(rest, permitted)?;
    }
    Some(value)
}

fn single(rest: &mut &[&str], permitted: &dyn Fn(&str) -> bool) -> Option<bool> {
    match *rest {
        ["(", after @ ..] => {
            *rest = after;
            let value = either(rest, permitted)?;
            let [")", after @ ..] = *rest else { return None };
            *rest = after;
            Some(value)
        }
        [licence, "WITH", exception, after @ ..] => {
            *rest = after;
            Some(permitted(&format!("{licence} WITH {exception}")))
        }
        [licence, after @ ..] if !matches!(*licence, ")" | "AND" | "OR" | "WITH") => {
            *rest = after;
            Some(permitted(licence))
        }
        _ => None,
    }
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    let permitted = |licence: &str| matches!(licence, "MIT" | "ISC" | "Apache-2.0 WITH LLVM-exception");
    for fine in [
        "MIT",
        "GPL-3.0-only OR MIT",
        "GPL-3.0-only/MIT",
        "MIT AND ISC",
        "GPL-3.0-only AND ISC OR MIT",
        "(GPL-3.0-only OR MIT) AND ISC",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(satisfied(fine, &permitted), "{fine}");
    }
    for wrong in [
        "",
        "(none)",
        "GPL-3.0-only",
        "MIT AND GPL-3.0-only",
        "(MIT OR ISC) AND GPL-3.0-only",
        "MIT ISC",
        "MIT OR",
        "(MIT",
        "Apache-2.0",
        "MIT WITH LLVM-exception",
    ] {
        assert!(!satisfied(wrong, &permitted), "{wrong}");
    }
}
