//! The programs that tests and benches call, and how they get onto a machine.
//!
//! As root on Debian what is missing is installed, and said. Anywhere else it is named, with the line to type, and the
//! command fails: a test that skips itself for want of a program would pass for the wrong reason.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::workspace::{cargo, run};

/// One program that tests or benches call.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// What is looked for in `PATH`, or a file by its whole path.
    pub program: &'static str,
    /// The Debian package that holds it.
    pub package: &'static str,
    /// What it is needed for.
    pub purpose: &'static str,
}

/// Every program that a test may call; `tidy` refuses a test that calls another.
pub const TOOLS: &[Tool] = &[
    Tool { program: "sh", package: "dash", purpose: "programs that stand in for others" },
    Tool { program: "timeout", package: "coreutils", purpose: "examples that must come to an end" },
    Tool { program: "bash", package: "bash", purpose: "the examples in the documents" },
    Tool { program: "git", package: "git", purpose: "which files belong to the project" },
    Tool { program: "curl", package: "curl", purpose: "the wire as an independent HTTP client sees it" },
    Tool { program: "nghttp", package: "nghttp2-client", purpose: "HTTP/2 server push and early hints" },
    Tool { program: "/usr/bin/python3", package: "python3", purpose: "what Python's HTTP/2 makes of pushes" },
    Tool {
        program: "/usr/lib/python3/dist-packages/h2/connection.py",
        package: "python3-h2",
        purpose: "the same",
    },
    Tool { program: "node", package: "nodejs", purpose: "the examples' pages, driven in a browser" },
    Tool { program: "chromium", package: "chromium", purpose: "the same" },
    Tool { program: "nginx", package: "nginx-light", purpose: "poll behind a proxy" },
    Tool { program: "haproxy", package: "haproxy", purpose: "poll behind a proxy" },
    Tool { program: "varnishd", package: "varnish", purpose: "poll behind a proxy" },
    Tool { program: "redis-server", package: "redis-server", purpose: "servers that share a log" },
    Tool { program: "redis-cli", package: "redis-tools", purpose: "the same, and what breaks there" },
    Tool { program: "redis-benchmark", package: "redis-tools", purpose: "what a script costs Redis alone" },
    Tool { program: "pebble", package: "pebble", purpose: "an authority for certificates by ACME" },
    Tool { program: "pebble-challtestsrv", package: "pebble", purpose: "the names that it looks up" },
    Tool { program: "faketime", package: "faketime", purpose: "a server whose clock is wrong" },
    Tool { program: "unshare", package: "util-linux", purpose: "a store that cannot be written" },
    Tool { program: "mount", package: "mount", purpose: "the same" },
    Tool { program: "openssl", package: "openssl", purpose: "a certificate for HTTP/2 behind nginx" },
];

/// Whether what is missing may be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Install {
    /// As root on Debian.
    Allowed,
    /// It is only named.
    Never,
}

/// Makes sure of these tools, which `caller` calls, or fails with the line that installs the missing ones.
pub fn ensure_these(tools: &[Tool], caller: &str, install: Install) -> Result<()> {
    let missing: Vec<&Tool> = tools.iter().filter(|tool| !is_installed(tool.program)).collect();
    for tool in &missing {
        eprintln!("missing: {} ({}), for {}", tool.program, tool.package, tool.purpose);
    }
    if missing.is_empty() {
        return Ok(());
    }
    let is_possible = rustix::process::geteuid().is_root() && Path::new("/etc/debian_version").exists();
    if install == Install::Never || !is_possible {
        bail!("programs needed by {caller} are missing; on Debian type\n  {}", line(&missing));
    }
    eprintln!("installing from Debian: {}", packages(&missing).join(" "));
    run(apt_get().arg("update").arg("-qq")).context("reading the package lists")?;
    run(apt_get().args(["install", "-y", "-qq", "--no-install-recommends"]).args(packages(&missing)))?;
    for Tool { program, package, .. } in missing {
        ensure!(is_installed(program), "{program} is still missing after {package} was installed");
    }
    Ok(())
}

/// Makes sure of a component of the Rust toolchain, such as `fmt` or `clippy`.
pub fn ensure_component(subcommand: &str, component: &str) -> Result<()> {
    let found = cargo([subcommand, "--version"]).output().is_ok_and(|output| output.status.success());
    ensure!(found, "`cargo {subcommand}` is missing; install it by\n  rustup component add {component}");
    Ok(())
}

/// Whether a program stands in one of the folders of `PATH`.
pub fn is_installed(program: &str) -> bool {
    find(program).is_some()
}

/// Where a program stands.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Servers live in the folders that only root has in its PATH.
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let folders = std::env::split_paths(&path).chain(system);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn packages(tools: &[&Tool]) -> Vec<&'static str> {
    let mut packages: Vec<_> = tools.iter().map(|tool| tool.package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

fn line(tools: &[&Tool]) -> String {
    format!(
        "sudo apt-get update && sudo apt-get install -y --no-install-recommends {}",
        packages(tools).join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_to_type_names_each_package_once() {
        let tool = |program, package| Tool { program, package, purpose: "" };
        let (one, two, three) =
            (tool("nghttp", "nghttp2-client"), tool("curl", "curl"), tool("nghttpd", "nghttp2-client"));
        assert_eq!(
            line(&[&one, &two, &three]),
            "sudo apt-get update && sudo apt-get install -y --no-install-recommends curl nghttp2-client"
        );
    }

    #[test]
    fn a_program_is_found_in_the_path_or_it_is_not() {
        assert!(is_installed("sh"));
        assert!(!is_installed("no-such-program-anywhere"));
    }
}
