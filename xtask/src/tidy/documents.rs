//! Paths named in the documents exist: a map that names what is long gone is worse than none.
//!
//! Looks at code spans and relative links in Markdown; leaves fenced blocks alone, which hold commands and answers.

use std::sync::LazyLock;

use regex::Regex;

use super::fault::Fault;

/// What stands between a pair of backticks, and the target of a link.
static NAMES: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"`([^`]*)`|\]\(([^)# ]+)").ok());
/// A code span that means a file or folder of ours: it begins with a folder of the top level, or it ends like a file.
/// `.rs` alone speaks of all such files.
static OURS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    const FOLDERS: &str = r"poll-core|poll-http|poll-server|poll-client|xtask|deploy|docs|\.ci|\.cargo";
    const ENDINGS: &str = "rs|md|toml|html|css|js|conf";
    Regex::new(&format!(r"^(?:(?:{FOLDERS})/[\w/.*-]*|[\w.*-][\w/.*-]*\.(?:{ENDINGS}))$")).ok()
});

/// Faults of one document, given every path of the project.
pub(super) fn check(document: &str, text: &str, paths: &[&str]) -> Vec<Fault> {
    let (mut faults, all, mut fenced) = (Vec::new(), paths.join("\n"), false);
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let missing = named(line).into_iter().filter(|named| !exists(named, &all));
            faults.extend(missing.map(|named| {
                Fault::new(document, index + 1, format!("names `{named}`, which does not exist"))
            }));
        }
    }
    faults
}

/// The paths that a line names.
fn named(line: &str) -> Vec<String> {
    let (Some(names), Some(ours)) = (&*NAMES, &*OURS) else { return Vec::new() };
    let mut named = Vec::new();
    for found in names.captures_iter(line) {
        if let Some(span) = found.get(1) {
            named.extend(braces(span.as_str()).into_iter().filter(|span| ours.is_match(span)));
        } else if let Some(target) = found.get(2).map(|target| target.as_str())
            && !target.contains("://")
            && !target.starts_with("mailto:")
        {
            named.push(target.to_owned());
        }
    }
    named
}

/// `a/{b,c}.rs` stands for `a/b.rs` and `a/c.rs`.
fn braces(span: &str) -> Vec<String> {
    let parts = span.split_once('{').and_then(|(head, rest)| Some((head, rest.split_once('}')?)));
    match parts {
        Some((head, (inside, tail))) if inside.contains(',') => {
            inside.split(',').flat_map(|part| braces(&format!("{head}{}{tail}", part.trim()))).collect()
        }
        _ => vec![span.to_owned()],
    }
}

/// Whether a path of the project is meant, of all of them on a line each: the path itself, a folder of it, its end
/// (`log.rs` for `poll-core/src/log.rs`), or one that a `*` fits.
fn exists(named: &str, all: &str) -> bool {
    let named = named.trim_start_matches("./").trim_start_matches("../").trim_end_matches('/');
    let pattern = regex::escape(named).replace(r"\*", r"[^/\n]*");
    Regex::new(&format!("(?m)(?:^|/){pattern}(?:/|$)")).is_ok_and(|pattern| pattern.is_match(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: &[&str] =
        &["README.md", "poll-core/src/log.rs", "poll-core/src/journal/memory.rs", ".ci/run"];

    fn named(text: &str) -> Vec<Fault> {
        check("ARCHITECTURE.md", text, PATHS)
    }

    #[test]
    fn what_exists_may_be_named_in_part_or_whole() {
        assert_eq!(
            named("`poll-core/src/log.rs`, `log.rs`, `journal/memory.rs`, `poll-core/src`, `.ci/run`"),
            []
        );
        assert_eq!(named("`journal/*.rs` and `poll-core/src/{log,journal}*`, [read](README.md#top)"), []);
    }

    #[test]
    fn what_does_not_exist_is_found_with_its_line() {
        let faults = named("fine\n`poll-core/src/gone.rs` and [gone](docs/gone.md)\n");
        assert_eq!(faults.len(), 2);
        assert!(faults.iter().all(|fault| fault.line == 2));
        assert_eq!(named("`journal/{memory,disk}.rs`").len(), 1);
    }

    #[test]
    fn other_code_is_left_alone() {
        assert_eq!(
            named("`GET /api/poll`, `application/json`, `a.b.c`, `.rs`, `/api/x.js`\n```\n`gone.rs`\n```\n"),
            []
        );
        assert_eq!(named("[out](https://example.org/x.md)"), []);
    }
}
