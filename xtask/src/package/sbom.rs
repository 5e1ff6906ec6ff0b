//! The software bill of materials of the programs, in CycloneDX 1.5: each crate with its version, licence, checksum and
//! dependencies.
//!
//! It is reproducible, so it has neither timestamp nor serial number, both of which are optional in the format.

use anyhow::Result;
use serde_json::{Value, json};

use super::linked::{Crates, Id, PACKAGES};

/// The document. `compiler` is what `rustc --version` prints: Rust's standard library is linked, too.
pub(super) fn document(crates: &Crates, version: &str, compiler: &str) -> Result<String> {
    let mut components: Vec<Value> = crates.keys().map(|id| component(crates, id)).collect();
    let number = compiler.split(' ').nth(1).unwrap_or(compiler);
    let reference = format!("std@{number}");
    components.push(json!({
        "type": "library",
        "bom-ref": reference,
        "name": "std",
        "version": number,
        "description": format!("the standard library of {compiler}"),
        "licenses": [{ "expression": "MIT OR Apache-2.0" }],
    }));
    let mut dependencies: Vec<Value> = crates
        .iter()
        .map(|(id, library)| {
            let uses: Vec<String> = library.uses.iter().map(purl).collect();
            json!({ "ref": purl(id), "dependsOn": uses })
        })
        .collect();
    let programs = crates.keys().filter(|id| PACKAGES.contains(&id.name.as_str())).map(purl);
    let whole: Vec<String> = programs.chain([reference]).collect();
    dependencies.push(json!({ "ref": "poll", "dependsOn": whole }));
    let document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "poll",
                "name": "poll",
                "version": version,
                "description": "the programs poll-server and poll",
                "licenses": [{ "expression": "MIT OR Apache-2.0" }],
            },
        },
        "components": components,
        "dependencies": dependencies,
    });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

fn component(crates: &Crates, id: &Id) -> Value {
    let library = &crates[id];
    let mut component = json!({
        "type": "library",
        "bom-ref": purl(id),
        "name": id.name,
        "version": id.version,
        "purl": purl(id),
        "licenses": [{ "expression": library.licence.to_string() }],
    });
    if let Some(checksum) = &library.checksum {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    if let Some(url) = &library.repository {
        component["externalReferences"] = json!([{ "type": "vcs", "url": url }]);
    }
    component
}

/// A crate's package URL, in which the `+` of a version is escaped.
fn purl(id: &Id) -> String {
    format!("pkg:cargo/{}@{}", id.name, id.version.replace('+', "%2B"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::linked;
    use super::*;

    fn names<'a>(list: &'a Value, key: &str) -> BTreeSet<&'a str> {
        list.as_array().unwrap().iter().map(|entry| entry[key].as_str().unwrap()).collect()
    }

    #[test]
    fn the_bill_has_each_library_once_and_its_uses_among_them() {
        let crates = linked::crates(&xtask::workspace::host().unwrap()).unwrap();
        let text = document(&crates, "1.2.3", "rustc 1.90.0 (abc 2025-01-01)").unwrap();
        let bill: Value = serde_json::from_str(&text).unwrap();
        let all = names(&bill["components"], "bom-ref");
        assert_eq!(all.len(), crates.len() + 1);
        assert_eq!(bill["components"].as_array().unwrap().len(), all.len());
        let known: BTreeSet<&str> = all.iter().copied().chain(["poll"]).collect();
        assert_eq!(names(&bill["dependencies"], "ref").len(), crates.len() + 1);
        for dependency in bill["dependencies"].as_array().unwrap() {
            for used in dependency["dependsOn"].as_array().unwrap() {
                assert!(known.contains(used.as_str().unwrap()), "{used}");
            }
        }
        let by_name = |name: &str| crates.keys().filter(|id| id.name == name).count();
        assert_eq!((by_name("tokio"), by_name("ring"), by_name("poll-core")), (1, 1, 1));
        // They build, derive or test, and are in no program.
        for absent in ["cc", "syn", "serde_derive", "proptest", "criterion", "eventsource-client"] {
            assert_eq!(by_name(absent), 0, "{absent}");
        }
        for component in bill["components"].as_array().unwrap() {
            assert!(component["licenses"][0]["expression"].is_string());
            let is_ours = component["name"].as_str().unwrap().starts_with("poll-");
            assert!(is_ours || component["name"] == "std" || component["hashes"][0]["content"].is_string());
        }
    }
}
