//! What the handles of a journal share with its thread.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use tokio::sync::{Notify, watch};

use super::clock::Clock;
use super::counters::Counters;
use super::inbox::Inbox;
use super::options::Options;
use super::partition::Prefix;
use super::publish_queue::QueueRoom;
use super::url::RedisUrl;
use crate::environment::Environment;
use crate::journal::{Damage, Fault, FaultKind, Health, Host};
use crate::sync::Mutex;

pub(super) struct Shared {
    pub(super) environment: Environment,
    pub(super) url: RedisUrl,
    pub(super) options: Options,
    pub(super) prefix: Prefix,
    pub(super) inbox: Inbox,
    pub(super) room: QueueRoom,
    pub(super) health: watch::Sender<Health>,
    pub(super) damage: watch::Sender<Damage>,
    /// How many channels there are.
    pub(super) channels: AtomicU64,
    pub(super) clock: Clock,
    pub(super) counters: Counters,
    /// What was found when the journal was connected.
    pub(super) warnings: Mutex<Vec<String>>,
    /// The store, once it is attached.
    pub(super) host: OnceLock<Host>,
    pub(super) attached: Notify,
}

impl Shared {
    pub(super) fn new(environment: &Environment, url: RedisUrl, prefix: Prefix, options: Options) -> Self {
        let opening = Fault::new(FaultKind::Opening, format!("{url} is being connected to"));
        Self {
            environment: environment.clone(),
            url,
            prefix,
            inbox: Inbox::new(),
            room: QueueRoom::new(options.queue_bytes),
            options,
            health: watch::Sender::new(Health::Away(opening)),
            damage: watch::Sender::new(Damage::default()),
            channels: AtomicU64::new(0),
            clock: Clock::new(environment.clone()),
            counters: Counters::default(),
            warnings: Mutex::new(Vec::new()),
            host: OnceLock::new(),
            attached: Notify::new(),
        }
    }
}
