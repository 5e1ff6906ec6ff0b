//! One server's side of the shared log in `fake_log.rs`: a [`SharedJournal`] whose answers and announcements stay in the
//! air until a test delivers them, in whatever order, or loses them.
//!
//! It follows the log as a real one has to: it fills holes, checks its channels when it missed an announcement, and
//! resets those whose epoch is over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use poll_core::environment::Environment;
use poll_core::journal::{
    Archive, Damage, Fault, FaultKind, Followed, Health, Host, Landmark, Listing, Loaded, Located, Outcome,
    Piece, PublishReply, Reply, Run, Selection, SharedJournal, SharedPublish, Stretch, Tail,
};
use poll_core::{ChannelName, Epoch, Memory, Store, Timestamp};
use tokio::sync::{Notify, watch};

use crate::fake_log::{Announcement, Change, Excerpt, Log, Reach};

pub(crate) struct Node {
    log: Arc<Log>,
    host: OnceLock<Host>,
    health: watch::Sender<Health>,
    /// What is on its way to this server.
    air: Mutex<Vec<Event>>,
    pub(crate) arrived: Notify,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The newest change of the log that was heard of.
    heard: u64,
    loading: HashMap<ChannelName, Loading>,
    /// What is of an earlier epoch is over.
    since: HashMap<ChannelName, u64>,
}

/// What happened to a channel while it was being loaded.
#[derive(Default)]
struct Loading {
    announced: bool,
    reset: bool,
}

struct Event {
    loss: Loss,
    arrive: Continuation,
}

/// Whether something in the air may be lost without its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    Possible,
    Never,
}

type Continuation = Box<dyn FnOnce(&Node) + Send>;

impl Node {
    pub(crate) fn store(log: &Arc<Log>) -> (Arc<Self>, Store) {
        let node = Arc::new(Self {
            log: log.clone(),
            host: OnceLock::new(),
            health: watch::Sender::default(),
            air: Mutex::default(),
            arrived: Notify::new(),
            known: Mutex::default(),
        });
        log.join(&node);
        let (environment, memory) = (Environment::system(), Memory::default());
        let store = Store::following(environment, node.clone(), log.retention, memory);
        (node, store)
    }

    pub(crate) fn host(&self) -> &Host {
        self.host.get().expect("a store")
    }

    fn send(&self, loss: Loss, arrive: impl FnOnce(&Self) + Send + 'static) {
        self.air.lock().unwrap().push(Event { loss, arrive: Box::new(arrive) });
        self.arrived.notify_one();
    }

    pub(crate) fn in_the_air(&self) -> usize {
        self.air.lock().unwrap().len()
    }

    /// Delivers one of the things in the air, if there is any.
    pub(crate) fn deliver(&self, index: usize) {
        let mut air = self.air.lock().unwrap();
        if air.is_empty() {
            return;
        }
        let index = index % air.len();
        let event = air.remove(index);
        drop(air);
        (event.arrive)(self);
    }

    /// Delivers everything, also what that brings about, oldest first.
    pub(crate) fn deliver_all(&self) {
        while self.in_the_air() > 0 {
            self.deliver(0);
        }
    }

    /// Loses an announcement, if there is one in the air.
    pub(crate) fn lose(&self, index: usize) {
        let mut air = self.air.lock().unwrap();
        let announcements: Vec<_> =
            (0..air.len()).filter(|&index| air[index].loss == Loss::Possible).collect();
        if !announcements.is_empty() {
            air.remove(announcements[index % announcements.len()]);
        }
    }

    /// Loses the log: whatever is in the air is lost, answers too.
    pub(crate) fn go_away(&self) {
        let fault = Fault::new(FaultKind::Failing, "the test says so");
        self.health.send_replace(Health::Away(fault));
        self.known.lock().unwrap().loading.clear();
        let lost = std::mem::take(&mut *self.air.lock().unwrap());
        drop(lost);
    }

