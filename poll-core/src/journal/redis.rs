//! The journal in Redis or Valkey, which several servers share.
//!
//! `log` is what is kept: `partition` says where a channel is, `script` what can be done with it in one atomic step, `entry`
//! and `announcement` how messages are written, and `generation` how a Redis that lost something is recognised. `follower`
//! makes what is written visible on this server, in order.
//!
//! `connect` finds the servers (`topology`) and connects to them; `refusal` says which errors prove that nothing happened.
//!
//! `thread` runs everything, on one thread. Each server has a `session`, whose `commands` publish in batches and ask
//! questions, and whose `subscription` hears what changed. `link` is what they share: what waits for whom (`line`), and the
//! follower. `health` says whether all that works.
//!
//! No command is sent twice that may have been executed; of all others, which is sent again is decided in `publishing` and
//! `asking`.

mod connect;
mod follower;
mod listing;
mod log;
mod options;
mod thread;
mod url;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{oneshot, watch};

use super::{
    Archive, Damage, ForkChange, Forks, Health, Host, Landmark, Listing, Loaded, Located, Outcome, Piece,
    PublishReply, Reply, Selection, SharedChange, SharedJournal, SharedLives, SharedPublish, Stretch, Survey,
    Tail,
};
use crate::environment::{Environment, Thread};
use crate::life::{Bound, Change, Content, ProducerId};
use crate::types::{ChannelName, Ending, Epoch, JournalError, Limit, Part, Stamps, Timestamp};
use log::entry::Draft;
use log::generation::Birth;
use log::partition::{Partition, Prefix};
use log::script::{
    Births, KeyHashes, Lapsed, ListForks, Load, Locate, Look, Publish, PublishChange, Read, Seal,
};
pub use options::{Durability, DurabilityError, Options};
use thread::ask::{Check, Question};
pub use thread::counters::Figures;
use thread::inbox::Request;
use thread::shared::Shared;
pub use url::{RedisUrl, RedisUrlError};

/// The journal. A clone is the same one; it ends with the last clone, or when it is closed.
#[derive(Clone)]
pub struct RedisJournal(Arc<Handle>);

/// Held by the owners and not by the thread, which ends when it is dropped.
struct Handle(Arc<Shared>);

/// The log cannot be used. Displays as one line, without any password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectError(String);

impl RedisJournal {
    /// Connects to the log at a URL. The store that the journal is for has to be made soon: nothing else is done before.
    ///
    /// # Errors
    /// When there is no connection within five seconds, or Redis cannot do what the options ask for.
    pub async fn connect(
        environment: &Environment,
        url: RedisUrl,
        options: Options,
    ) -> Result<Self, ConnectError> {
        let prefix = Prefix::parse(&options.prefix).map_err(|error| ConnectError(error.to_string()))?;
        let shown = url.to_string();
        let shared = Arc::new(Shared::new(environment, url, prefix, options));
        let (connected, outcome) = oneshot::channel();
        let journal = Self(Arc::new(Handle(shared.clone())));
        let thread = Thread::new("journal", thread::run::run(shared, connected));
        // The journal says by itself when it has ended.
        let _exit = environment.spawn(thread).map_err(|error| ConnectError(format!("no thread: {error}")))?;
        match outcome.await {
            Ok(Ok(())) => Ok(journal),
            Ok(Err(error)) => Err(ConnectError(format!("{shown} cannot be used: {error}"))),
            Err(_) => Err(ConnectError(format!("{shown} cannot be used: the journal's thread ended"))),
        }
    }

    /// The time at Redis, which gives messages their times. For
    /// [`Environment::with_clock`](crate::environment::Environment::with_clock): ages and seals are reckoned by it.
    pub fn clock(&self) -> impl Fn() -> Timestamp + Send + Sync + use<> {
        let shared = self.0.0.clone();
        move || shared.clock.now()
    }

    /// When publishers are answered.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.0.0.options.durability
    }

    /// What an operator should know about the servers of the log as they were found, one line each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.0.0.warnings.lock().clone()
    }

    /// What the journal has done so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let shared = &self.0.0;
        shared.counters.figures(shared.room.used())
    }

    fn request(&self, request: Request) {
        if let Some(request) = self.0.0.inbox.add(request) {
            request.fail(&closed());
        }
    }
}

impl RedisJournal {
    fn publish_with(
        &self,
        channel: &ChannelName,
        publish: SharedPublish,
        change: Option<SharedChange>,
        reply: PublishReply,
    ) {
        let shared = &self.0.0;
        let writable = shared.health.borrow().check_writable();
        if let Err(error) = writable {
            return reply(Err(error.into()));
        }
        let random = || shared.environment.random();
        let SharedPublish { payloads, ending, key } = publish;
        let mut part = Part::First;
        let draft = |payload| {
            let random = part.mark(random());
            part = Part::Later;
            Draft { payload, random }
        };
        let fork = change.as_ref().and_then(|change| change.fork);
        let publish = Publish {
            channel: channel.clone(),
            drafts: payloads.into_iter().map(draft).collect(),
            ending,
            key: key.map(|(key, fingerprint)| KeyHashes::new(&key, &fingerprint)),
            birth: fork.and_then(|(mark, _)| Birth::new(mark.0)).unwrap_or_else(|| Birth::random(random())),
            births: Births::Allowed,
            change: change.map(|change| PublishChange { change: Box::new(change), version: random() | 1 }),
        };
        match shared.room.admit(publish, reply) {
            Ok(publish) => self.request(Request::Publish(publish)),
            Err(reply) => {
                reply(Err(JournalError::Unavailable("more waits to be sent than may".to_owned()).into()));
            }
        }
    }
}

