//! The load: thousands of connections in one thread on one epoll, doing as little for each as can be done.
//!
//! A prepared request is written in one call, an answer read in one call into a buffer that all share, and a socket is
//! registered once. So the load costs about what the kernel takes, and a server on another core is what is measured.
//! Checks all it is given; an error means that something was lost, doubled, out of order, refused or closed. Which
//! connections there are and when what is published, scenarios say.

mod answer;
mod desk;
mod line;
mod marker;
mod next;
mod tally;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mio::{Events, Poll, Token};

use self::desk::Desk;
pub(super) use self::line::{Again, Due, Head, Role};
use self::line::{Got, Line};
use self::next::Topic;
use self::tally::Tally;
use super::meter::Cpu;
use super::scenario::Target;
use super::wire::{Ask, Wire};

/// Bytes of a message's payload.
const PAYLOAD: usize = 100;
/// Room for what one read gives.
const BUFFER: usize = 64 * 1024;
/// Events taken at once.
const EVENTS: usize = 1024;
/// How long nothing may come while something is due, before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a server may take to come to rest.
const REST: Duration = Duration::from_secs(60);
/// Looks in a row that a server must be seen at rest.
const LOOKS: u32 = 2;
/// The same for a server whose processor time is not known.
const LOOKS_FROM_OUTSIDE: u32 = 10;
/// The part of a look that a server at rest may be busy (timers tick).
const AT_REST: u32 = 50;

/// How the load waits for answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// Looking again and again: a server that wrote to a sleeper would pay for waking it, and how often is chance. For a
    /// load with a core of its own.
    Awake,
    /// Asleep, as one that shares its core must.
    Asleep,
}

impl Waits {
    /// Waits for the sockets, until something comes or `wait` is over.
    pub(super) fn look(self, poll: &mut Poll, events: &mut Events, wait: Duration) -> Result<()> {
        let until = Instant::now() + wait;
        let at_once = if self == Self::Awake { Duration::ZERO } else { wait };
        loop {
            match poll.poll(events, Some(at_once)) {
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                    return Err(error).context("cannot wait for the sockets");
                }
                _ if events.is_empty() && self == Self::Awake && Instant::now() < until => {}
                _ => return Ok(()),
            }
        }
    }
}

/// The connections and what came over them.
pub(super) struct Load {
    waits: Waits,
    /// The time spent on what came.
    busy: Duration,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    wire: Wire,
    lines: Vec<Line>,
    desk: Desk,
}

impl Load {
    /// A load on one server; the channels `c0`, `c1`, … are asked for by `ask`.
    pub(super) fn new(target: &Target, ask: &Ask, channels: usize) -> Result<Self> {
        let wire = &target.wire;
        let topic = |number| Topic::new(wire.address, format!("c{number}"), ask.clone());
        Ok(Self {
            waits: target.waits,
            busy: Duration::ZERO,
            poll: Poll::new().context("cannot make an epoll")?,
            events: Events::with_capacity(EVENTS),
            buffer: vec![0; BUFFER],
            wire: wire.clone(),
            lines: Vec::new(),
            desk: Desk::new((0..channels).map(topic).collect())?,
        })
    }

    /// What came so far.
    pub(super) fn tally(&self) -> &Tally {
        &self.desk.tally
    }

    /// How long it worked, in all.
    pub(super) fn busy(&self) -> Duration {
        self.busy
    }

    /// Forgets the latencies so far: what comes now is measured.
    pub(super) fn begin(&mut self) {
        self.desk.tally.begin();
    }

    /// Opens one more connection. All but publishers ask their first question; who waits asks from where others on the
    /// topic were led, if any were.
    pub(super) fn open(&mut self, role: Role, topic: usize, due: Due) -> Result<usize> {
        let number = self.lines.len();
        let mut line = Line::open(self.wire.address, role, topic, due)
            .with_context(|| format!("after {number} connections"))?;
        line.register(self.poll.registry(), Token(number))?;
        if !matches!(role, Role::Publisher(_)) {
            let topic = self.desk.topic(topic);
            line.write(if role == Role::Waiter { topic.again() } else { topic.first() })?;
        }
        self.lines.push(line);
        Ok(number)
    }

    /// Opens a connection for publishing.
    pub(super) fn open_publisher(&mut self) -> Result<usize> {
        self.open(Role::Publisher(0), 0, Due { next: 0, step: 0 })
    }

