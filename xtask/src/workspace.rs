//! Where the workspace is, which files belong to it, and how its other programs are called.
//!
//! Leaves alone what the programs do; a command that fails is an error that names its command line.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The workspace's top folder. Cargo's own word for it at run time wins over that of the build, so that a moved
/// checkout keeps working.
pub fn root() -> PathBuf {
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")),
        |folder| {
            if Path::new(&folder).ends_with("xtask") {
                folder.into()
            } else {
                env!("CARGO_MANIFEST_DIR").into()
            }
        },
    );
    xtask.parent().map_or_else(|| xtask.clone(), Path::to_path_buf)
}

/// The target folder of ordinary builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// What this machine is called as a target of the compiler.
pub fn host() -> Result<String> {
    output(Command::new("rustc").current_dir(root()).args(["--print", "host-tuple"]))
        .map(|host| host.trim().to_owned())
}

/// A call of the cargo that runs us, in the workspace.
pub fn cargo<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments);
    command
}

/// Shows the command line, runs it on our own streams, and fails unless it succeeds.
pub fn run(command: &mut Command) -> Result<()> {
    let line = line_of(command);
    eprintln!("$ {line}");
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    ensure!(status.success(), "`{line}` failed: {status}");
    Ok(())
}

/// Runs silently and gives what was written to standard output.
pub fn output(command: &mut Command) -> Result<String> {
    let line = line_of(command);
    let output = command.output().with_context(|| format!("cannot start `{line}`"))?;
    ensure!(
        output.status.success(),
        "`{line}` failed: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` did not print UTF-8"))
}

/// Every file that belongs to the project, relative to the root and sorted: those that git tracks, and new ones that it
/// does not ignore.
pub fn files() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(root()).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let listing = output(&mut git).context("the project's files are those that git knows")?;
    let top = root();
    let mut files: Vec<String> =
        listing.lines().filter(|path| top.join(path).is_file()).map(str::to_owned).collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// The command as one would type it, with the environment it adds.
fn line_of(command: &Command) -> String {
    let mut words: Vec<String> = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_string_lossy(), quoted(value?))))
        .collect();
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    words.push(quoted(program));
    words.extend(command.get_args().map(quoted));
    words.join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.contains([' ', '"', '$', '*']) { format!("'{word}'") } else { word.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_shown_as_one_would_type_it() {
        let mut command = cargo(["test", "--workspace"]);
        command.env("RUSTFLAGS", "--cfg loom");
        assert_eq!(line_of(&command), "RUSTFLAGS='--cfg loom' cargo test --workspace");
    }

    #[test]
    fn the_root_is_the_folder_above_this_crate() {
        assert!(root().join("xtask/src/workspace.rs").is_file());
    }
}
