//! The settings of a service, each default with its reason.

use std::num::NonZeroUsize;
use std::time::Duration;

use ipnet::IpNet;

use crate::access::administration::Administration;
use crate::access::admission::Limits;
use crate::access::origin::{Cors, HostCheck};
use crate::access::tokens::Access;

/// The settings of a [`Service`](crate::Service). Defaults are the documented ones.
#[derive(Debug, Clone)]
pub struct ServiceSettings {
    /// Largest payload of one message in bytes. 64 KiB: a message is news, not a file.
    pub max_payload_bytes: usize,
    /// Longest wait of a long poll. 50 s, and so answers after 49: HAProxy commonly cuts at 50, nginx at 60.
    pub max_poll: Duration,
    /// How often a silent stream sends a heartbeat. 15 s: below the 30 s after which some middleboxes forget it.
    pub heartbeat: Duration,
    /// How long a request that waits for no message may wait for the archive. 5 s: ten times what a busy disk needs, and
    /// less than proxies wait.
    pub cold_read: Duration,
    /// How long a request's body may take. 10 s.
    pub body: Duration,
    /// Other origins whose pages may read and write. None.
    pub cors: Cors,
    /// Which `Host` names are answered.
    pub hosts: HostCheck,
    /// Whether a publish without content publishes a test message.
    pub demo: Demo,
    /// The most channels that one request may name. 100: a dashboard follows fifty, and its cursor stays below 4 KiB.
    pub max_channels_per_request: MaxChannels,
    /// Limits on waiting requests and on request rates.
    pub limits: Limits,
    /// Static tokens for publishing and reading, unless there is an [`Authority`](crate::Builder::authority).
    pub access: Access,
    /// Who may reach what is for operators.
    pub administration: Administration,
    /// Which `Host` names are answered on the connections of [`Service::administration`](crate::Service::administration).
    pub admin_hosts: HostCheck,
    /// Proxies whose forwarding fields are believed. None.
    pub trusted_proxies: Vec<IpNet>,
    /// Longest `timeout` of the golongpoll dialect in seconds. 120, as in the library.
    pub golongpoll_most_seconds: u64,
    /// What the golongpoll dialect does with a delivered event.
    pub golongpoll_after_delivery: AfterDelivery,
    /// Whether channels are also streams of the Durable Streams protocol, below `/v1/stream/`. They are.
    pub durable_streams: DurableStreams,
    /// Whether answers of polls are compressed for those who accept that.
    pub compress: Compress,
    /// Whether a message fetched alone lists the clients that it was delivered to.
    pub receipts: Receipts,
    /// Whether it is known which named clients wait on a channel. Every wait of such a client then costs a look-up.
    pub presence: KeepPresence,
    /// Demonstration jobs at a time: each is a channel and ten seconds of a task.
    pub demo_jobs: usize,
}

/// How many channels one request may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxChannels {
    /// At most so many.
    At(NonZeroUsize),
    /// As many as fit into the head.
    Unlimited,
}

impl Default for MaxChannels {
    fn default() -> Self {
        const HUNDRED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(99);
        Self::At(HUNDRED)
    }
}

/// What to do with a delivered event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AfterDelivery {
    /// Keep it for others.
    #[default]
    Keep,
    /// Delete it for this dialect, once the response with it is written.
    Delete,
}

/// Whether the Durable Streams protocol is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DurableStreams {
    /// It is.
    #[default]
    On,
    /// It is not: there is nothing below `/v1/stream/`.
    Off,
}

/// Whether answers of polls are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compress {
    /// Those over 1 KiB are, for readers whose `Accept-Encoding` prefers it: some 5 ns of processor time a byte, once for
    /// all readers of the same messages up to 64 KiB.
    On,
    /// None is, and `Accept-Encoding` is not looked at.
    #[default]
    Off,
}

/// Whether to record which named clients a message was delivered to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Receipts {
    /// It is.
    On,
    /// It is not.
    #[default]
    Off,
}

/// Whether presence is kept: which named clients wait on a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeepPresence {
    /// It is, by [`Service::keep_presence`](crate::Service::keep_presence).
    On,
    /// It is not: there is no `/api/presence`.
    #[default]
    Off,
}

/// Whether the server is a demonstration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Demo {
    /// It is.
    On,
    /// It is not.
    #[default]
    Off,
}

impl Default for ServiceSettings {
    fn default() -> Self {
        Self {
            max_payload_bytes: 64 * 1024,
            max_poll: Duration::from_secs(50),
            heartbeat: Duration::from_secs(15),
            cold_read: Duration::from_secs(5),
            body: Duration::from_secs(10),
            cors: Cors::Off,
            hosts: HostCheck::Off,
            demo: Demo::Off,
            max_channels_per_request: MaxChannels::default(),
            limits: Limits::default(),
            access: Access::default(),
            administration: Administration::default(),
            admin_hosts: HostCheck::Off,
            trusted_proxies: Vec::new(),
            golongpoll_most_seconds: 120,
            golongpoll_after_delivery: AfterDelivery::Keep,
            durable_streams: DurableStreams::On,
            compress: Compress::Off,
            receipts: Receipts::Off,
            presence: KeepPresence::Off,
            demo_jobs: 64,
        }
    }
}
