//! One real `redis-server`: started, asked by `redis-cli`, killed, and started again on what it left.

use std::fs::create_dir_all;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::process::{Process, output, program, until};

/// How long it may take to answer, its file read.
const START: Duration = Duration::from_secs(30);
/// The log file's name within the folder.
const LOG: &str = "log";

/// A server's address, folder and arguments; it may run or not.
#[derive(Debug)]
pub(super) struct Redis {
    pub(super) address: SocketAddr,
    folder: PathBuf,
    arguments: Vec<String>,
    process: Option<Process>,
}

impl Redis {
    /// A server that does not run yet. Its arguments are those of a configuration file, without dashes.
    pub(super) fn new(address: SocketAddr, folder: &Path, arguments: &[&str]) -> Result<Self> {
        let folder = folder.join(address.port().to_string());
        create_dir_all(&folder)?;
        let mut all = vec![
            format!("bind {}", address.ip()),
            format!("port {}", address.port()),
            format!("dir {}", folder.display()),
            "enable-debug-command local".to_owned(),
        ];
        all.extend(arguments.iter().map(ToString::to_string));
        // A sentinel and a replica write what they learn into their files.
        std::fs::write(folder.join("conf"), all.join("\n") + "\n")?;
        Ok(Self { address, folder, arguments: Vec::new(), process: None })
    }

    /// A sentinel in place of a store.
    pub(super) fn sentinel(address: SocketAddr, folder: &Path, lines: &[&str]) -> Result<Self> {
        let folder = folder.join(address.port().to_string());
        create_dir_all(&folder)?;
        let own = [
            format!("bind {}", address.ip()),
            format!("port {}", address.port()),
            format!("dir {}", folder.display()),
        ];
        let lines = own.iter().map(String::as_str).chain(lines.iter().copied()).collect::<Vec<_>>();
        std::fs::write(folder.join("conf"), lines.join("\n") + "\n")?;
        Ok(Self { address, folder, arguments: vec!["--sentinel".to_owned()], process: None })
    }

    /// Starts it and waits until it answers and has read its file.
    pub(super) async fn start(&mut self) -> Result<()> {
        let mut command = program("redis-server")?;
        command.arg(self.folder.join("conf")).args(&self.arguments);
        let name = format!("redis-server on {}", self.address);
        self.process = Some(Process::start(&name, &mut command, &self.folder.join(LOG))?);
        until("Redis answers", START, async || {
            self.process.as_mut().context("it was started")?.check()?;
            Ok(self.ask(&["ping"]).await?.trim() == "PONG")
        })
        .await
    }

    /// Ends it at once, as a power cut of the process alone does: what it wrote stays in the system's cache.
    pub(super) fn kill(&mut self) {
        self.process = None;
    }

    pub(super) fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// How many lines of its log have these words.
    pub(super) fn said(&self, words: &str) -> usize {
        self.process.as_ref().map_or(0, |process| process.said(words))
    }

    /// What its log says of who is the master.
    pub(super) fn roles(&self) -> String {
        let words =
            ["+switch-master", "+sdown", "+convert-to-slave", "MASTER MODE", "REPLICAOF", "Ready to accept"];
        let lines = self.process.as_ref().map(|process| process.lines_with(&words));
        format!("{}:\n  {}\n", self.address, lines.unwrap_or_default())
    }

    /// Gives it one command. An error that it answers with is an error.
    pub(super) async fn ask(&self, words: &[&str]) -> Result<String> {
        output(self.command(words)?).await.with_context(|| format!("{} asked {words:?}", self.address))
    }

    /// The same, for a command that takes long.
    pub(super) fn command(&self, words: &[&str]) -> Result<Command> {
        let mut command = program("redis-cli")?;
        command.args(["-e", "-h", &self.address.ip().to_string(), "-p", &self.address.port().to_string()]);
        command.args(words);
        Ok(command)
    }

    /// One field of what it says of itself.
    pub(super) async fn info(&self, field: &str) -> Result<String> {
        let all = self.ask(&["info", "everything"]).await?;
        let found = all.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(found.with_context(|| format!("Redis says nothing of {field}"))?.trim().to_owned())
    }
}
