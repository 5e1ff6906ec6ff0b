//! What every form of the package installs, laid out as below `/usr` or `/usr/local`: the programs, their manual pages and
//! completions, the bill of materials and the licences.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use toml::Table;
use xtask::workspace::{output, root, run};

use super::{licences, linked, sbom};

const PROGRAMS: [&str; 2] = ["poll-server", "poll"];
const DOCUMENTS: &str = "share/doc/poll";
/// The licences of Rust's standard library, as they come with the compiler.
const STD_COPYRIGHT: &str = "share/doc/rust/COPYRIGHT-library.html";

/// Lays out the files from what cargo has built for a target.
pub(super) fn lay_out(built: &Path, triple: &str, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let into = |path: &str| -> Result<_> {
        let path = folder.join(path);
        fs::create_dir_all(&path)?;
        Ok(path)
    };
    let (bin, man) = (into("bin")?, into("share/man/man1")?);
    let bash = into("share/bash-completion/completions")?;
    let (zsh, fish) = (into("share/zsh/vendor-completions")?, into("share/fish/vendor_completions.d")?);
    let crates = linked::crates(triple)?;
    for program in PROGRAMS {
        let binary = built.join(program);
        let printed = |words: &[&str]| output(Command::new(&binary).args(words));
        fs::write(bash.join(program), printed(&["completions", "bash"])?)?;
        fs::write(zsh.join(format!("_{program}")), printed(&["completions", "zsh"])?)?;
        fs::write(fish.join(format!("{program}.fish")), printed(&["completions", "fish"])?)?;
        pages(&binary, program, &man)?;
        let stripped = bin.join(program);
        run(Command::new("strip").arg("--strip-unneeded").arg("-o").arg(&stripped).arg(&binary))?;
        linked::check_complete(&crates, &stripped)?;
    }
    let documents = into(DOCUMENTS)?;
    fs::write(documents.join("libraries.txt"), licences::list(&crates)?)?;
    let compiler = output(Command::new("rustc").current_dir(root()).arg("--version"))?;
    fs::write(documents.join("poll.cdx.json"), sbom::document(&crates, &version()?, compiler.trim())?)?;
    let toolchain = output(Command::new("rustc").current_dir(root()).args(["--print", "sysroot"]))?;
    let copyright = Path::new(toolchain.trim()).join(STD_COPYRIGHT);
    fs::copy(&copyright, documents.join("rust-library.html"))
        .with_context(|| format!("the compiler has no {}", copyright.display()))?;
    for large in ["libraries.txt", "rust-library.html"] {
        run(Command::new("gzip").args(["--best", "--no-name"]).arg(documents.join(large)))?;
    }
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        fs::copy(root().join(licence), documents.join(licence))?;
    }
    println!("listed: {} crates", crates.len());
    Ok(())
}

/// The version of the workspace.
pub(super) fn version() -> Result<String> {
    let manifest: Table = fs::read_to_string(root().join("Cargo.toml"))?.parse()?;
    let version = manifest["workspace"]["package"]["version"].as_str().context("no version")?;
    Ok(version.to_owned())
}

/// Writes a program's manual page, and those of all its commands.
fn pages(binary: &Path, program: &str, man: &Path) -> Result<()> {
    let mut due = vec![vec![program.to_owned()]];
    while let Some(words) = due.pop() {
        let name = words.join("-");
        let page = output(Command::new(binary).arg("man").args(&words[1..]))?;
        due.extend(commands(&page, &name).into_iter().map(|command| [words.clone(), vec![command]].concat()));
        fs::write(man.join(format!("{name}.1")), page)?;
    }
    Ok(())
}

/// The commands that a manual page refers to: `poll\-server\-token(1)` is the page of `token`.
fn commands(page: &str, program: &str) -> Vec<String> {
    let start = format!("{}\\-", program.replace('-', "\\-"));
    let names = page.lines().filter_map(|line| line.strip_prefix(&start)?.strip_suffix("(1)"));
    names.map(str::to_owned).collect()
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
