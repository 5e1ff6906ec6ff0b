//! `cargo xtask package`: the Debian package, and the proof that it installs, runs, upgrades and goes.
//!
//! What: builds both programs, has them print their completions and pages, calls cargo-deb, and takes what comes out through a
//! Debian system of its own (`proof.rs`).
//! Why not cargo-deb alone: it builds one crate, and knows no program that prints what belongs into the package.
//! Not here: what the package holds, which is in `poll-server/Cargo.toml`.

mod proof;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use toml::Table;
use xtask::tools::{self, Install, Tool};
use xtask::workspace::{cargo, output, root, run, target};

/// What builds, checks and proves the package.
const TOOLS: &[Tool] = &[
    Tool { program: "strip", package: "binutils", purpose: "programs without what only a debugger reads" },
    Tool { program: "dpkg-shlibdeps", package: "dpkg-dev", purpose: "the libraries that the programs need" },
    Tool { program: "mmdebstrap", package: "mmdebstrap", purpose: "a Debian system to install into" },
    Tool { program: "lintian", package: "lintian", purpose: "Debian's own rules for packages" },
    Tool { program: "systemd-analyze", package: "systemd", purpose: "whether the units are right" },
];

/// The command's arguments.
#[derive(Args)]
pub(crate) struct Package {
    /// How the programs are compiled; `dev` is enough for the proof
    #[arg(long, value_enum, default_value = "release")]
    profile: Profile,
    /// Build the package only
    #[arg(long)]
    no_proof: bool,
}

/// A profile of cargo's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    Release,
    Dev,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dev => "dev",
        }
    }

    /// Where cargo puts it below the target folder.
    fn folder(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dev => "debug",
        }
    }
}

/// How much time is spent on making a package small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    Small,
    Fast,
}

impl Package {
    /// What the nightly run proves.
    pub(crate) const PROOF: Self = Self { profile: Profile::Dev, no_proof: false };

    pub(crate) fn run(&self) -> Result<()> {
        tools::ensure_these(TOOLS, "the package", Install::Allowed)?;
        let profile = self.profile.name();
        // One after the other, so that each has the libraries that its tests have as well.
        for package in ["poll-server", "poll-client"] {
            run(&mut cargo(["build", "--locked", "--profile", profile, "--package", package]))?;
        }
        let staged = target().join("package");
        let version = version()?;
        stage(&target().join(self.profile.folder()), &staged)?;
        let compression = if self.profile == Profile::Dev { Compression::Fast } else { Compression::Small };
        let first = build(&staged, &staged, &format!("{version}-1"), compression)?;
        if self.no_proof {
            println!("{}", first.display());
            return Ok(());
        }
        let upgrade = build(&staged, &staged.join("upgrade"), &format!("{version}-2"), Compression::Fast)?;
        run(Command::new("lintian")
            .args(["--fail-on", "error,warning", "--suppress-tags", LINTIAN])
            .arg(&first))?;
        proof::prove(&first, &upgrade)?;
        println!("{}", first.display());
        Ok(())
    }
}

/// What lintian finds and is meant so: no bug of Debian's is closed, and cargo links the libraries of its crates statically.
const LINTIAN: &str = "initial-upload-closes-no-bugs";

fn version() -> Result<String> {
    let manifest: Table = fs::read_to_string(root().join("Cargo.toml"))?.parse()?;
    let version = manifest["workspace"]["package"]["version"].as_str().context("no version")?;
    Ok(version.to_owned())
}

/// Lays out what the manifest names below target/package.
fn stage(built: &Path, staged: &Path) -> Result<()> {
    if staged.exists() {
        fs::remove_dir_all(staged)?;
    }
    for folder in ["bin", "man", "bash", "zsh", "fish"] {
        fs::create_dir_all(staged.join(folder))?;
    }
    for program in ["poll-server", "poll"] {
        let binary = built.join(program);
        let printed = |words: &[&str]| output(Command::new(&binary).args(words));
        fs::write(staged.join("bash").join(program), printed(&["completions", "bash"])?)?;
        fs::write(staged.join("zsh").join(format!("_{program}")), printed(&["completions", "zsh"])?)?;
        fs::write(staged.join("fish").join(format!("{program}.fish")), printed(&["completions", "fish"])?)?;
        let mut due = vec![vec![program.to_owned()]];
        while let Some(words) = due.pop() {
            let name = words.join("-");
            let page = output(Command::new(&binary).arg("man").args(&words[1..]))?;
            due.extend(
                commands(&page, &name).into_iter().map(|command| [words.clone(), vec![command]].concat()),
            );
            fs::write(staged.join("man").join(format!("{name}.1")), page)?;
        }
        run(Command::new("strip")
            .arg("--strip-unneeded")
            .arg("-o")
            .arg(staged.join("bin").join(program))
            .arg(&binary))?;
    }
    Ok(())
}

/// The commands that a page refers to: `poll\-server\-token(1)` is the page of `token`.
fn commands(page: &str, program: &str) -> Vec<String> {
    let start = format!("{}\\-", program.replace('-', "\\-"));
    let names = page.lines().filter_map(|line| line.strip_prefix(&start)?.strip_suffix("(1)"));
    names.map(str::to_owned).collect()
}

/// Has cargo-deb build the package of this version. It empties target/debian at each call, so they go elsewhere.
fn build(staged: &Path, folder: &Path, version: &str, compression: Compression) -> Result<PathBuf> {
    let date = output(Command::new("date").args(["-R", "-u", "-d", "@0"]))?;
    let changelog = format!(
        "poll-server ({version}) unstable; urgency=medium\n\n  * What has changed is in CHANGELOG.md of the sources.\n\n \
         -- The poll authors <poll-rs@users.noreply.github.com>  {date}"
    );
    fs::write(staged.join("changelog"), changelog)?;
    let tools = target().join("tools");
    run(cargo(["install", "--quiet", "--locked", "cargo-deb", "--root"]).arg(&tools))?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([tools.join("bin")].into_iter().chain(std::env::split_paths(&path)))?;
    let words = [
        "deb",
        "--quiet",
        "--locked",
        "--package",
        "poll-server",
        "--no-build",
        "--no-strip",
        "--deb-version",
        version,
    ];
    let architecture = output(Command::new("dpkg").arg("--print-architecture"))?;
    let made = folder.join(format!("poll-server_{version}_{}.deb", architecture.trim()));
    let compression = match compression {
        Compression::Small => None,
        Compression::Fast => Some("--fast"),
    };
    run(cargo(words).args(compression).arg("--output").arg(&made).env("PATH", path))?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_the_pages_of_its_commands() {
        let page = "poll\\-server \\- one log\n.TP\npoll\\-server\\-token(1)\nprint it\n.TP\npoll\\-server\\-man(1)\n";
        assert_eq!(commands(page, "poll-server"), ["token", "man"]);
        assert_eq!(commands("poll\\-tail(1)\n", "poll"), ["tail"]);
    }
}
