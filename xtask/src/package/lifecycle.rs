//! The package's life in a Debian container: it installs, systemd runs it as its user and in its sandbox, its data survives a
//! restart, an upgrade and a removal, and a purge leaves nothing.
//!
//! What a container cannot show: limits by cgroup, of which the unit has none.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, getrlimit};

use super::debian::Debian;

const CONFIG: &str = "etc/poll/poll.toml";
const DATA: &str = "var/lib/poll";
const DOCUMENTS: &str = "usr/share/doc/poll-server";
/// A setting that an operator has changed.
const CHANGE: &str = "\nretain-messages = 77\n";
/// The highest exposure that `systemd-analyze security` may report, in tenths: 1.5, where a unit without a sandbox has 9.6. What
/// remains is the network, the capability for low ports, and files that the group may read.
const EXPOSURE: &str = "--threshold=15";
/// The limit of open files, soft and hard.
const FILES: &str = "1048576";
/// Where files come and go that belong to no package.
const PASSING: &[&str] = &[
    "proc",
    "sys",
    "dev",
    "tmp",
    "run",
    "root",
    "var/tmp",
    "var/lib/apt",
    "var/lib/dpkg",
    "var/lib/redis",
    "var/lib/systemd/timers",
    "var/log",
    "var/cache",
];

/// Takes the package through its life: the first version is installed, upgraded to the second, removed and purged.
pub(super) fn test(debian: &Debian, first: &Path, second: &Path) -> Result<()> {
    let system = Installed(debian);
    let before = files(&debian.root())?;

    debian.dpkg(&["--install"], Some(first))?;
    system.is_set_up()?;
    let version = debian.prints(&["poll-server", "--version"])?;
    let number = files(&debian.root())?.difference(&before).count();
    println!("installed: {}, with {number} files", version.trim());
    system.is_sandboxed()?;
    debian.prints(&["poll", "publish", "news", "hello"])?;
    debian.prints(&["systemctl", "restart", "poll"])?;
    system.remembers("a restart")?;

    let config = debian.root().join(CONFIG);
    fs::write(&config, fs::read_to_string(&config)? + CHANGE)?;
    let old_process = system.process()?;
    debian.dpkg(&["--force-confold", "--install"], Some(second))?;
    system.is_set_up()?;
    ensure!(system.process()? != old_process, "an upgrade did not restart the service");
    system.keeps_the_change()?;
    system.remembers("an upgrade")?;
    system.has_a_socket()?;

    debian.dpkg(&["--remove", "poll-server"], None)?;
    ensure!(!debian.root().join("usr/bin/poll-server").exists(), "the program is still there");
    ensure!(debian.property("poll", "ActiveState")? != "active", "the server still runs");
    system.keeps_the_change()?;
    debian.dpkg(&["--install"], Some(first))?;
    system.remembers("a removal")?;

    // The operator's file of tokens, which is no part of the package, goes with a purge as well.
    fs::write(debian.root().join("etc/poll/environment"), "POLL_PUBLISH_TOKEN=x\n")?;
    debian.dpkg(&["--purge", "poll-server"], None)?;
    let left = files(&debian.root())?;
    let left: Vec<_> = left.difference(&before).collect();
    ensure!(left.is_empty(), "a purge leaves {left:#?}");
    let users = fs::read_to_string(debian.root().join("etc/passwd"))?;
    ensure!(!users.contains("poll:"), "a purge leaves the user");
    println!("purged: nothing is left");
    Ok(())
}

/// A container with the package installed.
struct Installed<'a>(&'a Debian);

