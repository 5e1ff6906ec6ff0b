//! The settings of a service, each default with its reason.

use std::time::Duration;

use ipnet::IpNet;

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
    /// How long a request that waits for no message may wait for the archive. 5 s: ten times what a busy disk takes, and
    /// less than proxies in front of the server wait.
    pub cold_read: Duration,
    /// How long a request's body may take. 10 s.
    pub body: Duration,
    /// Who may read and write from pages of another origin. Nobody.
    pub cors: Cors,
    /// Which `Host` names are answered.
    pub hosts: HostCheck,
    /// Whether a publish without content publishes a test message.
    pub demo: Demo,
    /// How many may wait, and how often a client may ask.
    pub limits: Limits,
    /// Who may publish and who may read.
    pub access: Access,
    /// Proxies whose forwarding fields are believed. None.
    pub trusted_proxies: Vec<IpNet>,
    /// Longest `timeout` of the golongpoll dialect in seconds. 120, as the library has it.
    pub golongpoll_most_seconds: u64,
    /// What happens in the golongpoll dialect to an event that was delivered.
    pub golongpoll_after_delivery: AfterDelivery,
    /// Whether a message fetched alone lists the clients that it was delivered to.
    pub receipts: Receipts,
    /// Demonstration jobs at a time: each is a channel and ten seconds of a task.
    pub demo_jobs: usize,
}

/// What becomes of an event that was delivered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AfterDelivery {
    /// It stays for others.
    #[default]
    Keep,
    /// It is deleted for this dialect, once the answer with it is written.
    Delete,
}

/// Whether it is recorded which named clients a message was delivered to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Receipts {
    /// It is.
    On,
    /// It is not.
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
            limits: Limits::default(),
            access: Access::default(),
            trusted_proxies: Vec::new(),
            golongpoll_most_seconds: 120,
            golongpoll_after_delivery: AfterDelivery::Keep,
            receipts: Receipts::Off,
            demo_jobs: 64,
        }
    }
}
