//! Paths named in the documents exist: a map that names what is long gone is worse than none.
//!
//! Looks at code spans and relative links in Markdown; leaves fenced blocks alone, which hold commands and answers.

use super::fault::Fault;

/// Faults of one document, given every path of the project.
pub(super) fn check(document: &str, text: &str, paths: &[&str]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        let spans = spans(line).flat_map(braces).filter(|span| looks_like_path(span));
        for named in spans.chain(links(line)) {
            if !exists(&named, paths) {
                faults.push(Fault::new(
                    document,
                    index + 1,
                    format!("names `{named}`, which does not exist"),
                ));
            }
        }
    }
    faults
}

/// What stands between pairs of backticks.
fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The targets of relative links.
fn links(line: &str) -> impl Iterator<Item = String> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split([')', '#', ' ']).next()?;
        let relative = !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
        relative.then(|| target.to_owned())
    })
}

/// `a/{b,c}.rs` stands for `a/b.rs` and `a/c.rs`.
fn braces(span: &str) -> Vec<String> {
    let Some((head, (inside, tail))) =
        span.split_once('{').and_then(|(head, rest)| Some((head, rest.split_once('}')?)))
    else {
        return vec![span.to_owned()];
    };
    if !inside.contains(',') {
        return vec![span.to_owned()];
    }
    inside.split(',').flat_map(|part| braces(&format!("{head}{}{tail}", part.trim()))).collect()
}

/// Whether a code span means a file or folder of ours: it ends like one, or it begins with a folder of the top level.
fn looks_like_path(span: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '*');
    if span.is_empty() || span.starts_with('/') || !span.chars().all(plain) {
        return false;
    }
    let of_ours = [
        "poll-core/",
        "poll-http/",
        "poll-server/",
        "poll-client/",
        "xtask/",
        "deploy/",
        "docs/",
        ".ci/",
        ".cargo/",
    ];
    let endings = [".rs", ".md", ".toml", ".html", ".css", ".js", ".conf"];
    // `.rs` alone speaks of all such files.
    let named = |ending: &str| span.len() > ending.len() && span.ends_with(ending);
    of_ours.iter().any(|folder| span.starts_with(folder)) || endings.iter().any(|ending| named(ending))
}

/// Whether a path of the project is meant: the path itself, a folder of it, its end (`log.rs` for
/// `poll-core/src/log.rs`), or one that a `*` fits.
fn exists(named: &str, paths: &[&str]) -> bool {
    let named = named.trim_start_matches("./").trim_start_matches("../").trim_end_matches('/');
    let parts: Vec<&str> = named.split('/').collect();
    paths.iter().any(|path| {
        let all: Vec<&str> = path.split('/').collect();
        all.windows(parts.len()).any(|window| window.iter().zip(&parts).all(|(have, want)| fits(have, want)))
    })
}

/// Whether one part of a path fits a pattern with at most one `*`.
fn fits(part: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => part == pattern,
        Some((head, tail)) => {
            part.len() >= head.len() + tail.len() && part.starts_with(head) && part.ends_with(tail)
        }
    }
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
