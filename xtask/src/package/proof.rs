//! The package in a Debian system of its own: it installs, runs as its user, keeps its data over a restart, an upgrade and a
//! removal, and a purge leaves nothing.
//!
//! Why without systemd: a system of its own in a folder has none. The server is started as its unit says, as the user, in the
//! folder and by the command that are read from there; that systemd knows its words is asked of `systemd-analyze`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use xtask::steps::Skip;
use xtask::workspace::{output, run};

const UNIT: &str = "usr/lib/systemd/system/poll.service";
const CONFIG: &str = "etc/poll/poll.toml";
const DATA: &str = "var/lib/poll";
/// What an operator has changed.
const CHANGE: &str = "\nretain-messages = 77\n";
/// Where files come and go that are no package's.
const PASSING: &[&str] =
    &["proc", "sys", "dev", "tmp", "run", "root", "var/lib/dpkg", "var/log", "var/cache"];

/// Takes the first version through a life, in which the second replaces it.
pub(super) fn prove(first: &Path, second: &Path) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Skip("only root can install a package into a system of its own".to_owned()).into());
    }
    let folder = tempfile::tempdir().context("cannot make a folder for a Debian system")?;
    let root = folder.path().join("root");
    let release = output(Command::new("sh").args(["-c", ". /etc/os-release && echo $VERSION_CODENAME"]))?;
    let include = "--include=adduser,passwd";
    run(Command::new("mmdebstrap")
        .args(["--quiet", "--mode=root", "--variant=minbase", include, release.trim()])
        .arg(&root))?;
    let before = files(&root)?;
    let system = System(&root);

    system.dpkg(&["--install"], Some(first))?;
    system.is_set_up()?;
    let version = system.prints(&["poll-server", "--version"])?;
    println!("installed: {}, with {} files", version.trim(), files(&root)?.difference(&before).count());
    let server = system.start()?;
    system.prints(&["poll", "--server", &server.address, "publish", "news", "hello"])?;
    server.stop()?;
    system.remembers("a restart")?;

    fs::write(root.join(CONFIG), fs::read_to_string(root.join(CONFIG))? + CHANGE)?;
    system.dpkg(&["--force-confold", "--install"], Some(second))?;
    system.is_set_up()?;
    system.keeps_the_change()?;
    system.remembers("an upgrade")?;

    system.dpkg(&["--remove", "poll-server"], None)?;
    ensure!(!root.join("usr/bin/poll-server").exists(), "the program is still there");
    system.keeps_the_change()?;
    system.dpkg(&["--install"], Some(first))?;
    system.remembers("a removal")?;

    // What is secret is the operator's own file.
    fs::write(root.join("etc/poll/environment"), "POLL_PUBLISH_TOKEN=x\n")?;
    system.dpkg(&["--purge", "poll-server"], None)?;
    let (left, gone) = (files(&root)?, before);
    let left: Vec<_> = left.difference(&gone).collect();
    ensure!(left.is_empty(), "a purge leaves {left:#?}");
    let users = fs::read_to_string(root.join("etc/passwd"))?;
    ensure!(!users.contains("poll:"), "a purge leaves the user");
    println!("purged: nothing is left");
    Ok(())
}

/// A Debian system in a folder.
struct System<'a>(&'a Path);

/// The server within it.
struct Running {
    child: Child,
    address: String,
    /// Open for as long as it writes.
    log: BufReader<ChildStderr>,
}

