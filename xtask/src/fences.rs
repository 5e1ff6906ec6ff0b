//! The fenced code blocks of the documents, and the marks that say what runs them.
//!
//! What: a fence, the mark in front of it, and the output that is expected of it.
//! Why: a shell fence without a mark is a fault, so no command in a document becomes wrong unnoticed.
//! Not here: running them. `tidy` runs fences against a server, `package` those that need a Debian container.

use regex::Regex;

/// The languages of the fences that hold commands.
const SHELLS: &[&str] = &["sh", "bash", "console"];

/// What runs a fence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// `<!-- run -->`: `tidy`, against a fresh server.
    Run,
    /// `<!-- check -->`: `tidy`, with `--check` appended to the server's command line that it ends with.
    Check,
    /// `<!-- run in Debian -->`: `package`, in a container, all fences of the document in one shell.
    RunInDebian,
    /// `<!-- check in Debian -->`: the same, with `--check` appended.
    CheckInDebian,
    /// `<!-- run by FILE::TEST -->`: a test elsewhere.
    By { file: String, test: String },
    /// `<!-- not run: REASON -->`: nothing.
    NotRun,
}

/// A fence that has a mark or is in a shell's language.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    /// The line of the mark, or of the fence if it has none; from 1.
    pub(crate) line: usize,
    pub(crate) mark: Option<Mark>,
    pub(crate) text: String,
    /// The expected output: the text of the fence after `<!-- expect -->`, if there is one.
    pub(crate) expected: Option<String>,
}

impl Fence {
    /// What is run for it.
    pub(crate) fn script(&self) -> String {
        match self.mark {
            Some(Mark::Check | Mark::CheckInDebian) => format!("{} --check", self.text),
            _ => self.text.clone(),
        }
    }
}

/// The line of a wrong mark in a document, and what is wrong with it.
pub(crate) type Wrong = (usize, &'static str);

/// The fences of a document, in order.
pub(crate) fn parse(text: &str) -> Result<Vec<Fence>, Wrong> {
    let mut fences: Vec<Fence> = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((line, content)) = lines.next() {
        let marker = content.trim();
        let mark = mark(marker).map_err(|what| (line, what))?;
        let is_expectation = marker == "<!-- expect -->";
        if let Some(language) = marker.strip_prefix("```") {
            let text = rest(&mut lines);
            if SHELLS.contains(&language) {
                fences.push(Fence { line, mark: None, text, expected: None });
            }
        } else if mark.is_some() || is_expectation {
            if !lines.next().is_some_and(|(_, fence)| fence.starts_with("```")) {
                return Err((line, "no fence follows this mark"));
            }
            let text = rest(&mut lines);
            match fences.last_mut() {
                _ if mark.is_some() => fences.push(Fence { line, mark, text, expected: None }),
                Some(fence) if fence.expected.is_none() && fence.mark.is_some() => {
                    fence.expected = Some(text);
                }
                _ => return Err((line, "there is no example in front of this expectation")),
            }
        }
    }
    Ok(fences)
}

/// The lines up to the fence's end.
fn rest<'a>(lines: &mut impl Iterator<Item = (usize, &'a str)>) -> String {
    let lines: Vec<&str> =
        lines.map(|(_, line)| line).take_while(|line| !line.trim_start().starts_with("```")).collect();
    lines.join("\n")
}

/// The mark that a comment is, if it is one.
fn mark(comment: &str) -> Result<Option<Mark>, &'static str> {
    let inside = comment.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
    let Some(inside) = inside else { return Ok(None) };
    let by = |named: &str| {
        let (file, test) = named.split_once("::").ok_or("names no test: FILE::TEST")?;
        Ok(Some(Mark::By { file: file.to_owned(), test: test.to_owned() }))
    };
    match inside {
        "run" => Ok(Some(Mark::Run)),
        "check" => Ok(Some(Mark::Check)),
        "run in Debian" => Ok(Some(Mark::RunInDebian)),
        "check in Debian" => Ok(Some(Mark::CheckInDebian)),
        _ => match (inside.strip_prefix("run by "), inside.strip_prefix("not run: ")) {
            (Some(named), _) => by(named),
            (_, Some(reason)) if reason.len() < 10 => Err("gives no reason"),
            (_, Some(_)) => Ok(Some(Mark::NotRun)),
            _ => Ok(None),
        },
    }
}

/// Whether output is as expected, where `…` stands for anything within a line, and a line of `…` alone for any number of lines.
pub(crate) fn matches(expected: &str, printed: &str) -> bool {
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
    fn fences_of_a_shell_and_marked_ones_are_found() {
        let text = "```sh\nrm x\n```\n<!-- run -->\n```sh\ncurl a\ncurl b\n```\ntext\n<!-- expect -->\n```json\n{…}\n```\n```rust\nlet a;\n```\n";
        let run = Fence {
            line: 4,
            mark: Some(Mark::Run),
            text: "curl a\ncurl b".into(),
            expected: Some("{…}".into()),
        };
        let unmarked = Fence { line: 1, mark: None, text: "rm x".into(), expected: None };
        assert_eq!(parse(text).unwrap(), [unmarked, run]);
    }

    #[test]
    fn a_mark_says_what_runs_the_fence() {
        let marked = |mark: &str| {
            parse(&format!("<!-- {mark} -->\n```sh\nx\n```\n")).map(|mut found| found.remove(0).mark)
        };
        assert_eq!(marked("run in Debian"), Ok(Some(Mark::RunInDebian)));
        let by = Mark::By { file: "a/b.rs".into(), test: "it_is_run".into() };
        assert_eq!(marked("run by a/b.rs::it_is_run"), Ok(Some(by)));
        assert_eq!(marked("not run: it asks at a terminal"), Ok(Some(Mark::NotRun)));
        assert_eq!(marked("not run: no"), Err((1, "gives no reason")));
        assert!(marked("run by hand").is_err());
    }

    #[test]
    fn a_mark_without_its_fence_is_wrong() {
        assert_eq!(parse("<!-- run -->\ntext\n").unwrap_err().0, 1);
        assert_eq!(parse("<!-- expect -->\n```\n```\n").unwrap_err().0, 1);
        assert_eq!(parse("```sh\n```\n<!-- expect -->\n```\n```\n").unwrap_err().0, 3);
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