impl Installed<'_> {
    /// Checks the user, the folder, the service, the manual pages and the completions.
    fn is_set_up(&self) -> Result<()> {
        let user = self.0.prints(&["getent", "passwd", "poll"])?;
        ensure!(user.trim().ends_with(":/var/lib/poll:/usr/sbin/nologin"), "the user is {user}");
        let data = fs::metadata(self.0.root().join(DATA))?;
        ensure!(data.uid() == self.user()? && data.mode() & 0o777 == 0o750, "the data's folder is {data:?}");
        for file in [
            "usr/share/man/man1/poll-server.1.gz",
            "usr/share/man/man1/poll-server-doctor.1.gz",
            "usr/share/man/man1/poll-tail.1.gz",
            "usr/share/bash-completion/completions/poll",
            "usr/share/zsh/vendor-completions/_poll-server",
            "usr/share/fish/vendor_completions.d/poll-server.fish",
            "usr/lib/systemd/system/poll.socket",
        ] {
            ensure!(self.0.root().join(file).is_file(), "there is no {file}");
        }
        for file in ["copyright", "libraries.txt.gz", "rust-library.html.gz", "poll.cdx.json"] {
            ensure!(self.0.root().join(DOCUMENTS).join(file).is_file(), "there is no {DOCUMENTS}/{file}");
        }
        let (state, enabled) =
            (self.0.property("poll", "ActiveState")?, self.0.property("poll", "UnitFileState")?);
        ensure!(
            (state.as_str(), enabled.as_str()) == ("active", "enabled"),
            "the service is {state}, {enabled}"
        );
        let restarts = self.0.property("poll", "NRestarts")?;
        ensure!(restarts == "0", "it took {restarts} restarts");
        self.units_are_understood()
    }

    /// Checks that systemd warns of nothing in the units, such as an unknown setting.
    fn units_are_understood(&self) -> Result<()> {
        let words = ["systemd-analyze", "verify", "--man=no", "poll.service", "poll.socket"];
        let said = self.0.command(&words).output().context("cannot start nsenter")?;
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        let wrong: Vec<&str> = said.lines().filter(|line| line.contains("poll.")).collect();
        ensure!(wrong.is_empty(), "systemd does not understand the units: {wrong:#?}");
        self.0.prints(&["systemd-analyze", "security", EXPOSURE, "poll.service"]).map(|_| ())
    }

    /// Checks that the running process cannot do what the unit forbids.
    fn is_sandboxed(&self) -> Result<()> {
        let process = self.process()?;
        let status = self.0.prints(&["cat", &format!("/proc/{process}/status")])?;
        let user = self.user()?;
        let uids = format!("Uid:\t{user}\t{user}\t{user}\t{user}");
        let bind_a_port = "0000000000000400";
        for line in [
            uids.as_str(),
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
            "CapEff:\t0000000000000000",
            "CapAmb:\t0000000000000000",
            &format!("CapBnd:\t{bind_a_port}"),
        ] {
            ensure!(status.lines().any(|found| found == line), "the server has no {line:?}:\n{status}");
        }
        let limits = self.0.prints(&["cat", &format!("/proc/{process}/limits")])?;
        let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap_or_default();
        let files: Vec<&str> = files.split_whitespace().take(2).collect();
        let (wanted, most) = (self.0.property("poll", "LimitNOFILE")?, most_files());
        ensure!(wanted == FILES, "the unit's limit of open files is {wanted}");
        // Where root may not raise the limit, as in some containers, systemd keeps the highest that there is.
        let is_raised = files == [FILES, FILES] || files == [most.as_str(), most.as_str()];
        ensure!(
            is_raised,
            "the server's limit of open files is {files:?}, of {FILES} or this machine's {most}"
        );
        // As root, in the server's mount namespace, so that only the mounts can refuse.
        let inside = |script: &str| {
            let target = format!("--target={process}");
            self.0.prints(&["nsenter", &target, "--mount", "sh", "-c", script])
        };
        inside("touch /var/lib/poll/x && rm /var/lib/poll/x").context("the store's folder")?;
        for folder in ["/usr", "/etc/poll", "/var/lib", "/home", "/root", "/sys"] {
            let script = format!("! touch {folder}/x 2>&1");
            let said = inside(&script).with_context(|| format!("the server can write to {folder}"))?;
            ensure!(!said.contains("No such file"), "there is no {folder} to write to: {said}");
        }
        self.0.prints(&["sh", "-c", "cd /tmp && touch of-others && cd /home && mkdir of-others"])?;
        for empty in ["/tmp", "/home", "/root"] {
            let found = inside(&format!("ls -A {empty}"))?;
            ensure!(found.is_empty(), "{empty} is not the server's own: {found}");
        }
        self.0.prints(&["sh", "-c", "cd /home && rmdir of-others"])?;
        let devices = inside("find /dev -type b")?;
        ensure!(devices.is_empty(), "the server has the devices {devices}");
        let others = inside(&format!(
            "setpriv --reuid {user} --regid {user} --clear-groups sh -c 'ls -d /proc/1'; true"
        ))?;
        ensure!(others.is_empty(), "the server sees the processes of others");
        println!("sandboxed: capabilities, calls, mounts, devices, processes; {} open files", files[0]);
        Ok(())
    }

    /// Checks that with `poll.socket` a request made during a restart waits, and is answered.
    fn has_a_socket(&self) -> Result<()> {
        self.0.prints(&["systemctl", "stop", "poll"])?;
        self.0.prints(&["systemctl", "start", "poll.socket", "poll.service"])?;
        self.0.prints(&["systemctl", "stop", "poll.service"])?;
        ensure!(self.0.property("poll", "ActiveState")? != "active", "the server still runs");
        let asked = ["curl", "--fail", "--silent", "--max-time", "60", "http://127.0.0.1:8080/readyz"];
        self.0.prints(&asked).context("the socket did not start the server")?;
        self.0.prints(&["systemctl", "stop", "poll.socket", "poll.service"])?;
        self.0.prints(&["systemctl", "start", "poll.service"])?;
        println!("held: the socket, while the server was away");
        Ok(())
    }

    fn user(&self) -> Result<u32> {
        self.0.prints(&["id", "-u", "poll"])?.trim().parse().context("the user has no number")
    }

    /// The PID of the server, in the container.
    fn process(&self) -> Result<String> {
        self.0.property("poll", "MainPID")
    }

    /// Checks that the message is still there.
    fn remembers(&self, what: &str) -> Result<()> {
        let read = self.0.prints(&["poll", "tail", "news", "--from", "start", "--count", "1"])?;
        ensure!(read == "hello\n", "after {what} there is {read:?}");
        println!("kept across {what}: the message");
        Ok(())
    }

    fn keeps_the_change(&self) -> Result<()> {
        let config = fs::read_to_string(self.0.root().join(CONFIG))?;
        ensure!(config.ends_with(CHANGE), "the operator's change of {CONFIG} is lost");
        Ok(())
    }
}

/// The highest number of open files that this machine allows a process.
fn most_files() -> String {
    getrlimit(Resource::Nofile).maximum.map_or_else(|| "unlimited".to_owned(), |most| most.to_string())
}

/// The path of every file and folder below `root`, except those that come and go, and the backups (`passwd-`) that the tools
/// for users and groups make in `/etc`.
fn files(root: &Path) -> Result<BTreeSet<String>> {
    let mut files = BTreeSet::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            let name = path.strip_prefix(root)?.display().to_string();
            if PASSING.contains(&name.as_str()) || (name.starts_with("etc/") && name.ends_with('-')) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(path);
            }
            files.insert(name);
        }
    }
    Ok(files)
}
