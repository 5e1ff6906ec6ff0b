//! One `poll-server` of several: killed, stopped, and started again on the same address.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use super::process::{signal, until};
use crate::client::Client;
use xtask::server::{Binary, Keyboard, Server};

const START: Duration = Duration::from_secs(60);
/// How long a node may take to be ready again by itself once nothing is wrong any more.
pub(super) const RECOVERY: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(5);

/// A node; it may run or not.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) address: SocketAddr,
    binary: Binary,
    flags: Vec<String>,
    server: Option<Server>,
}

impl Node {
    /// A node that does not run yet.
    pub(super) fn new(address: SocketAddr, binary: Binary, flags: &[String]) -> Self {
        let flags = flags.iter().cloned().chain([format!("--listen={address}")]).collect();
        Self { address, binary, flags, server: None }
    }

    /// Starts it and waits until it listens. Our own thread goes on meanwhile: it may be the way to its store.
    pub(super) async fn start(&mut self) -> Result<()> {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let server = self.server.insert(Server::spawn(&self.binary, &flags, Keyboard::Apart)?);
        until("the node listens", START, async || server.is_listening()).await
    }

    pub(super) fn kill(&mut self) {
        self.server = None;
    }

    /// Stops it as it stands, or lets it go on.
    pub(super) fn signal(&self, what: Signal) -> Result<()> {
        signal(self.server.as_ref().context("the node does not run")?.id(), what)
    }

    /// Ends it at once and gives the last lines of its log.
    pub(super) fn end(&mut self) -> Vec<String> {
        self.server.take().map(|mut server| server.end().into()).unwrap_or_default()
    }

    /// Fails if it has ended by itself; then quotes its last words.
    pub(super) fn check(&mut self) -> Result<()> {
        let Some(server) = self.server.as_mut().filter(|server| server.has_ended()) else { return Ok(()) };
        bail!("the node on {} has ended: {:#?}", self.address, server.end());
    }

    /// Waits until it says that it is ready.
    pub(super) async fn ready(&mut self) -> Result<()> {
        let address = self.address;
        until(&format!("the node on {address} is ready"), RECOVERY, async || {
            self.check()?;
            let mut client = Client::new(address);
            let answer = tokio::time::timeout(ANSWER, client.get("/readyz")).await??;
            let words = String::from_utf8_lossy(&answer.body).into_owned();
            if answer.status == 200 { Ok(true) } else { bail!("/readyz is {}: {words}", answer.status) }
        })
        .await
    }

    /// Ends it in order.
    pub(super) async fn drain(&mut self) -> Result<()> {
        let Some(server) = self.server.take() else { return Ok(()) };
        server.terminate()?;
        let patience = crate::fixture::DRAIN;
        until(&format!("the node on {} drains", self.address), patience, async || Ok(server.has_ended()))
            .await?;
        server.wait(patience)
    }
}
