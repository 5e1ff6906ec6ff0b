//! The crates whose code is in the two programs, for one target: what cargo's resolver says, without crates that are used only
//! to build or test.
//!
//! Why `cargo tree`: `cargo metadata` unifies the features of all workspace members, and so lists crates that are in neither.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context as _, Result, ensure};
use regex::bytes::Regex;
use serde_json::Value;
use spdx::Expression;
use toml::Table;
use xtask::workspace::{cargo, output, root};

/// The packages that hold the programs.
pub(super) const PACKAGES: [&str; 2] = ["poll-server", "poll-client"];
/// The location of a panic in a crate's code, as a program holds it: a path into the registry's sources.
static LOCATION: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"registry/src/[^/]+/([A-Za-z0-9_.+-]+)/").ok());

/// A crate, identified by name and version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) name: String,
    pub(super) version: String,
}

/// What is known of a crate.
#[derive(Debug)]
pub(super) struct Crate {
    /// As the crate declares it, in today's SPDX syntax.
    pub(super) licence: Expression,
    pub(super) repository: Option<String>,
    /// SHA-256 of its package, in hexadecimal; none for our own.
    pub(super) checksum: Option<String>,
    /// Its sources.
    pub(super) folder: PathBuf,
    /// The crates that it depends on.
    pub(super) uses: BTreeSet<Id>,
}

/// All crates in the programs.
pub(super) type Crates = BTreeMap<Id, Crate>;

/// The crates in the programs when they are built for a target.
pub(super) fn crates(target: &str) -> Result<Crates> {
    let folders = folders(target)?;
    let lock: Table = fs::read_to_string(root().join("Cargo.lock"))?.parse()?;
    let locked = lock["package"].as_array().context("Cargo.lock has no packages")?;
    let checksum = |id: &Id| {
        let is_it = |package: &&toml::Value| {
            package["name"].as_str() == Some(&id.name) && package["version"].as_str() == Some(&id.version)
        };
        Some(locked.iter().find(is_it)?.get("checksum")?.as_str()?.to_owned())
    };
    let mut crates = Crates::new();
    for package in PACKAGES {
        let words = ["tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "depth"];
        let tree = output(cargo(words).args([
            "--format",
            "|{p}|{l}|{r}|",
            "--target",
            target,
            "--package",
            package,
        ]))?;
        let mut above: Vec<Id> = Vec::new();
        for line in tree.lines() {
            let (depth, id, licence, repository) =
                parse(line).with_context(|| format!("cargo tree: {line}"))?;
            above.truncate(depth);
            if let Some(used_by) = above.last().and_then(|above| crates.get_mut(above)) {
                used_by.uses.insert(id.clone());
            }
            above.push(id.clone());
            if crates.contains_key(&id) {
                continue;
            }
            let licence =
                Expression::parse(&licence.replace(" / ", "/").replace('/', " OR ")).with_context(|| {
                    format!("{} {} says that its licence is {licence:?}", id.name, id.version)
                })?;
            let folder = folders.get(&id).with_context(|| format!("no sources of {}", id.name))?.clone();
            let repository = Some(repository.to_owned()).filter(|url| !url.is_empty());
            let (checksum, uses) = (checksum(&id), BTreeSet::new());
            crates.insert(id, Crate { licence, repository, checksum, folder, uses });
        }
    }
    Ok(crates)
}

/// Checks that every crate that a program names in its panic locations is listed.
pub(super) fn check_complete(crates: &Crates, program: &Path) -> Result<()> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let location = LOCATION.as_ref().context("the pattern of a location is wrong")?;
    let named: BTreeSet<_> = location
        .captures_iter(&bytes)
        .filter_map(|found| Some(String::from_utf8_lossy(found.get(1)?.as_bytes()).into_owned()))
        .collect();
    let known: BTreeSet<_> = crates.keys().map(|id| format!("{}-{}", id.name, id.version)).collect();
    let unknown: Vec<_> = named.difference(&known).collect();
    ensure!(unknown.is_empty(), "{} has code of {unknown:?}, which are not listed", program.display());
    ensure!(named.len() > 20, "{} names no panic locations", program.display());
    Ok(())
}

/// `2|bytes v1.12.1|MIT|https://…| (*)`.
fn parse(line: &str) -> Option<(usize, Id, &str, &str)> {
    let mut fields = line.split('|');
    let depth = fields.next()?.parse().ok()?;
    let mut package = fields.next()?.split(' ');
    let (name, version) = (package.next()?.to_owned(), package.next()?.strip_prefix('v')?.to_owned());
    Some((depth, Id { name, version }, fields.next()?, fields.next()?))
}

/// The folder of each crate's sources.
fn folders(target: &str) -> Result<BTreeMap<Id, PathBuf>> {
    let words = ["metadata", "--locked", "--format-version", "1", "--filter-platform", target];
    let metadata: Value = serde_json::from_str(&output(&mut cargo(words))?)?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let folder = |package: &Value| {
        let id = Id { name: package["name"].as_str()?.into(), version: package["version"].as_str()?.into() };
        Some((id, Path::new(package["manifest_path"].as_str()?).parent()?.to_path_buf()))
    };
    packages.iter().map(|package| folder(package).context("cargo metadata has another form")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_tree_is_read() {
        let (depth, id, licence, repository) =
            parse("12|bytes v1.12.1|MIT|https://example.org/bytes| (*)").unwrap();
        assert_eq!((depth, id.name.as_str(), id.version.as_str()), (12, "bytes", "1.12.1"));
        assert_eq!((licence, repository), ("MIT", "https://example.org/bytes"));
        assert_eq!(parse("0|poll-client v0.1.0 (/a b)|MIT OR Apache-2.0||").unwrap().3, "");
        assert!(parse("bytes v1.12.1").is_none());
    }
}
