//! Checks on what we write: links between our files resolve, every decision is in the index, and nothing names a
//! place that exists on one machine only.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::{counts::Counts, failure::Failure, process::Log, project::Project};

/// Directories that hold nothing of ours.
const NOT_OURS: &[&str] = &["target", ".git", "node_modules", "dist"];

/// The step: each document is one test, and so is the search for paths.
pub(crate) fn step(project: &Project, log: &mut Log) -> Result<Counts, Failure> {
    let files = files_below(&project.root)?;
    let mut counts = Counts::default();
    for file in files.iter().filter(|file| is_markdown(file)) {
        let text = fs::read_to_string(file).map_err(Failure::file(file))?;
        let findings = broken_links(file, &text);
        counts += tell(log, &project.root, file, &findings)?;
    }
    let decisions = project.root.join("docs").join("adr");
    if decisions.is_dir() {
        let index = decisions.join("README.md");
        counts += tell(log, &project.root, &index, &unindexed(&decisions, &index))?;
    }
    let foreign = foreign_paths(project);
    let mut found = Counts::one(true);
    for file in &files {
        // What is not text has no words to judge.
        let Ok(text) = fs::read_to_string(file) else { continue };
        for (number, line) in text.lines().enumerate() {
            if let Some(path) = foreign.iter().find(|path| line.contains(path.as_str())) {
                let place = file.strip_prefix(&project.root).unwrap_or(file).display();
                log.note(&format!("{place}:{}: names {path}, which exists on one machine only", number + 1))?;
                found = Counts::one(false);
            }
        }
    }
    counts += found;
    Ok(counts)
}

fn tell(log: &mut Log, root: &Path, file: &Path, findings: &[String]) -> Result<Counts, Failure> {
    for finding in findings {
        log.note(&format!("{}: {finding}", file.strip_prefix(root).unwrap_or(file).display()))?;
    }
    Ok(Counts::one(findings.is_empty()))
}

/// All files of the checkout, in order.
fn files_below(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    let mut directories = vec![root.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).map_err(Failure::file(&directory))?.flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_file() {
                files.push(path);
            } else if kind.is_dir() && !NOT_OURS.iter().any(|name| path.ends_with(name)) {
                directories.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn is_markdown(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "md")
}

/// Beginnings of paths that say where somebody works: homes, and this very checkout.
fn foreign_paths(project: &Project) -> Vec<String> {
    // Put together here, or this file would be the first finding.
    let mut paths: Vec<String> = [["/ro", "ot/"], ["/Use", "rs/"], ["/ho", "me/"], ["C:\\Us", "ers\\"]]
        .map(|parts| parts.concat())
        .into();
    let places = [Some(project.root.clone()), env::var_os("HOME").map(PathBuf::from)];
    // A place with a single name, such as /app, could be meant in general.
    let particular = places.into_iter().flatten().filter(|place| place.components().count() > 2);
    paths.extend(particular.map(|place| format!("{}/", place.display())));
    paths
}

/// Decisions that the index does not link to. What it links to exists, or the link is broken.
fn unindexed(directory: &Path, index: &Path) -> Vec<String> {
    let text = fs::read_to_string(index).unwrap_or_default();
    let mut names: Vec<String> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| is_markdown(&entry.path()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(|first: char| first.is_ascii_digit()))
        .collect();
    names.sort();
    let linked = links(&text);
    let missing =
        names.into_iter().filter(|name| !linked.iter().any(|link| link.trim_start_matches("./") == name));
    missing.map(|name| format!("does not link to {name}")).collect()
}

fn broken_links(file: &Path, text: &str) -> Vec<String> {
    let directory = file.parent().unwrap_or(file);
    let mut findings = Vec::new();
    for link in links(text) {
        if link.contains("://") || link.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
        let target = if path.is_empty() { file.to_path_buf() } else { directory.join(path) };
        if !target.exists() {
            findings.push(format!("links to {path}, which does not exist"));
        } else if !anchor.is_empty() && is_markdown(&target) {
            let headings = anchors(&fs::read_to_string(&target).unwrap_or_default());
            if !headings.iter().any(|heading| heading == anchor) {
                findings.push(format!("links to {link}, but no heading there has that name"));
            }
        }
    }
    findings
}

/// Targets of `[text](target)` and `[name]: target`, outside of code.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(text) {
        let mut rest = without_code(line);
        if let Some((_, target)) = rest.strip_prefix('[').and_then(|inner| inner.split_once("]: ")) {
            links.extend(target.split_whitespace().next().map(str::to_owned));
            continue;
        }
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, _)) = after.split_once(')') else { break };
            // A title may follow the target.
            links.extend(
                target.split_whitespace().next().map(|link| link.trim_matches(['<', '>']).to_owned()),
            );
            rest = after.to_owned();
        }
    }
    links
}

/// The names under which the headings of a document can be linked to.
fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for line in prose(text) {
        let Some(heading) = line.strip_prefix('#') else { continue };
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let name: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let before = anchors.iter().filter(|other| **other == name).count();
        anchors.push(if before == 0 { name } else { format!("{name}-{before}") });
    }
    anchors
}

/// The lines outside of fenced code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// A line without its `inline code`.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::{anchors, links};

    #[test]
    fn links_are_read_outside_of_code_only() {
        let text = "See [a](A.md), [b](<B.md>) and `[x](no.md)`.\n```\n[y](no.md)\n```\n[ref]: docs/r.md \"title\"\n";
        assert_eq!(links(text), ["A.md", "B.md", "docs/r.md"]);
    }

    #[test]
    fn headings_become_anchors() {
        let text = "# The server, in short\n## `--db` and files\n## Twice\n## Twice\n";
        assert_eq!(anchors(text), ["the-server-in-short", "--db-and-files", "twice", "twice-1"]);
    }
}
