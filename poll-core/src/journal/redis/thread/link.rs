//! What the tasks of the journal's thread share: who has which partition, what waits for whom, and the follower.
//!
//! All of it is under one lock, which is free whenever a task takes it, since the tasks run on one thread. Answers are
//! given after it is released.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::answer::{Answers, Publisher, Waiting};
use super::ask::{Ask, Check, Question};
use super::census::{Census, Channels};
use super::clock::Clock;
use super::counters::Counters;
use super::health::Sign;
use super::line::Line;
use super::publish_queue::{PendingPublish, PublishQueue};
use super::recount::Recount;
use super::session::{Next, Session};
use super::shared::Shared;
use crate::environment::Environment;
use crate::journal::redis::connect::connection::LinkError;
use crate::journal::redis::connect::refusal::{Refusal, Remedy};
use crate::journal::redis::connect::topology::Topology;
use crate::journal::redis::follower::{Effect, Follower};
use crate::journal::redis::log::announcement::Announcement;
use crate::journal::redis::log::generation::{Generation, Mark, Process};
use crate::journal::redis::log::partition::{Partition, Prefix};
use crate::journal::redis::log::script::{Announce, Read, Renew, Script, Status};
use crate::journal::redis::options::Durability;
use crate::journal::redis::url::{Place, RedisUrl};
use crate::journal::{Fault, FaultKind, Health, Host, Stretch};
use crate::sync::Mutex;
use crate::types::{JournalError, Limit, Timestamp};

pub(crate) struct Link {
    pub(crate) environment: Environment,
    pub(crate) url: RedisUrl,
    pub(crate) prefix: Prefix,
    pub(crate) announce: Announce,
    pub(crate) durability: Durability,
    pub(crate) script: Script,
    pub(crate) shared: Arc<Shared>,
    pub(crate) host: Host,
    began: Instant,
    /// Called when the topology has to be looked at.
    pub(crate) look: Notify,
    /// How many times it was begun to look.
    pub(crate) looks: AtomicU64,
    /// The last look that found a topology.
    pub(crate) looked: watch::Sender<u64>,
    /// Called when a task panicked.
    pub(crate) broken: Notify,
    pub(crate) state: Mutex<State>,
}

/// Dropped by a panic, it ends the journal.
pub(crate) struct Vital<'a>(&'a Link);

impl Drop for Vital<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broken.notify_one();
        }
    }
}

pub(crate) struct State {
    pub(crate) follower: Follower<Publisher, Waiting>,
    pub(crate) lines: Vec<Line>,
    /// Sessions that are over but for what is on its way.
    retiring: Vec<Line>,
    /// Which line has a partition.
    routes: [Option<usize>; Partition::COUNT],
    /// What waits for partitions that no server has.
    publishes: PublishQueue,
    pub(crate) asks: Vec<Ask>,
    /// Whether every partition has a server.
    pub(crate) served: Sign,
    next_session: u64,
    channels: Channels,
    pub(crate) recount: Recount,
}

impl Link {
    pub(crate) fn new(shared: Arc<Shared>, host: Host, announce: Announce) -> Self {
        let (options, url) = (&shared.options, shared.url.clone());
        let prefix = shared.prefix.clone();
        let script = Script::new(prefix.clone(), announce, *host.retention());
        let now = Instant::now();
        let served = Sign::Ended {
            since: now,
            fault: Fault::new(FaultKind::Opening, "the topology is not known yet"),
        };
        let state = State {
            follower: Follower::new(),
            lines: Vec::new(),
            retiring: Vec::new(),
            routes: [None; Partition::COUNT],
            publishes: PublishQueue::default(),
            asks: Vec::new(),
            served,
            next_session: 0,
            channels: Channels::default(),
            recount: Recount::default(),
        };
        Self {
            environment: shared.environment.clone(),
            durability: options.durability,
            url,
            prefix,
            announce,
            script,
            host,
            shared,
            began: now,
            look: Notify::new(),
            looks: AtomicU64::new(0),
            looked: watch::Sender::new(0),
            broken: Notify::new(),
            state: Mutex::new(state),
        }
    }

