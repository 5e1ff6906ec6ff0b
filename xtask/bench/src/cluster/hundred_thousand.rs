//! A hundred thousand clients that wait over HTTP/1.1 on six servers, and one publish that reaches them all.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use xtask::server::{Binary, Server};

use super::line::Line;
use super::servers::start;
use crate::marker;
use crate::meter::{Stopwatch, resident};
use crate::numbers::{figure, whole};
use crate::peers::endpoints_of_ours;
use crate::peers::redis::Redis;
use crate::results::{Figure, Round};

/// A process may have twenty thousand open files on many machines, and the crowd's processes too.
const SERVERS: u32 = 6;
/// How long a server may take to acknowledge one message.
const PATIENCE: Duration = Duration::from_secs(20);

/// One process of the crowd. Killed when dropped.
struct Part {
    child: Child,
    tell: ChildStdin,
    hear: BufReader<ChildStdout>,
}

pub(super) fn measure(binary: &Binary, waiters: u32) -> Result<Vec<Line>> {
    let redis = Redis::start()?;
    let addresses = (1..=SERVERS).map(|number| format!("127.0.0.{number}:0"));
    let servers = addresses.map(|address| start(binary, &address, redis.address));
    let servers = servers.collect::<Result<Vec<Server>>>()?;
    let processes: Vec<u32> = servers.iter().map(Server::id).collect();
    let empty = resident(&processes)?;
    let mut parts = Vec::new();
    for (number, server) in (0..).zip(&servers) {
        // The first ones have one more where it does not divide.
        let own = waiters / SERVERS + u32::from(number < waiters % SERVERS);
        parts.push(Part::start(server, own)?);
    }
    for part in &mut parts {
        part.expect("waiting")?;
    }
    let idle = resident(&processes)?.saturating_sub(empty);
    let (watch, redis_watch) = (Stopwatch::start(&processes)?, [redis.id()]);
    let redis_watch = Stopwatch::start(&redis_watch)?;
    let begun = Instant::now();
    publish(servers.first().context("there is a server")?.address())?;
    parts.iter_mut().try_for_each(Part::go_on)?;
    for part in &mut parts {
        part.expect("delivered")?;
    }
    let took = begun.elapsed();
    let (round, redis_round) = (watch.stop(waiters.into(), None)?, redis_watch.stop(1, None)?);
    eprintln!("one publish reached {} clients on {SERVERS} servers", whole(waiters));
    let per = |round: &Round| figure(Figure::Cpu.of_round(round).unwrap_or_default());
    let each = Figure::Resident.of_round(&Round {
        operations: waiters.into(),
        resident: Some(idle),
        ..round.clone()
    });
    let name = |what: &str| format!("{} long polls on {SERVERS} servers: {what}", whole(waiters));
    Ok(vec![
        Line::told(&name("until the last had the message, s"), figure(took.as_secs_f64())),
        Line::told(&name("the servers' CPU of a delivery, µs"), per(&round)),
        Line::told(&name("Redis' CPU of the publish, µs"), per(&redis_round)),
        Line::told(&name("resident memory of the servers a waiter, B"), whole(each.unwrap_or_default())),
    ])
}

/// One message on the channel that all read.
fn publish(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&endpoints_of_ours(address).publish("c0", &marker::payload(1)))?;
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status)?;
    ensure!(status.contains(" 201 "), "a publish is answered with {status}");
    Ok(())
}

impl Part {
    fn start(server: &Server, waiters: u32) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe().context("this program is a file")?);
        command.args([
            "crowd",
            &server.address().to_string(),
            &waiters.to_string(),
            &server.id().to_string(),
        ]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let tell = child.stdin.take().context("its input is a pipe")?;
        let hear = BufReader::new(child.stdout.take().context("its output is a pipe")?);
        Ok(Self { child, tell, hear })
    }

    fn expect(&mut self, word: &str) -> Result<()> {
        let mut line = String::new();
        self.hear.read_line(&mut line)?;
        ensure!(line.trim() == word, "a part of the crowd ended before it said `{word}`");
        Ok(())
    }

    fn go_on(&mut self) -> Result<()> {
        self.tell.write_all(b"\n").context("a part of the crowd has ended")
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Neither can fail for a child that is ours and not yet waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
