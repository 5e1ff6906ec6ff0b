//! What the top level holds: the crates and the conventional files, and nothing else.

use std::collections::BTreeSet;

use super::fault::Fault;

/// Entries that must be there.
const REQUIRED: &[&str] = &[
    ".cargo",
    ".ci",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "docs",
    "poll-client",
    "poll-core",
    "poll-http",
    "poll-server",
    "xtask",
];
/// Entries that may be there. Names with a dot in front may, too.
const ALLOWED: &[&str] = &["clippy.toml", "deny.toml", "rustfmt.toml", "deploy"];

/// Faults of the whole listing.
pub(super) fn check(paths: &[&str]) -> Vec<Fault> {
    let top: BTreeSet<&str> = paths.iter().map(|path| path.split('/').next().unwrap_or(path)).collect();
    let missing = REQUIRED.iter().filter(|entry| !top.contains(*entry));
    let stray = top
        .iter()
        .filter(|entry| !REQUIRED.contains(entry) && !ALLOWED.contains(entry) && !entry.starts_with('.'));
    missing
        .map(|entry| Fault::new(entry, 0, "is missing from the top level"))
        .chain(stray.map(|entry| Fault::new(entry, 0, "has no place at the top level")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strays_and_gaps_are_named() {
        let mut paths: Vec<&str> = REQUIRED.to_vec();
        assert_eq!(check(&paths), []);
        paths.retain(|path| *path != "README.md");
        paths.push("notes/todo.txt");
        let faults = check(&paths);
        assert_eq!(
            faults.iter().map(|fault| fault.path.as_str()).collect::<Vec<_>>(),
            ["README.md", "notes"]
        );
    }
}
