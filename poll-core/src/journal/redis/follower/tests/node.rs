//! A node: its memory, its connections, its follower.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::redis::{Newest, Redis, Reply, Request};
use crate::journal::redis::follower::{Asked, Effect, Follower, Install, Judged, OwnedRun, Shown};
use crate::journal::redis::log::announcement::{Announcement, Change};
use crate::journal::redis::log::partition::Partition;
use crate::journal::redis::log::script::{self, Verdict};
use crate::types::{ChannelName, Ending, Epoch, Followed, Loaded, Message, Run, Seq, Timestamp};

/// A channel in memory.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) epoch: Epoch,
    pub(super) newest: Seq,
    pub(super) ended: bool,
}

/// What a node shows, as the store does it.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) logs: RefCell<HashMap<ChannelName, Log>>,
    /// What was ever shown.
    pub(super) shown: RefCell<HashMap<(Epoch, Seq, ChannelName), Arc<Message>>>,
    pub(super) resets: RefCell<usize>,
    /// Which channels are said to have changed, and whether any may have.
    told: RefCell<HashSet<ChannelName>>,
    missed: Cell<bool>,
}

impl Memory {
    fn record(&self, channel: &ChannelName, epoch: Epoch, messages: &[Arc<Message>]) {
        for message in messages {
            let place = (epoch, message.seq, channel.clone());
            let first = self.shown.borrow_mut().entry(place).or_insert_with(|| message.clone()).clone();
            assert_eq!(first, *message, "shown twice under one epoch");
        }
    }

    /// Whether what was said since the last call may concern a channel.
    pub(super) fn take_news(&self) -> impl Fn(&ChannelName) -> bool + use<> {
        let (missed, told) = (self.missed.take(), self.told.take());
        move |channel| missed || told.contains(channel)
    }

    fn install(&self, channel: &ChannelName, loaded: Option<Loaded>) {
        let log = match loaded {
            None => Log { epoch: Epoch::ZERO, newest: Seq::ZERO, ended: false },
            Some(loaded) => {
                self.record(channel, loaded.epoch, &loaded.tail);
                Log { epoch: loaded.epoch, newest: loaded.newest.0, ended: loaded.ended }
            }
        };
        self.logs.borrow_mut().insert(channel.clone(), log);
    }
}

impl Shown for Memory {
    fn follow(&self, channel: &ChannelName, run: &Run<'_>) -> Followed {
        let mut logs = self.logs.borrow_mut();
        let Some(log) = logs.get_mut(channel) else { return Followed::NotInMemory };
        let visible = log.newest > Seq::ZERO || log.ended;
        if log.epoch != run.epoch && visible {
            return Followed::OtherEpoch;
        }
        let Some(known) = log.newest.get().checked_sub(run.after.get()) else {
            return Followed::Behind(log.newest);
        };
        let new = run.messages.get(usize::try_from(known).unwrap()..).unwrap_or_default();
        let ends = run.ending == Ending::Close && !log.ended;
        if new.is_empty() && !ends {
            return Followed::Shown;
        }
        if log.ended {
            return Followed::OtherEpoch;
        }
        self.record(channel, run.epoch, new);
        log.epoch = run.epoch;
        log.newest = new.last().map_or(log.newest, |message| message.seq);
        log.ended = run.ending == Ending::Close;
        Followed::Shown
    }

    fn newest(&self, channel: &ChannelName) -> Newest {
        let logs = self.logs.borrow();
        let log = logs.get(channel)?;
        Some((log.epoch, log.newest, if log.ended { Ending::Close } else { Ending::Open }))
    }

    fn reset(&self, channel: &ChannelName) {
        if self.logs.borrow_mut().remove(channel).is_some() {
            *self.resets.borrow_mut() += 1;
        }
    }

    fn announced(&self, channel: &ChannelName) {
        self.told.borrow_mut().insert(channel.clone());
    }

    fn missed(&self) {
        self.missed.set(true);
    }
}

/// What comes on a subscription.
#[derive(Debug)]
pub(super) enum Heard {
    Confirmed,
    Announced(Announcement),
}

/// A check that is under way, and what Redis had of the channel when it began.
pub(super) struct Check {
    pub(super) channel: ChannelName,
    pub(super) there: Newest,
    pub(super) last: Option<Arc<Message>>,
}

