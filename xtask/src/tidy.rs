//! `cargo xtask tidy`: the rules of the house that a program can check.
//!
//! Each family of rules is one file of `tidy/`, a function from text to faults with its own unit tests; this one reads
//! the files, shows every fault as `file:line: what`, and fails if there is one. Formatting and lints belong to
//! rustfmt and clippy.

mod arrows;
mod calls;
mod directions;
mod documents;
mod examples;
mod fault;
mod layout;
mod manifests;
mod paths;
mod sources;
mod tokens;

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use self::fault::Fault;
use xtask::server::Binary;
use xtask::workspace::{files, root};

/// The command's arguments.
#[derive(Args, Default)]
pub(crate) struct Tidy {
    /// Run the documents' examples against this server instead of building one
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    #[arg(skip)]
    binary: Option<Binary>,
}

impl Tidy {
    /// The command as `ci` runs it, with a server that is built already.
    pub(crate) fn with(binary: Binary) -> Self {
        Self { binary: Some(binary), ..Self::default() }
    }

    pub(crate) fn run(&self) -> Result<()> {
        let project = Project::read()?;
        let faults = project.faults();
        for fault in &faults {
            eprintln!("{fault}");
        }
        ensure!(faults.is_empty(), "{} faults", faults.len());
        let mut examples = Vec::new();
        for (path, text) in project.documents() {
            let found = examples::parse(path, text).map_err(|fault| anyhow::anyhow!("{fault}"))?;
            examples.extend(Some(found).filter(|found| !found.is_empty()));
        }
        if !examples.is_empty() {
            let binary = match &self.binary {
                Some(binary) => binary.clone(),
                None => Binary::given_or_built(self.server.as_deref())?,
            };
            examples.iter().try_for_each(|of_one| examples::run(of_one, &binary))?;
        }
        let count: usize = examples.iter().map(Vec::len).sum();
        println!("tidy: {} files in order, {count} examples run", project.files.len());
        Ok(())
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

    /// What people read: Markdown of the top level but the changelog, and all of `docs/`.
    fn documents(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_document = |path: &str| {
            path.ends_with(".md")
                && path != "CHANGELOG.md"
                && (!path.contains('/') || path.starts_with("docs/"))
        };
        let texts = self.files.iter().filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)));
        texts.filter(move |(path, _)| is_document(path))
    }

    /// The text of one file.
    fn text(&self, wanted: &str) -> Option<String> {
        self.files.iter().find(|(path, _)| path == wanted)?.1.clone()
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
        }
        for (path, text) in self.documents() {
            faults.extend(documents::check(path, text, &paths));
            faults.extend(examples::check(path, text, |source| self.text(source)));
        }
        let rust = self.files.iter().filter(|(path, _)| path.ends_with(".rs"));
        let rust: Vec<_> = rust.filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?))).collect();
        faults.extend(directions::check(&rust));
        faults.sort();
        faults
    }
}
