//! A network namespace for the whole run, in which every server has the same, plain congestion control.
//!
//! The system's may be one that paces what it sends, such as BBR. Loopback needs no pacing, and what it costs differs
//! between servers by how they write. A namespace is entered by running this program again inside one.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

/// Set in the environment of the program inside.
const INSIDE: &str = "BENCH_NAMESPACE";
/// Run inside, with the program and its arguments. Reno is the one that every Linux allows in a namespace.
const SET_UP: &str =
    "ip link set lo up && echo reno > /proc/sys/net/ipv4/tcp_congestion_control && exec \"$0\" \"$@\"";

/// Goes on inside a namespace. To be called once all that needs a network is there: builds and packages. Where there
/// is no right to make one the run goes on outside, which is said.
pub(super) fn enter() -> Result<()> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(());
    }
    let works = unshared().arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !works {
        eprintln!("no network namespace (unshare, ip): all servers have the system's congestion control");
        return Ok(());
    }
    let program = std::env::current_exe().context("we run from a file")?;
    // Comes back only if it fails.
    Err(unshared().arg(program).args(std::env::args_os().skip(1)).env(INSIDE, "1").exec())
        .context("cannot run in a network namespace")
}

/// A shell in a namespace of its own; what is to be run follows.
fn unshared() -> Command {
    let mut command = Command::new("unshare");
    command.arg("--net");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["sh", "-c", SET_UP]);
    command
}
