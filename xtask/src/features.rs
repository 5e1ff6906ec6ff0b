//! Every combination of features of every crate compiles by itself.
//!
//! What cargo-hack does, which would have to be installed first: no crate here has more than two features.

use anyhow::{Context as _, Result};
use toml::Table;

use xtask::workspace::{cargo, root, run};

/// The crates that are published.
const CRATES: [&str; 4] = ["poll-core", "poll-http", "poll-server", "poll-client"];

/// Checks them all, one after another.
pub(crate) fn check() -> Result<()> {
    for name in CRATES {
        let manifest = std::fs::read_to_string(root().join(name).join("Cargo.toml"))?;
        for features in combinations(&manifest)? {
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
