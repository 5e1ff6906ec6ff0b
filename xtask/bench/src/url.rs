//! `cargo xtask bench url`: the same load on any server, by templates of its addresses.
//!
//! Nothing is started. With the server's process ids its processor time and memory are counted; without, latency and
//! losses are told.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};

use super::comparison::line_of;
use super::figures::Row;
use super::load::Waits;
use super::machine;
use super::scenario::{Course, FanOut, Form, News, Pace, Short, Streams, Target};
use super::wire::{Ask, Next, Post, Wire};

/// The course's arguments.
#[derive(Args)]
pub(super) struct Url {
    /// Where to ask, with `{channel}`, and `{cursor}` or `{since}` and `{id}` where they go
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
    /// Another header line of a question, such as `Accept: text/event-stream` (repeatable)
    #[arg(long, value_name = "LINE")]
    header: Vec<String>,
    /// How an answer leads to the next question
    #[arg(long, value_enum, default_value = "same")]
    next: Next,
    /// How messages are read
    #[arg(long, value_enum, default_value = "long")]
    mode: Mode,
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
enum Mode {
    /// Long poll
    Long,
    /// An answer without end
    Stream,
    /// Short poll of one message, again and again
    Short,
}

impl Url {
    pub(super) fn run(&self) -> Result<()> {
        machine::raise_file_limit()?;
        let (host, target) = split(&self.subscribe)?;
        let (_, publish) = split(&self.publish)?;
        let ask = self.header.iter().fold(Ask::new(&target, self.next), |ask, line| ask.with(line));
        let address = resolve(&host)?;
        let wire = Wire {
            address,
            long: Some(ask.clone()),
            stream: Some(ask.clone()),
            events: None,
            unchanged: None,
            short: Some(ask),
            publish: Post::new(&publish, &self.content_type, &self.body),
        };
        let course = self.course();
        let round = course.run(&Target { wire, processes: self.pid.clone(), waits: Waits::Asleep })?;
        let row = Row {
            id: "url".to_owned(),
            scenario: course.words(),
            operation: course.operation().to_owned(),
            server: host,
            settings: "as it runs".to_owned(),
            rounds: vec![round],
            void: None,
        };
        println!("{}: nothing lost, doubled or out of order\n{}", row.scenario, line_of(&row));
        Ok(())
    }

    fn course(&self) -> Course {
        let pace = self.every.map_or(Pace::Window(4), |gap| Pace::Every(Duration::from_millis(gap)));
        let (readers, messages) = (self.waiters, self.messages);
        match self.mode {
            Mode::Long => Course::FanOut(FanOut { waiters: readers, publishes: messages }),
            Mode::Stream => Course::Streams(Streams { form: Form::Lines, readers, messages, pace }),
            Mode::Short => Course::Short(Short {
                news: News::One,
                connections: readers,
                requests: u64::from(messages) * u64::from(readers),
            }),
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