    pub(crate) fn come_back(&self) {
        if !self.is_ready() {
            self.health.send_replace(Health::Ready);
            self.known.lock().unwrap().heard = self.log.count();
            self.check_all();
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        *self.health.borrow() == Health::Ready
    }

    /// Asks the log whether anything was not heard of.
    pub(crate) fn look_around(&self) {
        if !self.is_ready() {
            return;
        }
        let count = self.log.count();
        let heard = std::mem::replace(&mut self.known.lock().unwrap().heard, count);
        if heard < count {
            self.check_all();
        }
    }

    fn check_all(&self) {
        self.known.lock().unwrap().loading.values_mut().for_each(|loading| loading.announced = true);
        for channel in self.host().in_memory() {
            let reach = self.log.reach(&channel);
            self.send(Loss::Never, move |node| node.catch_up(&channel, reach, Box::new(|_| ())));
        }
    }

    pub(crate) fn announce(&self, announcement: Announcement) {
        if self.is_ready() {
            self.send(Loss::Possible, move |node| node.hear(announcement));
        }
    }

    fn hear(&self, Announcement { count, channel, change }: Announcement) {
        let mut known = self.known.lock().unwrap();
        let missed = count > known.heard + 1;
        known.heard = known.heard.max(count);
        drop(known);
        if missed {
            self.check_all();
        }
        match change {
            Change::Added(added) => self.show(&channel, &added, Box::new(|_| ())),
            Change::Lost(reach) => self.catch_up(&channel, reach, Box::new(|_| ())),
        }
    }

    /// Shows what the log has, and then continues.
    fn show(&self, channel: &ChannelName, added: &Excerpt, then: Continuation) {
        if self.is_over(channel, added.epoch) {
            return then(self);
        }
        match self.host().follow(channel, &added.run()) {
            Followed::Shown => then(self),
            Followed::NotInMemory => {
                if let Some(loading) = self.known.lock().unwrap().loading.get_mut(channel) {
                    loading.announced = true;
                }
                then(self);
            }
            Followed::Behind(_) => self.read_on(channel, then),
            Followed::OtherEpoch => {
                self.begin_since(channel, added.epoch.get());
                self.reset(channel);
                then(self);
            }
        }
    }

    fn is_over(&self, channel: &ChannelName, epoch: Epoch) -> bool {
        self.known.lock().unwrap().since.get(channel).is_some_and(|since| epoch.get() < *since)
    }

    /// Everything of an earlier epoch than `since` is over; epochs of this log grow.
    fn begin_since(&self, channel: &ChannelName, since: u64) {
        let mut known = self.known.lock().unwrap();
        let begun = known.since.entry(channel.clone()).or_default();
        *begun = since.max(*begun);
    }

    /// Reads what is not visible yet, and then continues.
    fn read_on(&self, channel: &ChannelName, then: Continuation) {
        let Some((_, newest, _)) = self.host().newest(channel) else { return then(self) };
        let Some(excerpt) = self.log.after(channel, newest) else {
            self.reset(channel);
            return then(self);
        };
        let channel = channel.clone();
        self.send(Loss::Never, move |node| {
            if node.is_over(&channel, excerpt.epoch) {
                return then(node);
            }
            if matches!(node.host().follow(&channel, &excerpt.run()), Followed::Behind(_)) {
                // What lies between is no longer retained.
                node.reset(&channel);
            } else {
                node.show(&channel, &excerpt, Box::new(|_| ()));
            }
            then(node);
        });
    }

    /// Continues once the channel is visible as far as the log went.
    fn catch_up(&self, channel: &ChannelName, reach: Reach, then: Continuation) {
        self.begin_since(channel, reach.since);
        if let Some(loading) = self.known.lock().unwrap().loading.get_mut(channel) {
            loading.announced = true;
        }
        let Some((epoch, newest, ending)) = self.host().newest(channel) else { return then(self) };
        if epoch != Epoch::ZERO && self.is_over(channel, epoch) {
            self.reset(channel);
            return then(self);
        }
        let behind = reach.newest > newest || reach.newest == newest && reach.ending != ending;
        if behind && (reach.epoch == epoch || epoch == Epoch::ZERO) {
            return self.read_on(channel, then);
        }
        then(self);
    }

    fn reset(&self, channel: &ChannelName) {
        if let Some(loading) = self.known.lock().unwrap().loading.get_mut(channel) {
            loading.reset = true;
        }
        self.host().reset(channel);
    }

    fn begin_load(&self, channel: &ChannelName, reply: Reply<Option<Loaded>>) {
        let ready = self.health.borrow().check_readable();
        if let Err(error) = ready {
            return reply(Err(error));
        }
        self.known.lock().unwrap().loading.insert(channel.clone(), Loading::default());
        let (loaded, channel) = (self.log.load(channel), channel.clone());
        self.send(Loss::Never, move |node| {
            let loading = node.known.lock().unwrap().loading.remove(&channel).unwrap_or_default();
            let over = loaded.as_ref().is_some_and(|loaded| node.is_over(&channel, loaded.epoch));
            if loading.reset || over {
                return node.begin_load(&channel, reply);
            }
            reply(Ok(loaded));
            if loading.announced {
                node.read_on(&channel, Box::new(|_| ()));
            }
        });
    }

    /// Answers a question that changes nothing here.
    fn answer<T: Send + 'static>(&self, reply: Reply<T>, answer: T) {
        match self.health.borrow().check_readable() {
            Err(error) => reply(Err(error)),
            Ok(()) => self.send(Loss::Never, move |_| reply(Ok(answer))),
        }
    }
}

