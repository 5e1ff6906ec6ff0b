//! `cargo xtask js`: builds the JavaScript client into the one file that the server serves, and tests it.
//!
//! The file is committed, so that a build of the server needs no Node; here it is made anew or compared. What esbuild,
//! terser, tsc and Node's test runner do is their business: this only calls them.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail, ensure};
use clap::Args;

use xtask::server::Binary;
use xtask::steps::Skip;
use xtask::tools::{self, Install, Tool};
use xtask::workspace::{cargo, output, root, run};

/// The oldest version of Node that the tests run on: the first whose test runner says how many files run at once.
const OLDEST_NODE: (u32, u32) = (20, 10);
/// Files of tests that run at once, which mostly wait.
const AT_ONCE: &str = "--test-concurrency=3";
/// What the client's build calls.
const TOOLS: &[Tool] = &[
    Tool { program: "node", package: "nodejs", purpose: "the JavaScript client" },
    Tool { program: "npm", package: "npm", purpose: "what the JavaScript client is built and checked with" },
];
/// Browsers that the tests can drive, and the one to install if there is none.
const BROWSERS: &[&str] = &["chromium", "chromium-browser", "google-chrome"];
const BROWSER: &[Tool] =
    &[Tool { program: "chromium", package: "chromium", purpose: "the JavaScript client in a browser" }];
const FIREFOX: &[&str] = &["firefox-esr", "firefox"];
const FIREFOX_TOOL: &[Tool] = &[Tool {
    program: "firefox-esr",
    package: "firefox-esr",
    purpose: "the JavaScript client in another browser",
}];
/// The version of Deno that is fetched if there is none.
const DENO: &str = "2.9.6";

/// The command's arguments.
#[derive(Args)]
pub(crate) struct Js {
    /// Build nothing: check that the file is what the source makes, and run every test
    #[arg(long)]
    test: bool,
    /// With --test: in Firefox and Deno as well, which are fetched if they are missing and that is possible
    #[arg(long, requires = "test")]
    all: bool,
}

/// How much is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// A third of the faults: under a minute.
    Short,
    /// All of it, in one browser.
    Whole,
    /// All of it, in each browser, and in Deno.
    All,
}

impl Js {
    pub(crate) fn run(&self) -> Result<()> {
        tools::ensure_these(TOOLS, "the JavaScript client", Install::Never)?;
        if self.test {
            return if self.all { test_all() } else { build_and_test(Extent::Whole, Install::Never) };
        }
        prepare()?;
        run(&mut node(["build.js"]))
    }
}

/// Builds the server and runs every test that there is, in each browser.
pub(crate) fn test_all() -> Result<()> {
    build_and_test(Extent::All, Install::Allowed)
}

fn build_and_test(extent: Extent, install: Install) -> Result<()> {
    run(&mut cargo(["build", "--quiet", "--locked", "--package", "poll-server"]))?;
    test(extent, install)
}

/// Checks that the committed file is fresh and the declarations hold, then runs the tests against the server that
/// `cargo test` has built.
pub(crate) fn test(extent: Extent, install: Install) -> Result<()> {
    tools::ensure_these(TOOLS, "the JavaScript client", install)?;
    prepare()?;
    run(&mut node(["build.js", "--check"]))?;
    run(&mut node(["node_modules/typescript/bin/tsc", "--project", "test/types"]))?;
    let browser = browser(install)?;
    let word = if extent == Extent::Short { "short" } else { "whole" };
    if extent != Extent::Short {
        // What is made small is tested as well: the tools may be wrong about what means the same.
        run(node(["--test", AT_ONCE])
            .args(test_files(&"unit")?)
            .env("POLL_JS", folder().join("dist/poll.js")))?;
    }
    run(node(["--test", AT_ONCE])
        .args(
            ["unit", "real", "clients", "browser"]
                .iter()
                .map(test_files)
                .collect::<Result<Vec<_>>>()?
                .concat(),
        )
        .env("POLL_JS_TESTS", word)
        .env("CHROMIUM", browser)
        .env("POLL_SERVER_BINARY", Binary::of_the_tests()?.path()))?;
    if extent == Extent::All {
        test_in_firefox(install)?;
        test_in_deno()?;
    }
    Ok(())
}

