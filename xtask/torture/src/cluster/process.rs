//! A program that a course started: in a process group of its own, its words in a file, killed by its id when dropped.
//!
//! So it ends whenever the course does: by itself, by a panic, or by an interrupt, which the course turns into an error.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep, timeout};

use xtask::tools::find;

/// How long a tool that asks a server something may take.
const ANSWER: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(20);
/// Lines of a log that an error quotes.
const QUOTED: usize = 12;

/// A running program.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program whose words go to the end of this file.
    pub(super) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        command.process_group(0).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// Fails if it has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "{} has ended; its last words:\n{}", self.name, self.quote());
        Ok(())
    }

    /// How many lines of its log have these words.
    pub(super) fn said(&self, words: &str) -> usize {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().filter(|line| line.contains(words)).count()
    }

    /// The lines of its log that have one of these words, and the last ones of those.
    pub(super) fn lines_with(&self, words: &[&str]) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let is_wanted = |line: &&str| words.iter().any(|word| line.contains(word));
        let lines: Vec<&str> = log.lines().filter(is_wanted).collect();
        lines[lines.len().saturating_sub(QUOTED)..].join("\n  ")
    }

    fn quote(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(QUOTED)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Neither can fail for a child that is ours and not yet waited for; once waited for, both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Stops a process, or lets it go on.
pub(super) fn signal(id: u32, signal: Signal) -> Result<()> {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw).context("no process has this id")?;
    kill_process(id, signal).context("cannot signal it")
}

/// A program by its path, for it may stand where only root looks.
pub(super) fn program(name: &str) -> Result<Command> {
    Ok(Command::new(
        find(name).with_context(|| format!("{name} is missing: `cargo xtask test` installs it"))?,
    ))
}

/// Runs a tool and gives what it printed. It is killed if it takes too long, or if nobody waits for it any more.
pub(super) async fn output(command: Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true).stdin(Stdio::null());
    let done = timeout(ANSWER, command.output()).await;
    let done = done.with_context(|| format!("{name} took longer than {ANSWER:?}"))??;
    let text = String::from_utf8(done.stdout)?;
    ensure!(done.status.success(), "{name} failed: {text}{}", String::from_utf8_lossy(&done.stderr));
    Ok(text)
}

/// Waits until something is so, and fails with its last error if that takes too long.
pub(super) async fn until(
    what: &str,
    patience: Duration,
    mut is_so: impl AsyncFnMut() -> Result<bool>,
) -> Result<()> {
    let start = Instant::now();
    loop {
        let found = is_so().await;
        if matches!(found, Ok(true)) {
            return Ok(());
        }
        if start.elapsed() >= patience {
            let late = format!("not within {patience:?}: {what}");
            return match found {
                Ok(_) => Err(anyhow::anyhow!(late)),
                Err(error) => Err(error.context(late)),
            };
        }
        sleep(STEP).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::block_on;

    #[test]
    fn a_process_ends_with_its_owner_and_its_words_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut command = Command::new("/bin/sh");
        let mut process =
            Process::start("sh", command.args(["-c", "echo one; exec sleep 60"]), &log).unwrap();
        let heard = async || Ok(std::fs::read_to_string(&log)?.contains("one"));
        block_on(until("it speaks", ANSWER, heard)).unwrap();
        process.check().unwrap();
        assert_eq!(process.said("one"), 1);
        let folder = PathBuf::from(format!("/proc/{}", process.child.id()));
        assert!(folder.exists());
        drop(process);
        assert!(!folder.exists());
    }

    #[test]
    fn what_never_comes_is_named() {
        let error = block_on(until("the moon is blue", STEP, async || Ok(false))).unwrap_err();
        assert!(error.to_string().contains("the moon is blue"), "{error}");
    }
}
