//! The HTTP/1.1 load: thousands of connections in one thread on one epoll, with as little work for each as possible.
//!
//! A prepared request is written with one call, a response read with one call into a shared buffer. Everything received
//! is checked; an error means that something was lost, repeated, reordered, refused or closed. Which connections there
//! are and when messages are published is up to the workloads.

mod checker;
mod connection;
mod response;
mod stream;

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mio::{Events, Poll, Token};
use rustls::ClientConfig;

use self::checker::{Checker, Requests};
use self::connection::Connection;
pub(crate) use self::connection::{Repeat, Role, StreamHead};
use crate::counts::{Counts, Due};
use crate::endpoints::{Endpoints, ReadTemplate};
use crate::marker;
use crate::meter::cpu;
use crate::target::{Target, Waits};

/// Connections that make channels.
const MAKERS: usize = 16;
/// Bytes that one read takes.
const BUFFER: usize = 64 * 1024;
/// Events that one call takes.
const EVENTS: usize = 1024;
/// If something is due and nothing arrives for so long, it is lost.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a server may take to become idle.
const UNTIL_IDLE: Duration = Duration::from_secs(60);
/// How often in a row a server must be seen idle.
const IDLE_LOOKS: u32 = 2;
/// An idle server is busy for less than this part of the time: timers tick.
const IDLE_PART: u128 = 50;

/// The connections and what they received.
pub(crate) struct Load {
    waits: Waits,
    trust: Option<Arc<ClientConfig>>,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    endpoints: Endpoints,
    processes: Vec<u32>,
    connections: Vec<Connection>,
    /// Publishers whose last publish was acknowledged, since this was last emptied.
    freed: Vec<usize>,
    checker: Checker,
}

impl Load {
    /// A load on one server, which reads the channels `c0`, `c1`, … with this template. They are made if they have to be.
    pub(crate) fn new(target: &Target, read: &ReadTemplate, channels: usize) -> Result<Self> {
        let address = target.endpoints.address;
        let channels = (0..channels).map(|number| Requests::new(address, format!("c{number}"), read.clone()));
        let mut load = Self {
            waits: target.waits,
            trust: target.trust.clone(),
            poll: Poll::new().context("cannot make an epoll")?,
            events: Events::with_capacity(EVENTS),
            buffer: vec![0; BUFFER],
            endpoints: target.endpoints.clone(),
            processes: target.processes.clone(),
            connections: Vec::new(),
            freed: Vec::new(),
            checker: Checker::new(channels.collect())?,
        };
        load.create_channels()?;
        Ok(load)
    }

    /// Makes all channels of this load, if the server wants it. Leaves the load as new.
    fn create_channels(&mut self) -> Result<()> {
        let requests = self.checker.names().map(|name| self.endpoints.create(name));
        let Some(requests) = requests.collect::<Option<Vec<Vec<u8>>>>() else { return Ok(()) };
        self.open_publishers(u32::try_from(requests.len().min(MAKERS))?)?;
        for (number, request) in requests.iter().enumerate() {
            let maker = number % MAKERS;
            self.until_free(maker)?;
            let connection = &mut self.connections[maker];
            connection.sent.push_back(Instant::now());
            connection.write(request)?;
        }
        let all = u64::try_from(requests.len())?;
        self.until("the channels to be made", |load| load.counts().acknowledged == all)
            .context("cannot make the channels")?;
        self.connections.clear();
        self.freed.clear();
        self.checker.counts = Counts::new()?;
        Ok(())
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.checker.counts
    }

    pub(crate) fn counts_mut(&mut self) -> &mut Counts {
        &mut self.checker.counts
    }

    /// Opens a connection. All but publishers send their first request; a waiter goes on from where the channel's other
    /// readers are.
    pub(crate) fn open(&mut self, role: Role, channel: usize, due: Due) -> Result<usize> {
        let number = self.connections.len();
        let mut connection =
            Connection::open(self.endpoints.address, self.trust.as_ref(), role, channel, due)
                .with_context(|| format!("after {number} connections"))?;
        connection.register(self.poll.registry(), Token(number))?;
        let requests = self.checker.channel(channel);
        match role {
            Role::Publisher => {}
            Role::Waiter => connection.write(&requests.latest)?,
            Role::Reader(_) | Role::Poller(_) => connection.write(&requests.first)?,
        }
        self.connections.push(connection);
        Ok(number)
    }

    /// Opens so many on the first channel.
    pub(crate) fn open_many(&mut self, count: u32, role: Role, due: Due) -> Result<Vec<usize>> {
        (0..count).map(|_| self.open(role, 0, due)).collect()
    }

    pub(crate) fn open_publishers(&mut self, count: u32) -> Result<Vec<usize>> {
        self.open_many(count, Role::Publisher, Due { next: 0, step: 0 })
    }

    pub(crate) fn open_publisher(&mut self) -> Result<usize> {
        self.open(Role::Publisher, 0, Due { next: 0, step: 0 })
    }

    /// Publishes the next message and returns its number.
    pub(crate) fn publish(&mut self, publisher: usize, channel: usize) -> Result<u32> {
        let channel = self.checker.channel(channel).channel.clone();
        self.publish_to(publisher, &channel)
    }

