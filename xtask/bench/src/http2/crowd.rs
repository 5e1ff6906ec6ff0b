//! Many waiters on few connections, in one thread: what waits is woken by the sockets alone.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mio::{Events, Poll, Token};

use super::connection::Connection;
use super::control::Control;
use super::waiters::{Again, Question, Tally};
use crate::load::Waits;

/// What is read at once of a socket.
const BUFFER: usize = 128 * 1024;
/// For so long nothing may happen before it is given up: half as long again as a poll waits.
const PATIENCE: Duration = Duration::from_secs(90);
/// One turn waits no longer for the sockets, so that what else is due gets its turn as well.
const TURN: Duration = Duration::from_millis(2);
/// Between two looks at how many wait, at the least and at the most; each look costs the server something.
const LOOK: Duration = Duration::from_millis(1);
const RARE_LOOK: Duration = Duration::from_millis(200);

/// So many requests may be under way at once. All at once would leave the server no time to say how many wait, and are
/// not how clients come.
const AHEAD: usize = 20_000;

/// How many wait, and on how many connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) waiters: usize,
    pub(crate) connections: usize,
}

impl Shape {
    /// The most that one connection has.
    pub(crate) fn streams(self) -> usize {
        self.waiters.div_ceil(self.connections.max(1))
    }

    pub(super) fn total(self) -> u64 {
        self.waiters as u64
    }
}

/// All waiters, and the connection beside them.
pub(crate) struct Crowd {
    shape: Shape,
    channel: String,
    control: Control,
    waits: Waits,
    /// The time spent on what came.
    busy: Duration,
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    pub(crate) tally: Tally,
    /// Messages published so far.
    number: u32,
    /// Waiters that have not asked for the next one yet.
    unasked: usize,
}

impl Crowd {
    /// Connects. Nobody waits yet, and nobody else may on that server.
    pub(crate) fn gather(address: SocketAddr, shape: Shape, again: Again, waits: Waits) -> Result<Self> {
        let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
        let mut control = Control::open(address)?;
        // A name of its own, so that nothing is retained there.
        let channel = format!("bench-{:016x}", rand::random::<u64>());
        let others = Instant::now();
        // Those of a round before may still be leaving.
        while control.waiting()? > 0 {
            if others.elapsed() > PATIENCE {
                bail!("others wait on the server");
            }
            poll.poll(&mut events, Some(LOOK))?;
        }
        let question = Question { authority: address.to_string(), channel: channel.clone() };
        let connections = (0..shape.connections)
            .map(|index| Connection::open(address, question.clone(), again, poll.registry(), Token(index)))
            .collect::<Result<_>>()?;
        let buffer = vec![0; BUFFER];
        Ok(Self {
            shape,
            channel,
            control,
            waits,
            busy: Duration::ZERO,
            poll,
            events,
            connections,
            buffer,
            tally: Tally::new()?,
            number: 0,
            unasked: 0,
        })
    }

    /// All waiters are to ask for the next message; they do while the crowd is [parked](Self::park).
    pub(crate) fn ask(&mut self) {
        self.unasked = self.shape.waiters;
    }

    /// Goes on until the server counts all of them as waiting.
    pub(crate) fn park(&mut self, mut show: impl FnMut(u64)) -> Result<()> {
        let mut progress = (Instant::now(), 0);
        let (mut look, mut pause) = (Instant::now(), LOOK);
        self.ask_some(AHEAD)?;
        loop {
            self.turn()?;
            if look.elapsed() < pause {
                continue;
            }
            let waiting = self.control.waiting()?;
            show(waiting);
            if waiting == self.shape.total() {
                return Ok(());
            }
            if waiting != progress.1 {
                progress = (Instant::now(), waiting);
            } else if progress.0.elapsed() > PATIENCE {
                bail!("{waiting} of {} wait, and no more come", self.shape.waiters);
            }
            if self.unasked > 0 {
                let under_way = (self.shape.total() - self.unasked as u64).saturating_sub(waiting);
                self.ask_some(AHEAD.saturating_sub(usize::try_from(under_way)?))?;
            } else {
                pause = (pause * 2).min(RARE_LOOK);
            }
            look = Instant::now();
        }
    }

    /// Lets so many more waiters ask, one connection after another in turn.
    fn ask_some(&mut self, most: usize) -> Result<()> {
        let connections = self.connections.len();
        let (asked, some) = (self.shape.waiters - self.unasked, most.min(self.unasked));
        // Those of the connection at `index` among the first `count` of all.
        let share =
            |count: usize, index: usize| count / connections + usize::from(index < count % connections);
        for (index, connection) in self.connections.iter_mut().enumerate() {
            let polls = share(asked + some, index) - share(asked, index);
            connection.ask(polls, self.number + 1)?;
        }
        self.unasked -= some;
        Ok(())
    }

    /// Publishes a message and goes on until every waiter has it; `beside` is called now and then, at least once every
    /// few milliseconds.
    pub(crate) fn publish(&mut self, mut beside: impl FnMut(&Tally) -> Result<()>) -> Result<()> {
        self.number += 1;
        let due = self.tally.delivered + self.shape.total();
        self.tally.published = Instant::now();
        self.control.publish(&self.channel, self.number)?;
        let mut progress = (Instant::now(), self.tally.delivered);
        while self.tally.delivered < due {
            self.turn()?;
            beside(&self.tally)?;
            if self.tally.delivered > progress.1 {
                progress = (Instant::now(), self.tally.delivered);
            } else if progress.0.elapsed() > PATIENCE {
                bail!(
                    "lost: {} of {} never got message {}",
                    due - progress.1,
                    self.shape.waiters,
                    self.number
                );
            }
        }
        self.control.published()
    }

    /// How many wait, once the server has done all that was to be done before it answers.
    pub(crate) fn waiting(&mut self) -> Result<u64> {
        self.control.waiting()
    }

    /// Goes on for a while in which nothing is expected.
    pub(crate) fn rest(&mut self, time: Duration) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < time {
            self.turn()?;
        }
        Ok(())
    }

    /// How long it worked on what came, in all.
    pub(crate) fn busy(&self) -> Duration {
        self.busy
    }

    fn turn(&mut self) -> Result<()> {
        self.waits.look(&mut self.poll, &mut self.events, TURN)?;
        let begun = Instant::now();
        for event in &self.events {
            let Some(connection) = self.connections.get_mut(event.token().0) else { continue };
            connection.turn(&mut self.buffer, &mut self.tally)?;
        }
        self.busy += begun.elapsed();
        Ok(())
    }
}
