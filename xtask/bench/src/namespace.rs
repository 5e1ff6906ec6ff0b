//! A network namespace for the whole run, with the plainest congestion control.
//!
//! The system's may be one that paces, such as BBR. Loopback needs no pacing, and what it costs depends on how a server
//! writes. The namespace is entered by running this program again inside it.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

/// Set in the environment of the program inside.
const INSIDE: &str = "BENCH_NAMESPACE";
/// A shell script that sets the namespace up and runs its arguments. Every Linux allows Reno in a namespace.
const SET_UP: &str =
    "ip link set lo up && echo reno > /proc/sys/net/ipv4/tcp_congestion_control && exec \"$0\" \"$@\"";

/// Continues inside a namespace. To be called after everything that needs a network: builds and packages. Without the
/// right to make a namespace, prints a note and continues outside.
pub(super) fn enter() -> Result<()> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(());
    }
    let works = unshared().arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !works {
        eprintln!("cannot make a network namespace (unshare, ip): the system's congestion control is used");
        return Ok(());
    }
    let program = std::env::current_exe().context("this program is a file")?;
    // Returns only on failure.
    Err(unshared().arg(program).args(std::env::args_os().skip(1)).env(INSIDE, "1").exec())
        .context("cannot run in a network namespace")
}

/// The script in a new namespace; its arguments follow.
fn unshared() -> Command {
    let mut command = Command::new("unshare");
    command.arg("--net");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["sh", "-c", SET_UP]);
    command
}