    /// Publishes the next message and returns its number.
    pub(super) fn publish(&mut self, publisher: usize, topic: usize) -> Result<u32> {
        let channel = self.desk.topic(topic).channel().to_owned();
        self.publish_to(publisher, &channel)
    }

    /// The same to a channel of which nobody asks.
    pub(super) fn publish_to(&mut self, publisher: usize, channel: &str) -> Result<u32> {
        let number = self.desk.tally.publish();
        let payload = marker::payload(number, PAYLOAD);
        let request = self.wire.publish.request(self.wire.address, channel, &payload);
        let line = &mut self.lines[publisher];
        if let Role::Publisher(due) = &mut line.role {
            *due += 1;
        }
        line.write(&request)?;
        Ok(number)
    }

    /// Whether all of a publisher's publishes are acknowledged.
    pub(super) fn is_free(&self, publisher: usize) -> bool {
        self.lines[publisher].role == Role::Publisher(0)
    }

    /// Whether a connection was given `number`.
    pub(super) fn has(&self, line: usize, number: u32) -> bool {
        self.lines[line].due.next > number
    }

    /// Gives the short polls so many questions, and has each of them ask its first.
    pub(super) fn ask(&mut self, askers: &[usize], questions: u64) -> Result<()> {
        self.desk.allow(questions);
        for &number in askers {
            self.desk.ask_on(&mut self.lines[number])?;
        }
        Ok(())
    }

    /// Takes what comes within `wait`, which ends with the first that comes. Returns how many events there were.
    pub(super) fn turn(&mut self, wait: Duration) -> Result<usize> {
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        self.waits.look(&mut self.poll, &mut events, wait)?;
        let begun = Instant::now();
        let mut count = 0;
        for event in &events {
            let Token(number) = event.token();
            count += 1;
            let ended = event.is_read_closed() || event.is_error();
            self.receive(number, ended).with_context(|| format!("connection {number}"))?;
        }
        self.busy += begun.elapsed();
        self.events = events;
        Ok(count)
    }

    /// Takes what comes until `done`; an error when nothing comes any more.
    pub(super) fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<()> {
        let mut last = Instant::now();
        while !done(self) {
            if self.turn(Duration::from_millis(100))? > 0 {
                last = Instant::now();
            } else if last.elapsed() > PATIENCE {
                bail!(
                    "waited {} s for {what}: {} published, {} acknowledged, {} delivered",
                    PATIENCE.as_secs(),
                    self.tally().published,
                    self.tally().acknowledged,
                    self.tally().delivered
                );
            }
        }
        Ok(())
    }

    /// Takes what comes until the server is at rest: nothing came and it did nothing for two looks, so that everybody
    /// who asked is waiting.
    pub(super) fn settle(&mut self, processes: &[u32], look: Duration) -> Result<()> {
        let begun = Instant::now();
        let looks = if processes.is_empty() { LOOKS_FROM_OUTSIDE } else { LOOKS };
        let (mut calm, mut before) = (0, Cpu::of(processes)?);
        while calm < looks {
            let came = self.turn(look)?;
            let now = Cpu::of(processes)?;
            let rests = u128::from(now.since(before).total) * u128::from(AT_REST) < look.as_nanos();
            calm = if came == 0 && rests { calm + 1 } else { 0 };
            before = now;
            ensure!(begun.elapsed() < REST, "the server does not come to rest within {} s", REST.as_secs());
        }
        Ok(())
    }

    /// Reads what a connection has. One call does, unless it filled the buffer: the socket is watched for edges, and
    /// less than asked for means that it was emptied.
    fn receive(&mut self, number: usize, ended: bool) -> Result<()> {
        loop {
            let line = &mut self.lines[number];
            let Got::Bytes(read) = line.read(&mut self.buffer)? else { return Ok(()) };
            if line.partial.is_empty() {
                let taken = self.desk.take(line, &self.buffer[..read])?;
                line.partial.extend_from_slice(&self.buffer[taken..read]);
            } else {
                let mut bytes = std::mem::take(&mut line.partial);
                bytes.extend_from_slice(&self.buffer[..read]);
                let taken = self.desk.take(line, &bytes)?;
                bytes.drain(..taken);
                line.partial = bytes;
            }
            if read < self.buffer.len() && !ended {
                return Ok(());
            }
        }
    }
}
