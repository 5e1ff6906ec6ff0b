//! Every crate compiles by itself with its features.
//!
//! What cargo-hack does, which would have to be installed first. A change is checked without features and with all
//! of them; every combination is for the night.

use anyhow::{Context as _, Result};
use toml::Table;

use xtask::workspace::{cargo, root, run};

/// The crates that are published.
const CRATES: [&str; 4] = ["poll-core", "poll-http", "poll-server", "poll-client"];

/// Checks every crate without features, and with all.
pub(crate) fn check_none_and_all() -> Result<()> {
    check(|set, all| set.is_empty() || set.len() == all)
}

/// Checks every crate with every combination.
pub(crate) fn check_all() -> Result<()> {
    check(|_, _| true)
}

/// Checks every crate with those sets that `is_wanted`, which is given a set and how many features there are.
fn check(is_wanted: impl Fn(&[String], usize) -> bool) -> Result<()> {
    for name in CRATES {
        let manifest = std::fs::read_to_string(root().join(name).join("Cargo.toml"))?;
        let sets = combinations(&manifest)?;
        let all = sets.iter().map(Vec::len).max().unwrap_or(0);
        for features in sets.iter().filter(|set| is_wanted(set, all)) {
            run(cargo(["check", "--locked", "--package", name, "--no-default-features", "--features"])
                .arg(features.join(",")))?;
        }
    }
    Ok(())
}

/// Every set of a manifest's features, the empty one included.
fn combinations(manifest: &str) -> Result<Vec<Vec<String>>> {
    let manifest: Table = manifest.parse().context("a manifest is TOML")?;
    let features = manifest.get("features").and_then(|features| features.as_table());
    let mut sets = vec![Vec::new()];
    for name in features.into_iter().flat_map(Table::keys).filter(|name| *name != "default") {
        let with: Vec<_> =
            sets.iter().map(|set| [set.as_slice(), std::slice::from_ref(name)].concat()).collect();
        sets.extend(with);
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_of_features_is_one_combination() {
        let sets = combinations("[features]\ndefault = [\"a\"]\na = []\nb = []\n").unwrap();
        assert_eq!(sets, [vec![], vec!["a".to_owned()], vec!["b".to_owned()], vec!["a".into(), "b".into()]]);
        assert_eq!(combinations("[package]\n").unwrap(), [Vec::<String>::new()]);
    }
}
