//! What the handles of a journal share with its thread.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use tokio::sync::{Notify, watch};

use super::clock::Clock;
use super::counters::Counters;
use super::inbox::Inbox;
use super::publish_queue::QueueRoom;
use crate::environment::Environment;
use crate::journal::redis::log::partition::Prefix;
use crate::journal::redis::options::Options;
use crate::journal::redis::url::RedisUrl;
use crate::journal::{Damage, Fault, FaultKind, Health, Host};
use crate::sync::Mutex;

pub(crate) struct Shared {
    pub(crate) environment: Environment,
    pub(crate) url: RedisUrl,
    pub(crate) options: Options,
    pub(crate) prefix: Prefix,
    pub(crate) inbox: Inbox,
    pub(crate) room: QueueRoom,
    pub(crate) health: watch::Sender<Health>,
    pub(crate) damage: watch::Sender<Damage>,
    /// How often was asked for channels whose time may be over: each time another partition is.
    pub(crate) lapses: AtomicUsize,
    /// How many channels there are.
    pub(crate) channels: AtomicU64,
    pub(crate) clock: Clock,
    pub(crate) counters: Counters,
    /// What was found when the journal was connected.
    pub(crate) warnings: Mutex<Vec<String>>,
    /// The store, once it is attached.
    pub(crate) host: OnceLock<Host>,
    pub(crate) attached: Notify,
}

impl Shared {
    pub(crate) fn new(environment: &Environment, url: RedisUrl, prefix: Prefix, options: Options) -> Self {
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
            lapses: AtomicUsize::new(0),
            channels: AtomicU64::new(0),
            clock: Clock::new(environment.clone()),
            counters: Counters::default(),
            warnings: Mutex::new(Vec::new()),
            host: OnceLock::new(),
            attached: Notify::new(),
        }
    }
}
