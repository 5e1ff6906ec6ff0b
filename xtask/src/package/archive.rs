//! The archive of static programs, and the test that they run in a chroot that holds nothing else.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use xtask::steps::Skip;
use xtask::workspace::{output, root, run};

use super::files;

/// The licence of musl, from Debian's package of it. What is linked is the copy that comes with the compiler.
const MUSL_COPYRIGHT: &str = "/usr/share/doc/musl/copyright";
/// The user that the programs run as. It needs no name: the chroot has no `/etc/passwd`.
const USER: u32 = 65534;

/// The archive's name, without its ending, which is also that of the only folder in it.
pub(super) fn name(architecture: &str) -> Result<String> {
    Ok(format!("poll-{}-{architecture}-linux", files::version()?))
}

/// Adds what only the archive needs: the licence of the C library that is linked in, the units with the path of the programs
/// below `/usr/local`, and the example settings.
pub(super) fn add_libc(folder: &Path) -> Result<()> {
    let documents = folder.join("share/doc/poll");
    fs::copy(MUSL_COPYRIGHT, documents.join("musl.txt")).with_context(|| format!("no {MUSL_COPYRIGHT}"))?;
    let units = folder.join("lib/systemd/system");
    fs::create_dir_all(&units)?;
    for unit in ["poll.service", "poll.socket"] {
        let text = fs::read_to_string(root().join("deploy").join(unit))?;
        fs::write(units.join(unit), text.replace("/usr/bin/", "/usr/local/bin/"))?;
    }
    fs::create_dir_all(documents.join("examples"))?;
    fs::copy(root().join("deploy/poll.toml"), documents.join("examples/poll.toml"))?;
    Ok(())
}

/// Packs a folder, reproducibly: the same files give the same bytes.
pub(super) fn build(folder: &Path) -> Result<PathBuf> {
    let (above, name) = (folder.parent().context("no folder above")?, folder.file_name().context("no name")?);
    let made = above.join(format!("{}.tar.gz", name.display()));
    run(Command::new("tar")
        .args(["--create", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"])
        .args(["--mode=u=rwX,go=rX", "--use-compress-program=gzip --best --no-name", "--file"])
        .arg(&made)
        .arg("--directory")
        .arg(above)
        .arg(name))?;
    Ok(made)
}

/// Unpacks the archive into a chroot without even a C library or a shell, and checks that the server keeps a message across a
/// restart there.
pub(super) fn test(archive: &Path, name: &str) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Skip("only root can use chroot".to_owned()).into());
    }
    let folder = tempfile::tempdir().context("cannot make an empty folder")?;
    run(Command::new("tar")
        .arg("--extract")
        .arg("--file")
        .arg(archive)
        .arg("--directory")
        .arg(folder.path()))?;
    let data = folder.path().join("data");
    fs::create_dir(&data)?;
    chown(&data, Some(USER), Some(USER))?;
    let empty = Empty { root: folder.path(), bin: format!("/{name}/bin") };
    for program in ["poll-server", "poll"] {
        let said = output(Command::new("ldd").arg(folder.path().join(name).join("bin").join(program)))?;
        ensure!(said.contains("statically linked"), "{program} is not static: {said}");
    }
    println!("static: {}", empty.prints("poll-server", &["--version"])?.trim());
    let server = empty.start()?;
    empty.prints("poll", &["--server", &server.address, "publish", "news", "hello"])?;
    server.stop()?;
    let server = empty.start()?;
    let words = ["--server", &server.address, "tail", "news", "--from", "start", "--count", "1"];
    let read = empty.prints("poll", &words)?;
    server.stop()?;
    ensure!(read == "hello\n", "after a restart there is {read:?}");
    println!("kept across a restart, in an otherwise empty chroot: the message");
    Ok(())
}

/// A folder that is the root of the programs in it.
struct Empty<'a> {
    root: &'a Path,
    bin: String,
}

/// A server that runs in it.
struct Running {
    child: Child,
    address: String,
    /// Its standard error, kept open so that writing to it does not fail.
    log: BufReader<ChildStderr>,
}

impl Empty<'_> {
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("/usr/sbin/chroot");
        command.arg(format!("--userspec=+{USER}:+{USER}")).arg(self.root);
        command.arg(format!("{}/{program}", self.bin)).env_clear();
        command
    }

    fn prints(&self, program: &str, words: &[&str]) -> Result<String> {
        output(self.command(program).args(words))
    }

    /// Starts the server on a free port.
    fn start(&self) -> Result<Running> {
        let mut command = self.command("poll-server");
        command.args(["--listen", "127.0.0.1:0", "--store", "disk:/data/store"]);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().context("no chroot")?;
        let log = child.stderr.take().context("the server has no log")?;
        let (mut log, mut read, mut line) = (BufReader::new(log), String::new(), String::new());
        while log.read_line(&mut line)? > 0 {
            if let Some((_, address)) = line.split_once("listening on http://") {
                let address = address.trim().to_owned();
                let owner = fs::metadata(format!("/proc/{}", child.id()))?.uid();
                ensure!(owner == USER, "it runs as {owner}");
                return Ok(Running { child, address, log });
            }
            read += &std::mem::take(&mut line);
        }
        let status = child.wait()?;
        bail!("the server ended with {status}:\n{read}")
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
        // After a failure; `stop` has waited for it otherwise.
        let _has_ended = self.child.kill();
        let _has_ended = self.child.wait();
    }
}
