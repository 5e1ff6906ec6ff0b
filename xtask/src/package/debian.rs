//! A Debian system of its own, in a folder, booted by its own systemd.
//!
//! Why booted: then systemd starts the server, with the user, the limits and the sandbox of the unit, and dpkg restarts it, as on
//! any machine. It shares the kernel with this one and nothing else: its network is its own loopback.
//! Not here: what is asked of it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use xtask::steps::Skip;
use xtask::workspace::{output, run};

/// What is there besides Debian's smallest system: what starts services, and what the operator's guide calls.
const INCLUDE: &str =
    "--include=systemd,systemd-sysv,dbus,adduser,passwd,ca-certificates,curl,openssl,redis-server";
/// Runs the system in namespaces of its own. `/run` and the groups of processes are mounted afresh, as a machine that is a
/// container itself may have neither in the form that systemd takes.
const BOOT: &str = r#"
set -e
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
group=/sys/fs/cgroup/poll-package-$$
mkdir "$group"
echo $$ >"$group/cgroup.procs"
SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --quiet --directory="$1" --boot --register=no --keep-unit \
    --private-network --console=read-only systemd.log_target=console || true
echo $$ >/sys/fs/cgroup/cgroup.procs
find "$group" -depth -type d -exec rmdir {} +
"#;
/// What systemd says at the end of a start.
const STARTED: &str = "Startup finished";
/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running system.
pub(super) struct Debian {
    /// Removed when this is dropped.
    folder: TempDir,
    container: Child,
    /// The system's first process, by its number here.
    first: Pid,
    /// What it writes to its console. It has to be read, or systemd waits.
    console: Receiver<String>,
}

impl Debian {
    /// Makes one of the release that this machine has, and starts it.
    pub(super) fn boot() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            let why = "only root can start a system of its own; with --no-proof the package is built alone";
            return Err(Skip(why.to_owned()).into());
        }
        let folder = tempfile::tempdir().context("cannot make a folder for a Debian system")?;
        let root = folder.path().join("root");
        let release = output(Command::new("sh").args(["-c", ". /etc/os-release && echo $VERSION_CODENAME"]))?;
        run(Command::new("mmdebstrap")
            .args(["--quiet", "--mode=root", "--variant=minbase", INCLUDE, release.trim()])
            .arg(&root))?;
        // As Debian's installer writes it.
        fs::write(
            root.join("etc/hosts"),
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
        )?;
        let mut container = Command::new("unshare")
            .args(["--mount", "--propagation=private", "sh", "-c", BOOT, "boot"])
            .arg(&root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start unshare")?;
        let lines = container.stdout.take().context("the system has no console")?;
        let (sender, console) = channel();
        thread::spawn(move || {
            let mut lines = BufReader::new(lines).split(b'\n').map_while(Result::ok);
            lines.try_for_each(|line| sender.send(String::from_utf8_lossy(&line).into_owned()))
        });
        let first = match started(&console).and_then(|()| first_process(container.id())) {
            Ok(first) => first,
            Err(error) => {
                // Its script ends with it.
                let first = first_process(container.id());
                let _is_ended = first.map(|first| kill_process(first, Signal::KILL));
                let _is_ended = container.wait();
                return Err(error);
            }
        };
        Ok(Self { folder, container, first, console })
    }

    /// The folder that holds its files.
    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// The folder in which commands are run: that of its user root.
    pub(super) fn home(&self) -> PathBuf {
        self.root().join("root")
    }

    /// A command within it, by root in root's folder, with nothing of our environment.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        let target = format!("--target={}", self.first.as_raw_nonzero());
        let namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"];
        command.arg(target).args(namespaces).args(["env", "--chdir=/root"]).args(words).stdin(Stdio::null());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root");
        command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C.UTF-8");
        command
    }

    /// What a command prints, which has to succeed.
    pub(super) fn prints(&self, words: &[&str]) -> Result<String> {
        output(&mut self.command(words))
    }

    /// A property of a unit, as systemd shows it.
    pub(super) fn property(&self, unit: &str, name: &str) -> Result<String> {
        let property = format!("--property={name}");
        Ok(self.prints(&["systemctl", "show", &property, "--value", unit])?.trim().to_owned())
    }

    /// Has dpkg do something, with a package where one is given.
    pub(super) fn dpkg(&self, words: &[&str], package: Option<&Path>) -> Result<()> {
        let mut command = self.command(&[&["dpkg"][..], words].concat());
        if let Some(package) = package {
            fs::copy(package, self.home().join("installed.deb"))?;
            command.arg("./installed.deb");
        }
        run(&mut command)
    }

    /// The last lines of its journal, for a failure's message.
    pub(super) fn journal(&self) -> String {
        self.prints(&["journalctl", "--no-pager", "--lines=60"]).unwrap_or_default()
    }

    /// Stops it as a machine is stopped.
    pub(super) fn power_off(mut self) -> Result<()> {
        run(&mut self.command(&["systemctl", "poweroff"]))?;
        let status = self.container.wait()?;
        ensure!(status.success(), "the system ended with {status}:\n{}", read(&self.console));
        Ok(())
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        // Where something else failed; it has ended otherwise, and its number may be another's.
        if matches!(self.container.try_wait(), Ok(None)) {
            let _is_ended = kill_process(self.first, Signal::KILL);
            let _is_ended = self.container.wait();
        }
    }
}

/// Waits until systemd has started all that it starts.
fn started(console: &Receiver<String>) -> Result<()> {
    let (deadline, mut said) = (Instant::now() + PATIENCE, String::new());
    while let Ok(line) = console.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        if line.contains(STARTED) {
            return Ok(());
        }
        said += &(line + "\n");
    }
    bail!("the system did not start:\n{said}")
}

fn read(console: &Receiver<String>) -> String {
    console.try_iter().collect::<Vec<_>>().join("\n")
}

/// The process below this one that is the first of its own namespace.
fn first_process(above: u32) -> Result<Pid> {
    let mut due = vec![above];
    while let Some(process) = due.pop() {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
        if numbers.split_whitespace().count() > 1 && numbers.ends_with("\t1") {
            return Pid::from_raw(process.try_into()?).context("no process has the number 0");
        }
        let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?;
        due.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    bail!("the system has no first process")
}