    /// The clock of the follower: it never jumps.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::ZERO.after(self.began.elapsed())
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// For a task without which the journal is of no use: if it panics, the journal ends.
    pub(crate) fn vital(&self) -> Vital<'_> {
        Vital(self)
    }

    /// Changes the state, does what follows from that, and gives the answers.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State, &mut Answers) -> T) -> T {
        let mut answers = Answers::default();
        let value = {
            let mut state = self.state.lock();
            let value = change(&mut state, &mut answers);
            state.carry_out(self, &mut answers);
            value
        };
        answers.give();
        value
    }

    /// The topology is `topology`. Returns the sessions that begin with it.
    pub(crate) fn apply(&self, topology: Topology) -> Vec<Arc<Session>> {
        self.change(|state, _| state.apply(self, topology))
    }

    /// The log is used no longer: all sessions end.
    pub(crate) fn retire_all(&self) {
        let state = self.state.lock();
        state.lines.iter().for_each(|line| line.session.retire());
    }

    /// Nothing more is accepted.
    pub(crate) fn close(&self) {
        self.shared.health.send_replace(Health::Lost(Fault::new(FaultKind::Closed, "it is closed")));
    }

    /// The topology cannot be found out.
    pub(crate) fn topology_unknown(&self, error: &LinkError) {
        self.change(|state, _| {
            if !matches!(state.served, Sign::Good) {
                state.served.end(Instant::now(), Fault::new(FaultKind::Unreachable, error.to_string()));
            }
        });
    }

    /// Waits until the topology has been looked at from now on, if it can change.
    ///
    /// # Errors
    /// When it has the session no longer.
    pub(crate) async fn looked_at_anew(&self, session: &Session) -> Result<(), LinkError> {
        if self.is_led() {
            let begun = self.looks.load(Ordering::Relaxed);
            let mut looked = self.looked.subscribe();
            self.look.notify_one();
            tokio::select! {
                biased;
                () = session.retired() => {}
                // The sender is here.
                _ = looked.wait_for(|look| *look > begun) => {}
            }
        }
        match session.is_retired() {
            true => Err(LinkError::Lost("it was replaced".to_owned())),
            false => Ok(()),
        }
    }

    /// Whether anything is known of what the session's partitions had.
    pub(crate) fn knows(&self, session: &Session) -> bool {
        let state = self.state.lock();
        let known = |partition: &Partition| state.follower.ask(*partition).mark.generation;
        session.partitions.iter().any(|partition| known(partition) != Generation::default())
    }

    /// The topology has to be looked at.
    pub(crate) fn topology_changed(&self) {
        self.look.notify_one();
    }

    /// The subscription of a session is confirmed: everything before has to be read, and nothing after is missed.
    pub(crate) fn subscribed(&self, session: &Session) {
        self.change(|state, _| {
            let Some(line) = state.line(session.id) else { return };
            line.signs.subscription = Sign::Good;
            line.ask_states();
            state.follower.subscribed(self.now(), &session.partitions);
        });
        self.assess();
    }

    /// The subscription of a session ended.
    pub(crate) fn subscription_ended(&self, session: &Session, fault: Fault) {
        self.counters().reconnects.fetch_add(1, Ordering::Relaxed);
        self.change(|state, _| {
            let Some(line) = state.line(session.id) else { return };
            match fault.kind {
                FaultKind::Silent => line.signs.subscription.silence(Instant::now(), fault),
                _ => line.signs.subscription.end(Instant::now(), fault),
            }
        });
        self.look.notify_one();
        self.assess();
    }

    /// A server announced something.
    pub(crate) fn announced(&self, session: &Session, partition: Partition, message: &[u8]) {
        // One that cannot be read is missed, which the count of the next one shows.
        let Ok(announcement) = Announcement::decode(message) else { return };
        // What an old server says after the partition went to another is nothing to follow.
        if session.is_retired() {
            return;
        }
        let Announcement { mark, change } = &announcement;
        let (mark, census) = (*mark, Census::of(change));
        self.change(|state, _| {
            state.changed(self, partition, mark, census);
            state.follower.announced(self.now(), partition, announcement, &self.host);
        });
    }

    /// The commands' connections of a session are open.
    pub(crate) fn commands_are_open(&self, session: &Session, process: Process) {
        self.change(|state, _| {
            if let Some(line) = state.line(session.id) {
                line.open(process);
            }
        });
    }

    /// They ended. What was being published may be kept or not; what was asked is asked again.
    pub(crate) fn commands_ended(&self, session: &Session, error: &LinkError) {
        self.counters().reconnects.fetch_add(1, Ordering::Relaxed);
        let fault = error.fault(&session.address);
        self.change(|state, answers| {
            let Some(line) = state.line(session.id) else { return };
            for (publish, _) in line.close() {
                answers.publish(publish.reply, Err(JournalError::OutcomeUnknown(fault.why.clone()).into()));
            }
            match error {
                LinkError::TimedOut => line.signs.commands.silence(Instant::now(), fault),
                _ => line.signs.commands.end(Instant::now(), fault),
            }
        });
        self.look.notify_one();
        self.assess();
    }

    /// A session is over: whatever is still with it has no answer.
    pub(crate) fn session_over(&self, session: &Session) {
        self.change(|state, answers| {
            let Some(at) = state.retiring.iter().position(|line| line.session.id == session.id) else {
                return;
            };
            let mut line = state.retiring.swap_remove(at);
            for (publish, _) in line.close() {
                let why = format!("{}: the connection ended", session.address);
                answers.publish(publish.reply, Err(JournalError::OutcomeUnknown(why).into()));
            }
            for ask in line.take_asks() {
                state.ask(ask);
            }
        });
    }

    /// Whether something else says which server is written to.
    pub(crate) fn is_led(&self) -> bool {
        !matches!(self.url.place, Place::Server(_))
    }
}

