//! `cargo xtask bench url`: the same load on any server, by URL templates.
//!
//! Starts nothing. CPU time and memory are counted if the server's process ids are given; without them, only latency is
//! measured, and that nothing is lost.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};

use crate::endpoints::{Endpoints, Mode, Next, PublishTemplate, ReadTemplate};
use crate::load::Repeat;
use crate::machine;
use crate::results::Row;
use crate::scenario::{Scenario, fan_out, short, streams};
use crate::target::{Target, Waits};
use crate::workload::streams::Pace;

#[derive(Args)]
pub(crate) struct Url {
    /// Where to read, with `{channel}`, and `{cursor}` or `{since}` and `{id}` where they go
    #[arg(long, value_name = "URL")]
    subscribe: String,
    /// Where to POST, with `{channel}`
    #[arg(long, value_name = "URL")]
    publish: String,
    /// A publish's content, with `{payload}` and perhaps `{channel}`
    #[arg(long, value_name = "TEXT", default_value = "{payload}")]
    body: String,
    /// A publish's content type
    #[arg(long, value_name = "TYPE", default_value = "text/plain")]
    content_type: String,
    /// Another header line of a read, such as `Accept: text/event-stream` (repeatable)
    #[arg(long, value_name = "LINE")]
    header: Vec<String>,
    /// What the next request takes from a response
    #[arg(long, value_enum, default_value = "same")]
    next: Next,
    /// How messages are read
    #[arg(long, value_enum, default_value = "long")]
    mode: Pattern,
    /// How many read
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    waiters: u32,
    /// How many messages
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    messages: u32,
    /// Milliseconds between two messages of a stream, which otherwise come at full speed
    #[arg(long, value_name = "MS")]
    every: Option<u64>,
    /// A process of the server, on this machine (repeatable)
    #[arg(long, value_name = "PID")]
    pid: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Pattern {
    /// Long poll
    Long,
    /// A response without end
    Stream,
    /// Short poll of one message, again and again
    Short,
}

impl Url {
    pub(crate) fn run(&self) -> Result<()> {
        machine::raise_file_limit()?;
        let (host, target) = split(&self.subscribe)?;
        let (_, publish) = split(&self.publish)?;
        let read = ReadTemplate::new(&target, self.next);
        let read = self.header.iter().fold(read, |read, line| read.with(line));
        let scenario = self.scenario();
        let endpoints = Endpoints {
            address: resolve(&host)?,
            reads: vec![(scenario.mode, read)],
            publish: PublishTemplate::new(&publish, &self.content_type, &self.body),
        };
        let target = Target { endpoints, processes: self.pid.clone(), waits: Waits::Asleep };
        let row = Row {
            id: "url".to_owned(),
            scenario: scenario.words.clone(),
            operation: scenario.operation.to_owned(),
            server: host,
            settings: String::new(),
            rounds: vec![scenario.run(&target)?],
            void: None,
        };
        println!("{}: nothing lost, repeated or out of order\n{row}", row.scenario);
        Ok(())
    }

    fn scenario(&self) -> Scenario {
        let pace = self.every.map_or(Pace::Window(4), |gap| Pace::Every(Duration::from_millis(gap)));
        match self.mode {
            Pattern::Long => fan_out(self.waiters, self.messages),
            Pattern::Stream => streams(Mode::Stream, self.waiters, self.messages, pace),
            Pattern::Short => {
                let requests = u64::from(self.messages) * u64::from(self.waiters);
                short(Repeat::All, self.waiters, requests)
            }
        }
    }
}

/// Host and target of a URL.
fn split(url: &str) -> Result<(String, String)> {
    let rest = url.strip_prefix("http://").with_context(|| format!("`{url}` does not begin with http://"))?;
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(at);
    ensure!(!host.is_empty(), "`{url}` names no host");
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    Ok((host, target))
}

fn resolve(host: &str) -> Result<SocketAddr> {
    let mut addresses = host.to_socket_addrs().with_context(|| format!("cannot resolve {host}"))?;
    addresses.next().with_context(|| format!("{host} has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_and_a_target() {
        let both = |url: &str| split(url).unwrap();
        let pair = |host: &str, target: &str| (host.to_owned(), target.to_owned());
        assert_eq!(both("http://a:8080/p?c={channel}"), pair("a:8080", "/p?c={channel}"));
        assert_eq!(both("http://a"), pair("a:80", "/"));
        assert_eq!(both("http://a?x"), pair("a:80", "/?x"));
        assert!(split("https://a/").is_err());
        assert!(split("http:///p").is_err());
    }
}