impl System<'_> {
    /// Runs a command within it.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("chroot");
        command.arg(self.0).args(words).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C.UTF-8");
        command
    }

    fn prints(&self, words: &[&str]) -> Result<String> {
        output(&mut self.command(words))
    }

    fn dpkg(&self, words: &[&str], package: Option<&Path>) -> Result<()> {
        let mut command = self.command(&[&["dpkg"][..], words].concat());
        if let Some(package) = package {
            let inside = "/run/poll-server.deb";
            fs::copy(package, self.0.join(&inside[1..]))?;
            command.arg(inside);
        }
        run(&mut command)
    }

    /// User, folder, configuration, pages and completions are as they should be.
    fn is_set_up(&self) -> Result<()> {
        let user = self.prints(&["getent", "passwd", "poll"])?;
        ensure!(user.trim().ends_with(":/var/lib/poll:/usr/sbin/nologin"), "the user is {user}");
        let data = fs::metadata(self.0.join(DATA))?;
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
            ensure!(self.0.join(file).is_file(), "there is no {file}");
        }
        let enabled = self.0.join("etc/systemd/system/multi-user.target.wants/poll.service");
        ensure!(enabled.is_symlink(), "the service is not enabled");
        self.units_are_understood()
    }

    /// Systemd's own parser knows every word of the units. What else it misses, because the system here has no systemd, is not
    /// looked at.
    fn units_are_understood(&self) -> Result<()> {
        let mut command = Command::new("systemd-analyze");
        command.args(["verify", "--man=no"]).arg(format!("--root={}", self.0.display()));
        let said =
            command.args(["poll.service", "poll.socket"]).output().context("cannot start systemd-analyze")?;
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        let is_wrong =
            |line: &&str| ["Unknown", "Failed to parse", "Invalid"].iter().any(|word| line.contains(word));
        let wrong: Vec<&str> = said.lines().filter(|line| line.contains("poll.")).filter(is_wrong).collect();
        ensure!(wrong.is_empty(), "systemd does not understand the units: {wrong:#?}");
        Ok(())
    }

    fn user(&self) -> Result<u32> {
        self.prints(&["id", "-u", "poll"])?.trim().parse().context("the user has no number")
    }

    /// Starts the server as its unit says, on a free port.
    fn start(&self) -> Result<Running> {
        let unit = fs::read_to_string(self.0.join(UNIT))?;
        let says = |key: &str| {
            let value = unit.lines().find_map(|line| line.strip_prefix(key));
            value.with_context(|| format!("the unit has no {key}"))
        };
        let script = format!("cd {} && exec {}", says("WorkingDirectory=")?, says("ExecStart=")?);
        let (user, group) = (says("User=")?, says("Group=")?);
        let words = [
            "setpriv",
            "--reuid",
            user,
            "--regid",
            group,
            "--init-groups",
            "--no-new-privs",
            "--bounding-set=-all",
        ];
        let mut command = self.command(&[&words[..], &["sh", "-c", &script]].concat());
        command.env("POLL_LISTEN", "127.0.0.1:0").stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start chroot")?;
        let log = child.stderr.take().context("the server has no log")?;
        let (mut log, mut read) = (BufReader::new(log), String::new());
        loop {
            let mut line = String::new();
            if log.read_line(&mut line)? == 0 {
                break;
            }
            if let Some((_, address)) = line.split_once("listening on http://") {
                let address = address.trim().to_owned();
                let owner = fs::metadata(format!("/proc/{}", child.id()))?.uid();
                ensure!(owner == self.user()?, "it runs as {owner}");
                return Ok(Running { child, address, log });
            }
            read += &line;
        }
        let status = child.wait()?;
        bail!("the server ended with {status}:\n{read}")
    }

    /// The message is still there, for a server that is started again.
    fn remembers(&self, what: &str) -> Result<()> {
        let server = self.start()?;
        let words = [
            "poll",
            "--server",
            &server.address,
            "tail",
            "news",
            "--from",
            "start",
            "--count",
            "1",
            "--pattern",
            "short",
        ];
        let read = self.prints(&words)?;
        server.stop()?;
        ensure!(read == "hello\n", "after {what} there is {read:?}");
        println!("kept over {what}: the message");
        Ok(())
    }

    fn keeps_the_change(&self) -> Result<()> {
        let config = fs::read_to_string(self.0.join(CONFIG))?;
        ensure!(config.ends_with(CHANGE), "the operator's change of {CONFIG} is gone");
        Ok(())
    }
}

impl Running {
    fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let mut rest = String::new();
        self.log.read_to_string(&mut rest)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the server ended with {status}:\n{rest}");
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Where something else failed; it has ended otherwise.
        let _has_ended = self.child.kill();
        let _has_ended = self.child.wait();
    }
}

/// Every file and folder below, by its path, but for those that come and go, and for what the tools for users keep of their
/// files before a change.
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