pub(super) struct Node {
    pub(super) follower: Follower<usize, usize>,
    pub(super) memory: Memory,
    pub(super) requests: VecDeque<(Asked, Request)>,
    pub(super) replies: VecDeque<(Asked, Reply)>,
    pub(super) heard: VecDeque<Heard>,
    pub(super) is_subscribed: bool,
    /// Publishes that are neither answered nor given up, and checks.
    pub(super) publishers: HashSet<usize>,
    pub(super) checks: HashMap<usize, Check>,
    pub(super) loading: HashSet<ChannelName>,
    /// The newest message of each channel that was announced.
    announced: HashMap<ChannelName, (Epoch, Seq)>,
    /// What one knows of each channel who looks at Redis whenever it is said to have changed.
    pub(super) looked: HashMap<ChannelName, Newest>,
    /// Calls that were not executed, to be sent again.
    held: Vec<Request>,
    pub(super) asks: usize,
    pub(super) reads: usize,
    partition: Partition,
}

impl Node {
    pub(super) fn new(partition: Partition) -> Self {
        Self {
            follower: Follower::new(),
            memory: Memory::default(),
            requests: VecDeque::new(),
            replies: VecDeque::new(),
            heard: VecDeque::new(),
            is_subscribed: false,
            publishers: HashSet::new(),
            checks: HashMap::new(),
            loading: HashSet::new(),
            announced: HashMap::new(),
            looked: HashMap::new(),
            held: Vec::new(),
            asks: 0,
            reads: 0,
            partition,
        }
    }

    pub(super) fn send(&mut self, request: Request) {
        if let Request::Load(channel) = &request {
            self.loading.insert(channel.clone());
            self.follower.loading(channel);
        }
        self.requests.push_back((self.follower.ask(self.partition), request));
    }

    pub(super) fn load(&mut self, channel: &ChannelName) {
        if !self.memory.logs.borrow().contains_key(channel) && !self.loading.contains(channel) {
            self.send(Request::Load(channel.clone()));
        }
    }

    /// Sends what the follower wants, and hears whom it answers.
    pub(super) fn react(&mut self, redis: &Redis) {
        loop {
            let effects = self.follower.effects();
            let held = if self.follower.publishing(self.partition) {
                std::mem::take(&mut self.held)
            } else {
                Vec::new()
            };
            if effects.is_empty() && held.is_empty() {
                return;
            }
            held.into_iter().for_each(|request| self.send(request));
            for effect in effects {
                self.react_to(effect, redis);
            }
        }
    }

    fn react_to(&mut self, effect: Effect<usize, usize>, redis: &Redis) {
        match effect {
            Effect::Ask(_) => {
                self.asks += 1;
                self.send(Request::State(Vec::new()));
            }
            Effect::Renew(_, after, found) => {
                let random = self.asks as u64 + self.reads as u64;
                self.send(Request::Renew(after.next(random), found));
            }
            Effect::Compare(newest) => self.send(Request::Compare(newest.channels)),
            Effect::Read(channel, epoch, after) => {
                self.reads += 1;
                self.send(Request::Read(channel, epoch, after));
            }
            Effect::Answer(publisher) | Effect::Doubt(publisher) => {
                assert!(self.publishers.remove(&publisher), "answered twice");
            }
            Effect::Checked(check) | Effect::Over(check) => {
                let Check { channel, there, last: message } =
                    self.checks.remove(&check).expect("checked once");
                let here = self.memory.newest(&channel);
                if let (Some((epoch, seq, ending)), Some((wanted, newest, last))) = (here, there) {
                    // What was there then may be over or lost since, but what is here must not be older.
                    let over = redis.newest(&channel).is_none_or(|(now, ..)| now != wanted)
                        || message
                            .is_some_and(|message| redis.message(&channel, wanted, newest) != Some(&message));
                    let current =
                        epoch == wanted && seq >= newest && (last == Ending::Open || ending == last);
                    assert!(current || over, "{channel}: {here:?} after a check for {there:?}");
                }
            }
        }
    }

    /// Nothing is on its way, and nothing is waited for.
    pub(super) fn is_quiet(&self) -> bool {
        let queues = self.requests.is_empty() && self.replies.is_empty() && self.heard.is_empty();
        let waiting = self.publishers.is_empty() && self.checks.is_empty() && self.loading.is_empty();
        queues && waiting && !self.follower.is_pending()
    }