impl State {
    pub(crate) fn line(&mut self, id: u64) -> Option<&mut Line> {
        self.lines.iter_mut().chain(&mut self.retiring).find(|line| line.session.id == id)
    }

    fn route(&mut self, partition: Partition) -> Option<&mut Line> {
        self.routes[partition.index()].map(|at| &mut self.lines[at])
    }

    pub(crate) fn publish(&mut self, publish: PendingPublish) {
        match self.routes[publish.partition.index()] {
            Some(at) => self.lines[at].push_publish(publish),
            None => self.publishes.push(publish),
        }
    }

    pub(crate) fn ask(&mut self, ask: Ask) {
        match self.routes[ask.partition().index()] {
            Some(at) => self.lines[at].push_ask(ask),
            None => self.asks.push(ask),
        }
    }

    pub(crate) fn check(&mut self, check: Check) {
        let partition = Partition::of(&check.channel);
        match self.route(partition) {
            Some(line) => line.push_check(check),
            None => self.asks.push(Ask::state(partition, vec![check])),
        }
    }

    /// Asks a partition how far it is. One that has no server is asked once it has.
    pub(crate) fn refresh(&mut self, partition: Partition) {
        if let Some(line) = self.route(partition) {
            line.refresh(partition);
        }
    }

    /// A partition said how far it is.
    pub(crate) fn stated(&mut self, link: &Link, partition: Partition, mark: Mark, status: &Status) {
        if let Some(line) = self.route(partition) {
            line.stated(partition, mark, status, Instant::now());
        }
        self.channels.stated(partition, mark, status.channels);
        link.shared.channels.store(self.channels.all(), Ordering::Relaxed);
    }

    /// A partition changed, as an announcement or the reply to an own publish says.
    pub(crate) fn changed(&mut self, link: &Link, partition: Partition, mark: Mark, change: Census) {
        if self.channels.changed(partition, mark, change) {
            link.shared.channels.store(self.channels.all(), Ordering::Relaxed);
        }
    }

    /// A partition has been written to by the process that this server talks to.
    pub(crate) fn settle(&mut self, partition: Partition) {
        if let Some(line) = self.route(partition) {
            line.settle(partition);
        }
    }

    /// Whether nothing waits to be published or answered.
    pub(crate) fn is_quiet(&self) -> bool {
        self.publishes.is_empty()
            && self.recount.is_empty()
            && self.lines.iter().chain(&self.retiring).all(Line::is_quiet)
    }

