//! The list of the crates in the programs, each with its version and licence, followed by the texts of all licences.
//!
//! The texts are those in a crate's own sources, including those of any C code that it bundles. A text that several crates
//! share is given once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context as _, Result, ensure};
use regex::Regex;
use xtask::workspace::root;

use super::linked::{Crate, Crates, Id};

/// Matches the names of files that hold licences or copyright notices.
static NAMES: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)^((un)?licen[cs]es?|copying|copyright|notice)([-_.].*)?$").ok());
/// Endings of files that are code in spite of such a name.
const CODE: &[&str] = &["rs", "c", "h", "py", "toml"];
const LINE: &str = "--------------------------------------------------------------------------------";

/// The whole list.
pub(super) fn list(crates: &Crates) -> Result<String> {
    let mut list = "The libraries whose code is in poll-server and poll, and the texts of their licences.\n\
                    The standard library of Rust has a list of its own beside this one.\n\n"
        .to_owned();
    let mut texts: BTreeMap<String, (String, BTreeSet<&Id>)> = BTreeMap::new();
    for (id, library) in crates {
        let url = library.repository.as_deref().unwrap_or_default();
        writeln!(list, "{:32} {:16} {}  {url}", id.name, id.version, library.licence)?;
        for text in texts_of(id, library)? {
            // Texts that differ only in white space are the same; copyright lines tell others apart.
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            texts.entry(words).or_insert_with(|| (text, BTreeSet::new())).1.insert(id);
        }
    }
    let mut texts: Vec<_> = texts.into_values().collect();
    texts.sort_by(|(_, one), (_, other)| one.cmp(other));
    for (text, used_by) in texts {
        let names: Vec<_> = used_by.iter().map(|id| format!("{} {}", id.name, id.version)).collect();
        write!(list, "\n{LINE}\n{}:\n\n{}\n", names.join(", "), text.trim_end())?;
    }
    Ok(list)
}

/// The licence texts in a crate's sources. A crate without any gets the text of the Apache License, if it is under that.
fn texts_of(id: &Id, library: &Crate) -> Result<Vec<String>> {
    let is_ours = library.checksum.is_none();
    let mut texts = Vec::new();
    let mut folders = vec![if is_ours { root() } else { library.folder.clone() }];
    while let Some(folder) = folders.pop() {
        let mut entries = fs::read_dir(&folder)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if entry.file_type()?.is_dir() && !is_ours {
                folders.push(entry.path());
            } else if entry.file_type()?.is_file() && is_licence(&entry.path()) {
                texts.push(String::from_utf8_lossy(&fs::read(entry.path())?).replace('\r', ""));
            }
        }
    }
    if texts.is_empty() {
        let allows = |licence: &spdx::LicenseReq| {
            licence.license.id().is_some_and(|id| id.name == "Apache-2.0") && licence.addition.is_none()
        };
        let (name, licence) = (&id.name, &library.licence);
        ensure!(licence.evaluate(allows), "{name} is under {licence}, and has no text of it");
        texts.push(fs::read_to_string(root().join("LICENSE-APACHE")).context("our own licence")?);
    }
    Ok(texts)
}

fn is_licence(file: &Path) -> bool {
    let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let is_code = file.extension().is_some_and(|ending| CODE.iter().any(|code| ending == *code));
    NAMES.as_ref().is_some_and(|names| names.is_match(&name)) && !is_code
}

#[cfg(test)]
mod tests {
    use super::super::linked;
    use super::*;

    #[test]
    fn every_library_has_a_licence_and_its_text() {
        let crates = linked::crates(&xtask::workspace::host().unwrap()).unwrap();
        let list = list(&crates).unwrap();
        for id in crates.keys() {
            let named = format!("{} {}", id.name, id.version);
            let is_texted = |line: &str| line.ends_with(':') && line.contains(&named);
            assert!(list.lines().any(is_texted), "{named} has no text");
        }
        // C code that crates bundle.
        assert!(list.contains("Jason Evans"), "jemalloc");
        assert!(list.contains("the fiat-crypto authors"), "ring");
        let home = std::env::var("HOME").unwrap();
        assert!(!list.contains(&format!("{home}/")), "it names folders of this machine");
    }

    #[test]
    fn files_of_licences_are_known_by_their_names() {
        for name in ["LICENSE", "LICENSE-MIT", "license.md", "COPYING", "NOTICE", "UNLICENSE", "LICENSES.txt"]
        {
            assert!(is_licence(Path::new(name)), "{name}");
        }
        for name in ["license.rs", "licensed", "README.md", "copy.c"] {
            assert!(!is_licence(Path::new(name)), "{name}");
        }
    }
}