    pub(super) fn receive(&mut self, now: Timestamp) {
        let Some((asked, reply)) = self.replies.pop_front() else { return };
        let Self { follower, memory, .. } = self;
        match reply {
            Reply::Publish(number, channel, verdict) => match follower.judged(now, asked, verdict, memory) {
                Judged::Done(mark, Some((kept, messages))) => {
                    let (epoch, after) = (mark.generation.epoch(kept.birth), kept.before);
                    let run = OwnedRun { epoch, after, messages, ending: kept.ending };
                    follower.published(now, mark, &channel, run, number, memory);
                }
                Judged::Done(_, None) | Judged::Again => drop(self.publishers.remove(&number)),
            },
            Reply::Load(channel, verdict) => {
                let judged = follower.judged(now, asked, verdict, memory);
                let install = match judged {
                    Judged::Done(mark, loaded) => follower.loaded(now, mark, &channel, loaded, memory),
                    Judged::Again => return self.held.push(Request::Load(channel)),
                };
                match install {
                    Install::Now(loaded) => {
                        self.loading.remove(&channel);
                        let there = loaded.as_ref().map(|loaded| (loaded.epoch, loaded.newest.0));
                        if let (Some((epoch, newest)), Some((heard, seq))) =
                            (there, self.announced.get(&channel))
                        {
                            let is_there = epoch != *heard || newest >= *seq;
                            let is_read = follower.reads(&channel, *seq);
                            assert!(is_there || is_read, "a load is behind what was announced");
                        }
                        memory.install(&channel, loaded);
                    }
                    Install::Again => self.send(Request::Load(channel)),
                }
            }
            Reply::Read(channel, epoch, verdict) => match follower.judged(now, asked, verdict, memory) {
                Judged::Done(mark, range) => follower.read_back(now, mark, &channel, epoch, range, memory),
                Judged::Again => follower.read_failed(now, &channel),
            },
            Reply::State(checks, verdict) => match follower.stated(now, asked, verdict, memory) {
                Judged::Done(mark, _) => {
                    for (check, channel) in checks {
                        follower.check(now, mark, &channel, check, memory);
                    }
                }
                Judged::Again => self.held.push(Request::State(checks)),
            },
            Reply::Compare(channels, verdict) => {
                let newest = script::Newest { partition: self.partition, channels };
                let place = |(epoch, newest, ending)| script::Place {
                    epoch,
                    newest,
                    ending,
                    life: script::HasLife::No,
                };
                let verdict = match verdict {
                    Verdict::Done(mark, found) => {
                        Verdict::Done(mark, found.into_iter().map(|found: Newest| found.map(place)).collect())
                    }
                    Verdict::Lost(mark) => Verdict::Lost(mark),
                    Verdict::Renewed(mark) => Verdict::Renewed(mark),
                };
                follower.compared(now, asked, &newest, verdict, memory);
            }
            Reply::Renew(verdict) => follower.renewed(now, self.partition, &verdict, memory),
            Reply::Forget(verdict) => drop(follower.judged(now, asked, verdict, memory)),
        }
    }

    pub(super) fn hear(&mut self, now: Timestamp) {
        match self.heard.pop_front() {
            None => {}
            Some(Heard::Confirmed) => self.follower.subscribed(now, &[self.partition]),
            Some(Heard::Announced(announcement)) => {
                let Announcement { mark, change } = announcement.clone();
                self.follower.announced(now, self.partition, announcement, &self.memory);
                // What is of a reign that was not compared yet does not count.
                let known = self.follower.ask(self.partition).mark;
                if let Change::Kept(channel, kept, _) = change
                    && (known.generation, known.reign) == (mark.generation, mark.reign)
                {
                    let epoch = mark.generation.epoch(kept.birth);
                    self.announced.insert(channel, (epoch, kept.newest()));
                }
            }
        }
    }

    pub(super) fn subscribe(&mut self) {
        self.heard.clear();
        self.heard.push_back(Heard::Confirmed);
        self.is_subscribed = true;
    }

    pub(super) fn lose_subscription(&mut self) {
        self.heard.clear();
        self.is_subscribed = false;
    }

    /// The connection for commands is lost and made anew. What was on its way gets no answer.
    pub(super) fn lose_commands(&mut self, now: Timestamp) {
        let requests = self.requests.drain(..).map(|(_, request)| request);
        let replies = self.replies.drain(..).map(|(_, reply)| match reply {
            Reply::Publish(number, channel, _) => {
                Request::Publish(number, channel, Ending::Open, super::redis::Size::Announced)
            }
            Reply::Load(channel, _) => Request::Load(channel),
            Reply::Read(channel, epoch, _) => Request::Read(channel, epoch, Seq::ZERO),
            Reply::State(checks, _) => Request::State(checks),
            Reply::Compare(channels, _) => Request::Compare(channels),
            Reply::Renew(_) | Reply::Forget(_) => Request::Compare(Vec::new()),
        });
        let gone: Vec<_> = replies.chain(requests).collect();
        self.send(Request::State(Vec::new()));
        for request in gone {
            match request {
                Request::Publish(number, ..) => drop(self.publishers.remove(&number)),
                Request::Load(channel) => {
                    self.follower.load_failed(&channel);
                    self.loading.remove(&channel);
                }
                Request::Read(channel, ..) => self.follower.read_failed(now, &channel),
                Request::State(checks) => self.send(Request::State(checks)),
                Request::Compare(_) | Request::Renew(..) | Request::Forget(_) => {}
            }
        }
    }
}
