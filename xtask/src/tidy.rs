//! `cargo xtask tidy`: the rules of the house that a program can check.
//!
//! Each family of rules is one file of `tidy/`, a function from text to faults with its own unit tests; this one reads
//! the files, shows every fault as `file:line: what`, and fails if there is one. Formatting and lints belong to
//! rustfmt and clippy.

mod calls;
mod code;
mod documents;
mod examples;
mod layout;
mod manifests;
mod paths;
mod sources;

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use xtask::server::Binary;
use xtask::workspace::{files, root};

/// The command's arguments.
#[derive(Args, Default)]
pub(crate) struct Tidy {
    /// Run the README's examples against this server instead of building one
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    #[arg(skip)]
    binary: Option<Binary>,
}

impl Tidy {
    /// The command as `ci` runs it, with a server that is built already.
    pub(crate) fn with(binary: Binary) -> Self {
        Self { server: None, binary: Some(binary) }
    }

    pub(crate) fn run(&self) -> Result<()> {
        let project = Project::read()?;
        let faults = project.faults();
        for fault in &faults {
            eprintln!("{fault}");
        }
        ensure!(faults.is_empty(), "{} faults", faults.len());
        let readme = project.text("README.md").unwrap_or_default();
        let examples = examples::parse(readme).map_err(|fault| anyhow::anyhow!("{fault}"))?;
        if !examples.is_empty() {
            let binary = match &self.binary {
                Some(binary) => binary.clone(),
                None => Binary::given_or_built(self.server.as_deref())?,
            };
            examples::run(&examples, &binary)?;
        }
        println!("tidy: {} files in order, {} README examples run", project.files.len(), examples.len());
        Ok(())
    }
}

/// Something that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    path: String,
    /// From 1; 0 where the whole file is meant.
    line: usize,
    what: String,
}

impl Fault {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// Every file of the project with its text; what is not text has none.
struct Project {
    files: Vec<(String, Option<String>)>,
}

impl Project {
    fn read() -> Result<Self> {
        let mut read = Vec::new();
        for path in files()? {
            let bytes = std::fs::read(root().join(&path)).with_context(|| format!("cannot read {path}"))?;
            read.push((path, String::from_utf8(bytes).ok()));
        }
        Ok(Self { files: read })
    }

    fn text(&self, wanted: &str) -> Option<&str> {
        self.files.iter().find(|(path, _)| path == wanted).and_then(|(_, text)| text.as_deref())
    }

    fn faults(&self) -> Vec<Fault> {
        let paths: Vec<&str> = self.files.iter().map(|(path, _)| path.as_str()).collect();
        let mut faults = layout::check(&paths);
        for (path, text) in &self.files {
            faults.extend(sources::name(path));
            let Some(text) = text else { continue };
            faults.extend(paths::check(path, text));
            if path.ends_with(".rs") {
                faults.extend(sources::check(path, text));
                faults.extend(calls::check(path, text));
            }
            if path.ends_with("/Cargo.toml") {
                faults.extend(manifests::check(path, text));
            }
            if matches!(path.as_str(), "README.md" | "ARCHITECTURE.md" | "CONTRIBUTING.md") {
                faults.extend(documents::check(path, text, &paths));
            }
        }
        faults.sort();
        faults
    }
}
