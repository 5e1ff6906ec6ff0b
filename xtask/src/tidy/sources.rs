//! How a source file opens, how long it may be, and what it may not be called.

use super::fault::Fault;

/// The most lines that a source file may have, its tests apart.
const MOST_LINES: usize = 600;
/// Names of drawers into which anything goes.
const JUNK: &[&str] = &["util", "utils", "common", "misc", "helper", "helpers"];

/// Faults of a file's or folder's name, whatever its kind.
pub(super) fn name(path: &str) -> Option<Fault> {
    let junk = path.split('/').find(|part| JUNK.contains(&part.split('.').next().unwrap_or(part)))?;
    Some(Fault::new(
        path,
        0,
        format!("`{junk}` says nothing of what is in it; name it for the one thing it holds"),
    ))
}

/// Faults of a Rust file's shape.
pub(super) fn check(path: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !text.starts_with("//!") {
        faults.push(Fault::new(
            path,
            1,
            "does not open with `//!`: what it is for, why, and what it leaves alone",
        ));
    }
    let lines = text.lines().count().min(line_of_tests(text));
    if !is_test(path) && lines > MOST_LINES {
        faults.push(Fault::new(
            path,
            MOST_LINES,
            format!("{lines} lines, more than {MOST_LINES}: has it swallowed a second purpose?"),
        ));
    }
    faults
}

/// Whether a path belongs to tests, benches or examples rather than to the product.
pub(super) fn is_test(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "benches" | "fuzz")) || path.ends_with("/tests.rs")
}

/// How many lines stand before the file's own test module, or more than any file has.
pub(super) fn line_of_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let opens = |pair: &[&str]| pair[0].trim() == "#[cfg(test)]" && pair[1].trim_start().starts_with("mod ");
    lines.windows(2).position(opens).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_opens_by_saying_what_it_is() {
        assert_eq!(check("a/src/b.rs", "//! Good.\n"), []);
        assert_eq!(check("a/src/b.rs", "use x;\n")[0].line, 1);
    }

    #[test]
    fn only_lines_before_the_tests_count() {
        let long = format!("//! x\n{}", "\n".repeat(650));
        assert_eq!(check("a/src/b.rs", &long).len(), 1);
        assert_eq!(check("a/tests/it/b.rs", &long), []);
        let mostly_tests = format!("//! x\n#[cfg(test)]\nmod tests {{{}\n}}\n", "\n".repeat(650));
        assert_eq!(check("a/src/b.rs", &mostly_tests), []);
    }

    #[test]
    fn junk_drawers_are_named() {
        assert!(name("poll-core/src/utils.rs").is_some());
        assert!(name("poll-http/src/common/mod.rs").is_some());
        assert!(name("poll-http/src/commonality.rs").is_none());
    }
}