    /// The same to a channel without readers.
    pub(crate) fn publish_to(&mut self, publisher: usize, channel: &str) -> Result<u32> {
        let number = self.checker.counts.publish();
        let payload = marker::payload(number);
        let request = self.endpoints.publish(channel, &payload);
        let connection = &mut self.connections[publisher];
        connection.sent.push_back(Instant::now());
        connection.write(&request)?;
        Ok(number)
    }

    /// Publishes so many messages as fast as they are acknowledged; `one` publishes the next on a connection.
    pub(crate) fn publish_all(
        &mut self,
        publishers: &[usize],
        messages: u32,
        mut one: impl FnMut(&mut Self, usize) -> Result<u32>,
    ) -> Result<()> {
        let last = self.counts().published + u64::from(messages);
        let mut free = publishers.to_vec();
        self.freed.clear();
        while self.counts().published < last {
            for publisher in free.drain(..) {
                if self.counts().published < last {
                    one(self, publisher)?;
                }
            }
            self.until("a publish to be acknowledged", |load| !load.freed.is_empty())?;
            std::mem::swap(&mut free, &mut self.freed);
        }
        self.until("the last publishes to be acknowledged", |load| load.counts().acknowledged == last)
    }

    /// Whether all of a publisher's publishes are acknowledged.
    pub(crate) fn is_free(&self, publisher: usize) -> bool {
        self.connections[publisher].sent.is_empty()
    }

    pub(crate) fn until_free(&mut self, publisher: usize) -> Result<()> {
        self.until("a publish to be acknowledged", |load| load.is_free(publisher))
    }

    /// Whether a connection has received `number`.
    pub(crate) fn has(&self, connection: usize, number: u32) -> bool {
        self.connections[connection].due.next > number
    }

    /// Lets short polls send so many requests, and each of them its first.
    pub(crate) fn poll(&mut self, pollers: &[usize], requests: u64) -> Result<()> {
        self.checker.remaining = requests;
        pollers.iter().try_for_each(|&number| self.checker.ask(&mut self.connections[number]))
    }

    /// Handles the next events, waiting for them no longer than `wait`; returns how many there were.
    pub(crate) fn turn(&mut self, wait: Duration) -> Result<usize> {
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        self.wait_for(&mut events, wait)?;
        let mut count = 0;
        for event in &events {
            let Token(number) = event.token();
            count += 1;
            let ended = event.is_read_closed() || event.is_error();
            self.receive(number, ended).with_context(|| format!("connection {number}"))?;
        }
        self.events = events;
        Ok(count)
    }

    fn wait_for(&mut self, events: &mut Events, wait: Duration) -> Result<()> {
        let until = Instant::now() + wait;
        let awake = self.waits == Waits::Awake;
        let timeout = if awake { Duration::ZERO } else { wait };
        loop {
            match self.poll.poll(events, Some(timeout)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    return Err(error).context("cannot wait for the sockets");
                }
                _ if events.is_empty() && awake && Instant::now() < until => {}
                _ => return Ok(()),
            }
        }
    }

    /// Handles events until `done`; an error if nothing arrives any more.
    pub(crate) fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<()> {
        let mut last = Instant::now();
        while !done(self) {
            if self.turn(Duration::from_millis(100))? > 0 {
                last = Instant::now();
            } else if last.elapsed() > PATIENCE {
                let Counts { published, acknowledged, delivered, .. } = self.counts();
                bail!(
                    "nothing for {} s while waiting for {what}: \
                     {published} published, {acknowledged} acknowledged, {delivered} delivered",
                    PATIENCE.as_secs()
                );
            }
        }
        Ok(())
    }

    /// Handles events until the server is idle, so that all readers are waiting. Looks every `look`.
    pub(crate) fn settle(&mut self, look: Duration) -> Result<()> {
        let begun = Instant::now();
        let (mut idle, mut before) = (0, cpu(&self.processes)?);
        while idle < IDLE_LOOKS {
            let events = self.turn(look)?;
            let now = cpu(&self.processes)?;
            let rests = u128::from(now - before) * IDLE_PART < look.as_nanos();
            idle = if events == 0 && rests { idle + 1 } else { 0 };
            before = now;
            let seconds = UNTIL_IDLE.as_secs();
            ensure!(begun.elapsed() < UNTIL_IDLE, "the server is not idle after {seconds} s");
        }
        Ok(())
    }

    /// Reads what a connection has. Sockets are edge-triggered: a read that does not fill the buffer emptied it.
    fn receive(&mut self, number: usize, ended: bool) -> Result<()> {
        let acknowledged = self.counts().acknowledged;
        loop {
            let connection = &mut self.connections[number];
            let Some(read) = connection.read(&mut self.buffer)? else { break };
            if connection.partial.is_empty() {
                let taken = self.checker.receive(connection, &self.buffer[..read])?;
                connection.partial.extend_from_slice(&self.buffer[taken..read]);
            } else {
                let mut bytes = std::mem::take(&mut connection.partial);
                bytes.extend_from_slice(&self.buffer[..read]);
                let taken = self.checker.receive(connection, &bytes)?;
                bytes.drain(..taken);
                connection.partial = bytes;
            }
            if read < self.buffer.len() && !ended {
                break;
            }
        }
        if self.counts().acknowledged > acknowledged && self.is_free(number) {
            self.freed.push(number);
        }
        Ok(())
    }
}
