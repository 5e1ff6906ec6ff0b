//! What a publish costs Redis: by servers that share it, and by a client that only sends the same command.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use memchr::memmem::rfind;
use xtask::server::{Binary, Server};

use super::line::Line;
use super::replay::{self, InFlight, Subscriber};
use super::servers::start;
use super::tap::Tap;
use crate::cores::{Cores, Share};
use crate::endpoints::Mode;
use crate::meter::cpu;
use crate::numbers::ratio;
use crate::peers::endpoints_of_ours;
use crate::peers::redis::Redis;
use crate::results::{Figure, Round, Spread};
use crate::target::{Size, Target, Waits};
use crate::workload::{self, PUBLISHERS};

/// Servers that are told of every publish.
const SERVERS: usize = 3;
/// What Redis may use for a publish of a server, to what it uses for the same command.
const MOST: f64 = 1.25;

/// Both, in turns.
pub(super) fn measure(binary: &Binary, rounds: u32, size: Size) -> Result<Vec<Line>> {
    let (publishes, cores) = (size.of(40_000, 500), Cores::find()?);
    let all = usize::try_from(PUBLISHERS)?;
    let apart = InFlight { connections: all, commands: 1 };
    let together = InFlight { connections: 1, commands: all };
    let (mut ours, mut theirs, mut piped, mut ratios) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        let one = by_servers(binary, &cores, publishes)?;
        let two = by_replay(binary, &cores, publishes.into(), apart)?;
        let three = by_replay(binary, &cores, publishes.into(), together)?;
        let cpu = |round: &Round| Figure::Cpu.of_round(round).unwrap_or_default();
        let [one, two, three] = [cpu(&one), cpu(&two), cpu(&three)];
        eprintln!(
            "round {round}/{rounds}: Redis' µs a publish {one:.2}; alone {two:.2}, in pipelines {three:.2}"
        );
        ours.push(one);
        theirs.push(two);
        piped.push(three);
        // The servers have one connection each, and pipeline.
        ratios.push(one / three);
    }
    let spread = |values| Spread::of(values).context("there is a round");
    let ratios = spread(ratios)?;
    let told = |name: &str, values| Ok::<_, anyhow::Error>(Line::told(name, spread(values)?.to_string()));
    Ok(vec![
        told("Redis' CPU of a publish by 16 clients of one of three servers, µs", ours)?,
        told("… of the same command by 16 connections, three subscribed, µs", theirs)?,
        told("… of the same in pipelines of 16 on one connection, µs", piped)?,
        Line {
            name: "Redis' CPU of a publish, relative to the command in pipelines".to_owned(),
            value: ratio(ratios.median),
            bound: Some((ratios.median, MOST)),
        },
    ])
}

/// Publishes over HTTP to one of three servers.
fn by_servers(binary: &Binary, cores: &Cores, publishes: u32) -> Result<Round> {
    let (redis, servers) = cores.start(Share::Apart, || {
        let redis = Redis::start()?;
        let servers = (0..SERVERS).map(|_| start(binary, "127.0.0.1:0", redis.address));
        let servers = servers.collect::<Result<Vec<Server>>>()?;
        Ok((redis, servers))
    })?;
    let address = servers.first().context("there is a server")?.address();
    publish(address, redis.id(), &servers, publishes)
}

fn publish(address: SocketAddr, redis: u32, servers: &[Server], publishes: u32) -> Result<Round> {
    let endpoints = endpoints_of_ours(address);
    let read = endpoints.read(Mode::LongPoll).context("a long poll")?.clone();
    let processes = servers.iter().map(Server::id).collect();
    // What is counted is Redis'; the server is looked at to see when it is idle.
    let target = Target { endpoints, processes, waits: Waits::Awake, trust: None };
    let before = cpu(&[redis])?;
    let round = workload::publish(&target, &read, publishes, 0, 0)?;
    let used = cpu(&[redis])?.saturating_sub(before);
    // The first messages of a workload are not counted by it, and cost Redis as much as the others.
    let operations = u64::from(publishes + PUBLISHERS);
    Ok(Round { operations, cpu: used, ..round })
}

/// Sends one server's own publish again and again, with as many subscribed and as many in flight.
fn by_replay(binary: &Binary, cores: &Cores, publishes: u64, in_flight: InFlight) -> Result<Round> {
    let redis = cores.start(Share::Apart, Redis::start)?;
    let tap = Tap::before(redis.address)?;
    let server = start(binary, "127.0.0.1:0", tap.address)?;
    let endpoints = endpoints_of_ours(server.address());
    let read = endpoints.read(Mode::LongPoll).context("a long poll")?.clone();
    let target = Target { endpoints, processes: vec![server.id()], waits: Waits::Awake, trust: None };
    workload::publish(&target, &read, 1, 0, 0)?;
    let command = tap.publish()?;
    drop(server);
    let channel = announced(&command)?;
    let subscribers = (0..SERVERS).map(|_| Subscriber::to(redis.address, &channel));
    let subscribers = subscribers.collect::<Result<Vec<_>>>()?;
    let before = cpu(&[redis.id()])?;
    let operations = replay::run(redis.address, &command, publishes, in_flight)?;
    let used = cpu(&[redis.id()])?.saturating_sub(before);
    drop(subscribers);
    Ok(Round { operations, cpu: used, ..Round::default() })
}

/// The channel on which a publish is announced: `n` in place of what follows the hash tag of its keys.
fn announced(command: &[u8]) -> Result<Vec<u8>> {
    let end = rfind(command, b"}:").context("a publish names keys with a hash tag")? + 2;
    let line = memchr::memrchr(b'\n', &command[..end]).context("a key is on a line")? + 1;
    Ok([&command[line..end], b"n"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channel_of_announcements_is_that_of_the_keys() {
        let command = b"*3\r\n$7\r\nEVALSHA\r\n$8\r\npoll:{3}:p\r\n$7\r\npublish\r\n";
        assert_eq!(announced(command).unwrap(), b"poll:{3}:n");
        assert!(announced(b"*1\r\n$4\r\nPING\r\n").is_err());
    }
}
