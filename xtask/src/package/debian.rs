//! A Debian container: a system in a folder, booted with systemd by systemd-nspawn.
//!
//! Why booted: systemd then starts the server with the user, limits and sandbox of its unit, and dpkg restarts it, as on any
//! machine. The container shares only the kernel with the host; its network is a loopback of its own.
//! Not here: what is tested in it.

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

/// What is added to Debian's smallest system: what starts services, and what the operator's guide calls.
const INCLUDE: &str =
    "--include=systemd,systemd-sysv,dbus,adduser,passwd,ca-certificates,curl,openssl,redis-server";
/// Boots the container. `/run` and the cgroups are mounted anew: where this machine is a container itself, it may have neither
/// in the form that systemd needs.
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
/// What systemd logs at the end of the boot.
const STARTED: &str = "Startup finished";
/// How long the boot may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running container.
pub(super) struct Debian {
    /// Holds the system; removed on drop.
    folder: TempDir,
    container: Child,
    /// The container's first process, by its PID on the host.
    first: Pid,
    /// What systemd writes to the console. It has to be read, or systemd blocks.
    console: Receiver<String>,
}

impl Debian {
    /// Installs Debian's release of this machine into a folder, and boots it.
    pub(super) fn boot() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            let why = "only root can boot a container; --no-test only builds the package";
            return Err(Skip(why.to_owned()).into());
        }
        let folder = tempfile::tempdir().context("cannot make a folder for a Debian system")?;
        let root = folder.path().join("root");
        let release = output(Command::new("sh").args(["-c", ". /etc/os-release && echo $VERSION_CODENAME"]))?;
        run(Command::new("mmdebstrap")
            .args(["--quiet", "--mode=root", "--variant=minbase", INCLUDE, release.trim()])
            .arg(&root))?;
        // As Debian's installer would write it.
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
                // The script that booted it ends with it.
                let first = first_process(container.id());
                let _is_ended = first.map(|first| kill_process(first, Signal::KILL));
                let _is_ended = container.wait();
                return Err(error);
            }
        };
        Ok(Self { folder, container, first, console })
    }

    /// The folder that is its root.
    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Root's home in it, where commands are run.
    pub(super) fn home(&self) -> PathBuf {
        self.root().join("root")
    }

    /// A command run in the container by root, in root's home, without our environment.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        let target = format!("--target={}", self.first.as_raw_nonzero());
        let namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"];
        command.arg(target).args(namespaces).args(["env", "--chdir=/root"]).args(words).stdin(Stdio::null());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root");
        command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C.UTF-8");
        command
    }

    /// What a command prints. A failure of the command is an error.
    pub(super) fn prints(&self, words: &[&str]) -> Result<String> {
        output(&mut self.command(words))
    }

    /// A property of a unit, as systemd shows it.
    pub(super) fn property(&self, unit: &str, name: &str) -> Result<String> {
        let property = format!("--property={name}");
        Ok(self.prints(&["systemctl", "show", &property, "--value", unit])?.trim().to_owned())
    }

    /// Runs dpkg, with a package if one is given.
    pub(super) fn dpkg(&self, words: &[&str], package: Option<&Path>) -> Result<()> {
        let mut command = self.command(&[&["dpkg"][..], words].concat());
        if let Some(package) = package {
            fs::copy(package, self.home().join("installed.deb"))?;
            command.arg("./installed.deb");
        }
        run(&mut command)
    }

    /// The last lines of its journal, for error messages.
    pub(super) fn journal(&self) -> String {
        self.prints(&["journalctl", "--no-pager", "--lines=60"]).unwrap_or_default()
    }

    /// Shuts it down as a machine is shut down.
    pub(super) fn power_off(mut self) -> Result<()> {
        run(&mut self.command(&["systemctl", "poweroff"]))?;
        let status = self.container.wait()?;
        ensure!(status.success(), "the system ended with {status}:\n{}", read(&self.console));
        Ok(())
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        // After a failure. Otherwise it has ended, and its PID may belong to another process by now.
        if matches!(self.container.try_wait(), Ok(None)) {
            let _is_ended = kill_process(self.first, Signal::KILL);
            let _is_ended = self.container.wait();
        }
    }
}

/// Waits until systemd has finished the boot.
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

/// The descendant of a process that is the first of its own PID namespace.
fn first_process(above: u32) -> Result<Pid> {
    let mut due = vec![above];
    while let Some(process) = due.pop() {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
        if numbers.split_whitespace().count() > 1 && numbers.ends_with("\t1") {
            return Pid::from_raw(process.try_into()?).context("no process has the PID 0");
        }
        let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?;
        due.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    bail!("the system has no first process")
}