impl Excerpt {
    fn run(&self) -> Run<'_> {
        let Self { epoch, after, ref messages, ending } = *self;
        Run { epoch, after, messages, ending }
    }
}

impl SharedJournal for Node {
    fn publish(&self, channel: &ChannelName, publish: SharedPublish, reply: PublishReply) {
        if let Err(error) = self.health.borrow().check_writable() {
            return reply(Err(error.into()));
        }
        let published = self.log.publish(channel, publish);
        let channel = channel.clone();
        self.send(Loss::Never, move |node| match published {
            Err(error) => reply(Err(error)),
            Ok((kept @ Outcome::Repeated(..), _)) => reply(Ok(kept)),
            Ok((kept, added)) => node.show(&channel, &added, Box::new(|_| reply(Ok(kept)))),
        });
    }

    fn check(&self, channel: &ChannelName, reply: Reply<()>) {
        let ready = self.health.borrow().check_readable();
        if let Err(error) = ready {
            return reply(Err(error));
        }
        let (reach, channel) = (self.log.reach(channel), channel.clone());
        self.send(Loss::Never, move |node| {
            node.catch_up(&channel, reach, Box::new(|_| reply(Ok(()))));
        });
    }

    fn refresh(&self, channel: &ChannelName) {
        self.check(channel, Box::new(|_| {}));
    }

    fn seal(&self, channel: &ChannelName, millis: u64, reply: Reply<u64>) {
        let ready = self.health.borrow().check_writable();
        if let Err(error) = ready {
            return reply(Err(error));
        }
        let sealed = self.log.seal(channel, millis);
        let (reach, channel) = (self.log.reach(channel), channel.clone());
        self.send(Loss::Never, move |node| {
            node.catch_up(&channel, reach, Box::new(move |_| reply(Ok(sealed))));
        });
    }

    fn attach(&self, host: Host) {
        assert!(self.host.set(host).is_ok(), "a node has one store");
    }
}

impl Archive for Node {
    fn load(&self, channel: &ChannelName, _: Timestamp, reply: Reply<Option<Loaded>>) {
        self.begin_load(channel, reply);
    }

    fn read(&self, stretch: Stretch, reply: Reply<Option<Piece>>) {
        self.answer(reply, self.log.read(&stretch));
    }

    fn locate(&self, channel: &ChannelName, epoch: Epoch, landmark: Landmark, reply: Reply<Option<Located>>) {
        self.answer(reply, self.log.locate(channel, epoch, landmark));
    }

    fn list(&self, selection: Selection, _: Timestamp, reply: Reply<Listing>) {
        self.answer(reply, self.log.list(&selection));
    }

    fn sweep(&self, _: Timestamp) {}

    fn channels(&self) -> u64 {
        self.log.channels()
    }

    fn tail(&self) -> Tail {
        self.log.tail
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    fn damage(&self) -> watch::Receiver<Damage> {
        watch::Sender::new(Damage::default()).subscribe()
    }

    fn close(&self, reply: Reply<()>) {
        reply(Ok(()));
    }
}

/// Delivers what is in the air of some nodes in an order that `seed` picks, until the test ends.
pub(crate) fn pump(nodes: &[Arc<Node>], seed: usize) {
    for node in nodes.iter().cloned() {
        tokio::spawn(async move {
            let mut pick = seed;
            loop {
                if node.in_the_air() == 0 {
                    node.arrived.notified().await;
                }
                pick = pick.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                node.deliver(pick >> 33);
                tokio::task::yield_now().await;
            }
        });
    }
}