impl SharedLives for RedisJournal {
    fn survey(&self, channel: &ChannelName, producer: Option<ProducerId>, reply: Reply<Survey>) {
        self.read_request(Question::Look(Look { channel: channel.clone(), producer }, reply));
    }

    fn change(
        &self,
        channel: &ChannelName,
        publish: SharedPublish,
        change: SharedChange,
        reply: PublishReply,
    ) {
        let bounds = change.change.life.as_ref().map(|life| life.bounds);
        if bounds.is_some_and(|bounds| matches!(bounds.bytes, Bound::Most(_))) {
            let why = "a log in Redis has no bound in bytes for one channel".to_owned();
            return reply(Err(JournalError::Unavailable(why).into()));
        }
        if self.durability() == Durability::Memory && says_nothing(&publish, &change) {
            // What it was decided from is as safe as it will be.
            return reply(Ok(Outcome::Kept(Epoch::ZERO, Stamps::default())));
        }
        self.publish_with(channel, publish, Some(change), reply);
    }

    fn forks(&self, channel: &ChannelName, reply: Reply<Forks>) {
        self.read_request(Question::Forks(ListForks(channel.clone()), reply));
    }

    fn lapsed(&self, reply: Reply<Vec<ChannelName>>) {
        // What is given out is written down.
        let writable = self.0.0.health.borrow().check_writable();
        if let Err(error) = writable {
            return reply(Err(error));
        }
        let turn = self.0.0.lapses.fetch_add(1, Ordering::Relaxed) % Partition::COUNT;
        let Some(partition) = Partition::all().nth(turn) else { return };
        self.read_request(Question::Lapsed(Lapsed(partition), reply));
    }
}

impl SharedJournal for RedisJournal {
    fn publish(&self, channel: &ChannelName, publish: SharedPublish, reply: PublishReply) {
        self.publish_with(channel, publish, None, reply);
    }

    fn lives(&self) -> Option<&dyn SharedLives> {
        Some(self)
    }

    fn check(&self, channel: &ChannelName, reply: Reply<()>) {
        // The error is to come soon: nothing is asked while the log is not ready.
        let writable = self.0.0.health.borrow().check_writable();
        if let Err(error) = writable {
            return reply(Err(error));
        }
        self.request(Request::Check(Check::new(channel.clone(), reply)));
    }

    fn refresh(&self, channel: &ChannelName) {
        self.0.0.inbox.refresh(Partition::of(channel));
    }

    fn seal(&self, channel: &ChannelName, millis: u64, reply: Reply<u64>) {
        let writable = self.0.0.health.borrow().check_writable();
        if let Err(error) = writable {
            return reply(Err(error));
        }
        self.request(Request::Question(Question::Seal(Seal { channel: channel.clone(), millis }, reply)));
    }

    fn attach(&self, host: Host) {
        let shared = &self.0.0;
        let attached = shared.host.set(host);
        debug_assert!(attached.is_ok(), "a journal is below one store");
        shared.attached.notify_one();
    }
}

impl Archive for RedisJournal {
    fn load(&self, channel: &ChannelName, _now: Timestamp, reply: Reply<Option<Loaded>>) {
        let load = Load { channel: channel.clone(), limit: Limit::default() };
        self.read_request(Question::Load(load, reply));
    }

    fn read(&self, stretch: Stretch, reply: Reply<Option<Piece>>) {
        self.read_request(Question::Read(Read(stretch), reply));
    }

    fn locate(&self, channel: &ChannelName, epoch: Epoch, landmark: Landmark, reply: Reply<Option<Located>>) {
        let locate = Locate { channel: channel.clone(), epoch, landmark };
        self.read_request(Question::Locate(locate, reply));
    }

    fn list(&self, selection: Selection, _now: Timestamp, reply: Reply<Listing>) {
        let readable = self.0.0.health.borrow().check_readable();
        match readable {
            Ok(()) => listing::list(&self.0.0, &selection, reply),
            Err(error) => reply(Err(error)),
        }
    }

    /// Redis expires what is too old by itself.
    fn sweep(&self, _now: Timestamp) {}

    fn channels(&self) -> u64 {
        self.0.0.channels.load(Ordering::Relaxed)
    }

    fn tail(&self) -> Tail {
        self.0.0.options.tail
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.0.0.health.subscribe()
    }

    fn damage(&self) -> watch::Receiver<Damage> {
        self.0.0.damage.subscribe()
    }

    fn close(&self, reply: Reply<()>) {
        self.request(Request::Close(reply));
    }
}

impl RedisJournal {
    fn read_request(&self, question: Question) {
        let readable = self.0.0.health.borrow().check_readable();
        match readable {
            Ok(()) => self.request(Request::Question(question)),
            Err(error) => Request::Question(question).fail(&error),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.inbox.abandon();
    }
}

impl std::fmt::Debug for RedisJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisJournal")
            .field("url", &self.0.0.url)
            .field("health", &*self.0.0.health.borrow())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConnectError {}

/// Whether all that a publish says was so when it was decided: only the wait for that is left to do.
fn says_nothing(publish: &SharedPublish, change: &SharedChange) -> bool {
    let SharedChange { change, producer_before, forks, .. } = change;
    let Change { life, producer, forgotten, content } = change;
    let publishes = !publish.payloads.is_empty() || publish.ending == Ending::Close;
    let changes = life.is_some() || forgotten.is_some() || *content != Content::Same;
    let producer = producer.as_ref().map(|(_, producer)| *producer);
    !publishes && !changes && producer == *producer_before && *forks == ForkChange::Same
}

fn closed() -> JournalError {
    JournalError::Unavailable("it is closed".to_owned())
}