/// Puts a server behind proxies, with these variables in the environment of the test.
pub(crate) fn run_proxies<'a>(
    binary: &Binary,
    variables: impl Iterator<Item = (&'a str, &'a str)>,
    install: Install,
) -> Result<()> {
    tools::ensure_these(TOOLS, "the proxies' test", install)?;
    prepare()?;
    run(node(["--test-reporter=spec", "test/proxies/proxies.test.js"])
        .envs(variables)
        .env("POLL_SERVER_BINARY", binary.path()))
}

/// Deno is not in Debian; npm has it, and keeps it where it keeps such programs.
fn test_in_deno() -> Result<()> {
    let from_npm = || format!("npm exec --yes --package=deno@{DENO} -- deno");
    let deno = tools::find("deno").map_or_else(from_npm, |deno| deno.display().to_string());
    run(node(["--test", AT_ONCE])
        .args(test_files(&"deno")?)
        .env("DENO", deno)
        .env("POLL_SERVER_BINARY", Binary::of_the_tests()?.path()))
}

fn test_in_firefox(install: Install) -> Result<()> {
    if !FIREFOX.iter().any(|browser| tools::is_installed(browser)) {
        tools::ensure_these(FIREFOX_TOOL, "the JavaScript client's tests", install)?;
    }
    let browser = FIREFOX.iter().find_map(|browser| tools::find(browser)).unwrap_or_default();
    run(node(["--test", AT_ONCE])
        .args(test_files(&"browser")?)
        .env("POLL_JS_TESTS", "whole")
        .env("POLL_BROWSER", "firefox")
        .env("FIREFOX", browser)
        .env("POLL_SERVER_BINARY", Binary::of_the_tests()?.path()))
}

/// The browser that tests drive.
pub(crate) fn browser(install: Install) -> Result<PathBuf> {
    if !BROWSERS.iter().any(|browser| tools::is_installed(browser)) {
        tools::ensure_these(BROWSER, "what runs in a browser", install)?;
    }
    Ok(BROWSERS.iter().find_map(|browser| tools::find(browser)).unwrap_or_default())
}

/// Makes sure of a Node that is new enough.
pub(crate) fn ensure_node(install: Install) -> Result<()> {
    tools::ensure_these(&TOOLS[..1], "what runs on Node", install)?;
    let version = output(Command::new("node").arg("--version"))?;
    let mut numbers =
        version.trim().trim_start_matches('v').split('.').map_while(|number| number.parse().ok());
    if numbers.next().zip(numbers.next()).is_none_or(|version| version < OLDEST_NODE) {
        let (major, minor) = OLDEST_NODE;
        bail!(Skip(format!("Node {} is older than {major}.{minor}", version.trim())));
    }
    Ok(())
}

/// Fetches what package-lock.json pins, unless it is there.
fn prepare() -> Result<()> {
    ensure_node(Install::Never)?;
    let changed = |file: &str| std::fs::metadata(folder().join(file)).and_then(|file| file.modified());
    match (changed("node_modules/.package-lock.json"), changed("package-lock.json")) {
        (Ok(fetched), Ok(wanted)) if fetched >= wanted => Ok(()),
        _ => match run(&mut npm(["ci", "--no-audit", "--no-fund"])) {
            Ok(()) => Ok(()),
            Err(error) => bail!(Skip(format!("npm cannot fetch what the client is built with: {error}"))),
        },
    }
}

/// The test files of one kind, by name: versions of Node differ in what they make of a folder.
fn test_files(kind: &&str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder().join("test").join(kind))? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".test.js") {
            files.push(path);
        }
    }
    files.sort();
    ensure!(!files.is_empty(), "no tests in test/{kind}");
    Ok(files)
}

fn folder() -> PathBuf {
    root().join("poll-client/js")
}

fn node<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    program("node", arguments)
}

fn npm<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    program("npm", arguments)
}

fn program<A: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(folder()).args(arguments);
    command
}
