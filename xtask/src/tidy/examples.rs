//! The examples in the documents run, and print what the documents say; each shell fence says what runs it.
//!
//! Fences after `<!-- run -->` are run by bash in order, in a folder that is empty at first, against a fresh server for each
//! document. Their output is compared with the fence after `<!-- expect -->`. The other marks are in `fences.rs`.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::fault::Fault;
use crate::fences::{self, Fence, Mark};
use xtask::server::{Binary, Keyboard, Server};

/// The server's address in the documents; it is replaced by that of the fresh server.
const WRITTEN: &str = "127.0.0.1:8080";
/// How long one example may run; `timeout` of coreutils ends it.
const PATIENCE: &str = "60";
const DRAIN: Duration = Duration::from_secs(30);

/// A fence to run, and its expected output, if any.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Example {
    /// `README.md:7`.
    place: String,
    script: String,
    expected: Option<String>,
}

/// The examples of a document that `tidy` runs.
pub(super) fn parse(document: &str, text: &str) -> Result<Vec<Example>, Fault> {
    let fences = fences::parse(text).map_err(|(line, what)| Fault::new(document, line, what))?;
    let runs_here = |fence: &Fence| matches!(fence.mark, Some(Mark::Run | Mark::Check));
    let examples = fences.into_iter().filter(runs_here).map(|fence| Example {
        place: format!("{document}:{}", fence.line),
        script: fence.script(),
        expected: fence.expected,
    });
    Ok(examples.collect())
}

/// Faults of one document: shell fences without a mark, and marks that name no test that reads the document.
pub(super) fn check(document: &str, text: &str, source: impl Fn(&str) -> Option<String>) -> Vec<Fault> {
    let fences = match fences::parse(text) {
        Ok(fences) => fences,
        Err((line, what)) => return vec![Fault::new(document, line, what)],
    };
    let name = document.rsplit('/').next().unwrap_or(document);
    let fault = |fence: &Fence| match &fence.mark {
        None => Some("no mark says what runs this fence, or why it is not run".to_owned()),
        Some(Mark::By { file, test }) => {
            let runs =
                |text: String| text.contains(&format!("fn {test}(")) && text.contains(&format!("{name}\""));
            let is_run = source(file).is_some_and(runs);
            (!is_run).then(|| format!("{file} has no test {test} that reads {name}"))
        }
        Some(_) => None,
    };
    fences.iter().filter_map(|fence| Some(Fault::new(document, fence.line, fault(fence)?))).collect()
}

/// Runs the examples of one document; the first that fails or prints something else is the error.
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
            && !fences::matches(expected, &printed)
        {
            bail!("{place}: the example is said to print\n{expected}\nbut it printed\n{printed}");
        }
    }
    server.drain(DRAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_fences_are_run_and_others_left_alone() {
        let text = "```sh\nrm x\n```\n<!-- run -->\n```sh\ncurl a\n```\n<!-- check -->\n```sh\npoll-server\n```\n<!-- run in Debian -->\n```sh\napt\n```\n";
        let examples = parse("README.md", text).unwrap();
        let scripts: Vec<_> = examples.iter().map(|example| example.script.as_str()).collect();
        assert_eq!(scripts, ["curl a", "poll-server --check"]);
        assert_eq!(examples[0].place, "README.md:4");
    }

    #[test]
    fn every_fence_of_a_shell_says_what_runs_it() {
        let source = |path: &str| {
            (path == "a.rs").then(|| "const A: &str = \"docs/http.md\"; fn named() {}".to_owned())
        };
        let faults = |mark: &str| check("docs/http.md", &format!("{mark}\n```sh\nx\n```\n"), source).len();
        assert_eq!(faults("text"), 1);
        assert_eq!(faults("<!-- run -->"), 0);
        assert_eq!(faults("<!-- run by a.rs::named -->"), 0);
        assert_eq!(faults("<!-- run by a.rs::other -->"), 1);
        assert_eq!(faults("<!-- run by b.rs::named -->"), 1);
        assert_eq!(check("docs/scaling.md", "<!-- run by a.rs::named -->\n```sh\n```\n", source).len(), 1);
    }
}