    /// Does what the follower wants.
    fn carry_out(&mut self, link: &Link, answers: &mut Answers) {
        for effect in self.follower.effects() {
            match effect {
                Effect::Ask(partition) => self.ask(Ask::state(partition, Vec::new())),
                Effect::Renew(partition, after, found) => {
                    link.counters().generations.fetch_add(1, Ordering::Relaxed);
                    let next = after.next(link.environment.random());
                    self.ask(Ask::new(Question::Renew(Renew { partition, next }, found)));
                }
                Effect::Compare(newest) => {
                    link.counters().resyncs.fetch_add(1, Ordering::Relaxed);
                    self.ask(Ask::new(Question::Compare(newest)));
                }
                Effect::Read(channel, epoch, after) => {
                    let stretch = Stretch { channel, epoch, after, limit: Limit::default() };
                    self.ask(Ask::new(Question::Follow(Read(stretch))));
                }
                Effect::Answer(publisher) => answers.visible(publisher),
                Effect::Doubt(publisher) => answers.doubtful(publisher),
                Effect::Checked(waiting) => answers.waited(waiting),
                Effect::Over(Waiting::Repeated(publisher)) => answers.doubtful(publisher),
                Effect::Over(waiting) => answers.waited(waiting),
            }
        }
    }

    /// Takes out the publishes whose deadline is over.
    pub(crate) fn take_late(&mut self, now: Instant) -> Vec<PendingPublish> {
        let mut late = self.publishes.take_late(now);
        late.append(&mut self.recount.take_late(now));
        for line in &mut self.lines {
            late.append(&mut line.publishes.take_late(now));
        }
        late
    }

    /// Keeps the sessions that stay as they are, and retires the rest.
    fn apply(&mut self, link: &Link, topology: Topology) -> Vec<Arc<Session>> {
        let (mut begun, mut old) = (Vec::new(), std::mem::take(&mut self.lines));
        for node in topology.0 {
            let same = |line: &Line| {
                line.session.address == node.address && line.session.partitions == node.partitions
            };
            if let Some(at) = old.iter().position(same) {
                self.lines.push(old.swap_remove(at));
                continue;
            }
            self.next_session += 1;
            let random = link.environment.random();
            let session =
                Session::new(self.next_session, node.address, node.partitions, &link.prefix, random);
            let session = Arc::new(session);
            // Where a session takes the place of one that is in trouble, the trouble goes on.
            let since = served_since(&old, &session.partitions);
            self.lines.push(Line::new(session.clone(), since));
            begun.push(session);
        }
        self.routes = [None; Partition::COUNT];
        for (at, line) in self.lines.iter().enumerate() {
            for partition in &line.session.partitions {
                self.routes[partition.index()] = Some(at);
            }
        }
        match self.routes.iter().filter(|route| route.is_none()).count() {
            0 => self.served = Sign::Good,
            missing => {
                let why = format!("{missing} of {} partitions have no server", Partition::COUNT);
                self.served.end(Instant::now(), Fault::new(FaultKind::Unreachable, why));
            }
        }
        let mut publishes: Vec<_> = self.publishes.take_all().collect();
        let mut asks = std::mem::take(&mut self.asks);
        for mut line in old {
            line.session.retire();
            publishes.extend(line.publishes.take_all());
            asks.extend(line.take_asks());
            self.retiring.push(line);
        }
        publishes.into_iter().for_each(|publish| self.publish(publish));
        asks.into_iter().for_each(|ask| self.ask(ask));
        begun
    }
}

/// Since when partitions that get another session have had one that does not work.
fn served_since(old: &[Line], partitions: &[Partition]) -> Instant {
    let lines = old.iter().filter(|line| line.session.partitions.iter().any(|old| partitions.contains(old)));
    lines.filter_map(|line| line.signs.since()).min().unwrap_or_else(Instant::now)
}

/// What a refused command means for the one that is sent next.
pub(crate) fn next_after(refusal: &Refusal) -> Next {
    match refusal {
        Refusal::Resend(Remedy::LoadScript) => Next::LoadScript,
        Refusal::Resend(Remedy::ReadTopology) | Refusal::Refused(_) | Refusal::Unknown(_) => Next::Pause,
    }
}
