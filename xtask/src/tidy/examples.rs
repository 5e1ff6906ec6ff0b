//! The examples in the documents run, and print what the documents say they print.
//!
//! A fence after `<!-- run -->` is run by bash in an empty folder, in the document's order, against one fresh server a
//! document; the next fence after `<!-- expect -->` is what it must have printed, where `…` stands for anything within a
//! line and a line of `…` alone for any lines. Everything else in a document is prose to this module.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use regex::Regex;

use super::fault::Fault;
use xtask::server::{Binary, Keyboard, Server};

/// The address that the documents speak of; the fresh server's own takes its place.
const WRITTEN: &str = "127.0.0.1:8080";
/// How long one example may run; `timeout` of coreutils ends it.
const PATIENCE: &str = "60";
const DRAIN: Duration = Duration::from_secs(30);

/// A block to run, and what it prints if that is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Example {
    /// `README.md:7`.
    place: String,
    script: String,
    expected: Option<String>,
}

/// The marked examples of a document.
pub(super) fn parse(document: &str, text: &str) -> Result<Vec<Example>, Fault> {
    let mut examples: Vec<Example> = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let marker = line.trim();
        if !matches!(marker, "<!-- run -->" | "<!-- expect -->") {
            continue;
        }
        let fault = |what| Fault::new(document, index + 1, what);
        if !lines.next().is_some_and(|(_, fence)| fence.starts_with("```")) {
            return Err(fault("no fence follows this mark"));
        }
        let block: Vec<&str> =
            lines.by_ref().map(|(_, line)| line).take_while(|line| !line.starts_with("```")).collect();
        let block = block.join("\n");
        if marker == "<!-- run -->" {
            let place = format!("{document}:{}", index + 1);
            examples.push(Example { place, script: block, expected: None });
            continue;
        }
        match examples.last_mut() {
            Some(example) if example.expected.is_none() => example.expected = Some(block),
            _ => return Err(fault("there is no example in front of this expectation")),
        }
    }
    Ok(examples)
}

/// Runs those of one document; the first that fails or prints something else is the error.
pub(super) fn run(examples: &[Example], binary: &Binary) -> Result<()> {
    let server = Server::start(binary, &[], Keyboard::Shared)?;
    let folder = tempfile::tempdir().context("cannot make an empty folder for the examples")?;
    // Documents call the server by its name.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = binary.path().parent().map(std::path::Path::to_path_buf);
    let path = std::env::join_paths(own.into_iter().chain(std::env::split_paths(&path)))?;
    for example in examples {
        let script = example.script.replace(WRITTEN, &server.address().to_string());
        let output = Command::new("timeout")
            .env("PATH", &path)
            .args([PATIENCE, "bash", "-euo", "pipefail", "-c", &script])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .context("cannot start bash under timeout")?;
        let printed = String::from_utf8_lossy(&output.stdout).replace(&server.address().to_string(), WRITTEN);
        let place = &example.place;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("{place}: the example ended with {}\n{printed}{errors}", output.status);
        }
        if let Some(expected) = &example.expected
            && !matches(expected, &printed)
        {
            bail!("{place}: the example is said to print\n{expected}\nbut it printed\n{printed}");
        }
    }
    server.drain(DRAIN)
}

/// Whether what was printed fits what was expected.
fn matches(expected: &str, printed: &str) -> bool {
    let mut pattern = String::new();
    for line in expected.trim().lines().map(str::trim_end) {
        pattern += &match line {
            "…" => r"(?:.*\n)*".to_owned(),
            line => regex::escape(line).replace('…', ".*") + r"[ \t\r]*\n",
        };
    }
    let printed = format!("{}\n", printed.trim());
    Regex::new(&format!("^{pattern}$")).is_ok_and(|pattern| pattern.is_match(&printed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_fences_are_found_and_others_left_alone() {
        let text = "```sh\nrm x\n```\n<!-- run -->\n```sh\ncurl a\ncurl b\n```\ntext\n<!-- expect -->\n```json\n{…}\n```\n";
        let examples = parse("README.md", text).unwrap();
        assert_eq!(
            examples,
            [Example {
                place: "README.md:4".into(),
                script: "curl a\ncurl b".into(),
                expected: Some("{…}".into())
            }]
        );
    }

    #[test]
    fn a_mark_without_its_fence_is_a_fault() {
        assert_eq!(parse("README.md", "<!-- run -->\ntext\n").unwrap_err().line, 1);
        assert_eq!(parse("README.md", "<!-- expect -->\n```\n```\n").unwrap_err().line, 1);
    }

    #[test]
    fn an_ellipsis_stands_for_anything_in_its_line() {
        assert!(matches(
            "{\"id\":1,\"uuid\":\"…\",\"cursor\":\"…\"}",
            "{\"id\":1,\"uuid\":\"a-b\",\"cursor\":\"0c\"}\n"
        ));
        assert!(!matches("{\"id\":1,\"uuid\":\"…\"}", "{\"id\":2,\"uuid\":\"a-b\"}"));
        assert!(!matches("a", "a b"));
        assert!(matches("…b", "a b"));
        assert!(!matches("aa…a", "aa"));
    }

    #[test]
    fn an_ellipsis_alone_stands_for_any_lines() {
        assert!(matches("first\n…\nlast", "first\nlast"));
        assert!(matches("first\n…\nlast", "first\na\nb\nlast"));
        assert!(!matches("first\n…\nlast", "first\na"));
        assert!(!matches("first", "first\nsecond"));
    }
}
