//! `cargo xtask bench url`: the same load on any server, by URL templates.
//!
//! Starts nothing. CPU time and memory are counted if the server's process ids are given; without them, only latency is
//! measured, and that nothing is lost.

use std::net::ToSocketAddrs as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};

use crate::endpoints::{Endpoints, Mode, Next, PublishTemplate, ReadTemplate};
use crate::load::Repeat;
use crate::machine;
use crate::numbers;
use crate::results::Figure;
use crate::scenario::{Scenario, fan_out, short, streams};
use crate::target::{Target, Waits};
use crate::workload::streams::Pace;

#[derive(Args)]
pub(crate) struct Url {
    /// Where to read, with `{channel}`, and `{cursor}` where it goes
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
            address: host.to_socket_addrs()?.next().with_context(|| format!("{host} has no address"))?,
            reads: vec![(scenario.mode, read)],
            publish: PublishTemplate::new(&publish, &self.content_type, &self.body),
        };
        let target = Target { endpoints, processes: self.pid.clone(), waits: Waits::Asleep };
        let round = scenario.run(&target)?;
        println!("{}: nothing lost, repeated or out of order", scenario.words);
        for figure in [Figure::Cpu, Figure::P99] {
            if let Some(value) = figure.of_round(&round) {
                println!("{}: {}", figure.name(), numbers::figure(value));
            }
        }
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

/// Host with port, and target of a URL.
fn split(url: &str) -> Result<(String, String)> {
    let rest = url.strip_prefix("http://").with_context(|| format!("`{url}` does not begin with http://"))?;
    let (host, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    ensure!(!host.is_empty(), "`{url}` names no host");
    let port = if host.contains(':') { "" } else { ":80" };
    let slash = if target.starts_with('/') { "" } else { "/" };
    Ok((format!("{host}{port}"), format!("{slash}{target}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_and_a_target() {
        let are = |url: &str, host: &str, target: &str| split(url).unwrap() == (host.into(), target.into());
        assert!(are("http://a:8080/p?c={channel}", "a:8080", "/p?c={channel}"));
        assert!(are("http://a", "a:80", "/") && are("http://a?x", "a:80", "/?x"));
        assert!(split("https://a/").is_err() && split("http:///p").is_err());
    }
}
