//! The configuration once every value is checked.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use ipnet::IpNet;
use poll_core::Retention;
#[cfg(feature = "redis")]
use poll_core::journal::redis::{self, RedisUrl};
use poll_http::jwt::VerifyingKey;

use super::fault::Fault;

/// The whole configuration of `poll-server`, checked. Times are durations, `None` in a limit means unlimited.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses to listen on, at least one; port 0 means any free port.
    pub listen: Vec<SocketAddr>,
    /// What connections are encrypted with, if they are.
    pub tls: Option<Tls>,
    /// Addresses that redirect to https.
    pub redirect_listen: Vec<SocketAddr>,
    /// Where messages are kept.
    pub store: StoreUrl,
    /// When a publish counts as kept, in an embedded store.
    pub durability: Durability,
    /// How a shared store is used.
    #[cfg(feature = "redis")]
    pub redis: Redis,
    /// Worker threads.
    pub workers: NonZeroUsize,
    /// Bounds on connections and requests.
    pub limits: Limits,
    /// Limits on retained messages; zero is unlimited.
    pub retention: Retention,
    /// Bound on what peers make the server keep beside that; zero is unlimited.
    pub memory_bytes: u64,
    /// Sizes and times of requests and connections.
    pub wire: Wire,
    /// What SIGTERM does.
    pub drain: DrainTimes,
    /// Who may do what.
    pub trust: Trust,
    /// Options of the dialects.
    pub dialects: Dialects,
    /// Whether 103 is sent on HTTP/1.1 too.
    pub early_hints_http1: Switch,
    /// Whether it is known which named clients wait.
    pub presence: Switch,
    /// The demonstration publisher: its interval, if it is on.
    pub demo: Option<Duration>,
    /// The shape of log lines.
    pub log: LogFormat,
    /// Whether each request is logged.
    pub access_log: Switch,
    /// Where spans are sent, if they are.
    pub otlp: Option<Otlp>,
    /// What is logged: `RUST_LOG`'s text, already known to parse.
    pub log_filter: String,
    /// What looks like a mistake and is none, such as an environment variable that no setting reads; one line each.
    pub warnings: Vec<String>,
    /// What was set, in a form that shows only whether it is the same.
    pub(crate) texts: Texts,
    /// How to read it again; `None` if it never changes.
    pub reread: Option<Reread>,
}

/// The settings that were set, each with a hash of its texts. Says nothing of itself: two configurations are the same if they
/// mean the same.
#[derive(Clone)]
pub(crate) struct Texts(pub(crate) BTreeMap<&'static str, u64>);

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Texts")
    }
}

/// Reads the configuration again, from where it came. It may block.
#[derive(Clone)]
pub struct Reread(Arc<dyn Fn() -> Result<Config, Vec<Fault>> + Send + Sync>);

impl Reread {
    /// By calling `read`.
    pub fn new(read: impl Fn() -> Result<Config, Vec<Fault>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The configuration as it is now.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn read(&self) -> Result<Config, Vec<Fault>> {
        (self.0)()
    }
}

impl fmt::Debug for Reread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reread")
    }
}

/// Where certificates come from: at least one, from files or by ACME. Files named here could be read and fit when the
/// configuration was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Certificates with their keys. The first is for clients that ask for no name that another has.
    pub pairs: Vec<TlsPair>,
    /// Those that are obtained.
    pub acme: Option<Acme>,
    /// Who signs client certificates, which are demanded then.
    pub client_ca: Option<PathBuf>,
}

/// Certificates by ACME (RFC 8555).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// DNS names, at least one, in lower case; each gets a certificate of its own.
    pub domains: Vec<String>,
    /// Where the authority writes to.
    pub email: Option<String>,
    /// The authority's directory: https, or http to this machine.
    pub directory: Uri,
    /// Where the account and the certificates are kept.
    pub folder: PathBuf,
}

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPair {
    /// The server's certificate, and behind it those that sign it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Where messages are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// Nowhere but in this process.
    Memory,
    /// An embedded store in this directory.
    Disk(PathBuf),
    /// A store in Redis or Valkey, which several servers share.
    #[cfg(feature = "redis")]
    Redis(RedisUrl),
    /// The same, of which this build knows no more.
    #[cfg(not(feature = "redis"))]
    Redis,
}

/// How a store in Redis is used.
#[cfg(feature = "redis")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    /// What the names of all keys begin with.
    pub prefix: String,
    /// When a publish counts as kept.
    pub durability: redis::Durability,
}

/// When a publish is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After the commit.
    Commit,
    /// At once; at most this much may be lost.
    Interval(Duration),
}

/// Bounds on connections and requests; `None` is unlimited.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is the flag of the same name, described in its table")]
pub struct Limits {
    pub max_sockets: MaxSockets,
    pub max_sockets_per_address: MaxSocketsPerAddress,
    pub max_connections: Option<NonZeroU64>,
    pub max_per_channel: Option<NonZeroU64>,
    pub max_per_client: Option<NonZeroU64>,
    pub max_per_address: Option<NonZeroU64>,
    pub max_channels_per_request: Option<NonZeroU64>,
    pub max_auth_failures: u32,
    pub max_streams_per_connection: u32,
    pub max_control_frames: u32,
    pub rate: Option<Rate>,
}

/// Open connections at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxSockets {
    /// Nine tenths of the open-file limit, whatever that is once it was raised.
    ShareOfFiles,
    /// As many as the system allows.
    Unlimited,
    /// This many.
    At(NonZeroU64),
}

/// Open connections of one address at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxSocketsPerAddress {
    /// Half of the result of [`MaxSockets`].
    HalfOfAll,
    /// As many as there are.
    Unlimited,
    /// This many.
    At(NonZeroU64),
}

/// A token bucket an address.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Requests a second, above 0.
    pub per_second: f64,
    /// Requests at once, at least 1.
    pub burst: f64,
}

/// Sizes in bytes and times of requests and connections.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is the flag of the same name, described in its table")]
pub struct Wire {
    pub max_payload_bytes: usize,
    pub max_head_bytes: usize,
    pub max_poll: Duration,
    pub heartbeat: Duration,
    pub keep_alive: Duration,
    pub header: Duration,
    pub body: Duration,
    pub cold_read: Duration,
    pub stall: Duration,
}

/// What SIGTERM does.
#[derive(Clone, Copy, Debug)]
pub struct DrainTimes {
    /// How long connections are still accepted after readiness turned off.
    pub delay: Duration,
    /// How long everyone has to be answered after that.
    pub total: Duration,
}

/// Who may do what.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Peers whose forwarding headers are believed.
    pub proxies: Vec<IpNet>,
    /// Other origins whose pages may read and write.
    pub origins: Vec<CorsOrigin>,
    /// Further names a loopback server answers to, in lower case, IPv6 in brackets.
    pub hosts: Vec<String>,
    /// Who may publish; empty means everyone.
    pub publish: Vec<Token>,
    /// Who may read; empty means everyone.
    pub subscribe: Vec<Token>,
    /// Whose signed tokens are good.
    pub jwt: Jwt,
    /// Who may reach what is for operators.
    pub admin: Admin,
}

/// Who may reach what is for operators.
#[derive(Clone, Debug)]
pub struct Admin {
    /// One of these is needed; empty means none.
    pub tokens: Vec<Token>,
    /// Addresses that serve it alone; empty means that every address does.
    pub listen: Vec<SocketAddr>,
}

/// Whose signed tokens are good.
#[derive(Clone, Debug, Default)]
pub struct Jwt {
    /// The keys in files.
    pub keys: Vec<VerifyingKey>,
    /// Where sets of keys are.
    pub sets: Vec<KeySetUrl>,
    /// Accepted issuers; empty means all.
    pub issuers: Vec<String>,
    /// Accepted audiences; empty means all.
    pub audiences: Vec<String>,
}

/// Where a set of keys is: https, or http to this machine, because anyone who can change the set can sign anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySetUrl(pub(crate) Uri);

impl Jwt {
    /// Whether signed tokens are accepted, so that both rights need a token.
    pub fn is_on(&self) -> bool {
        !self.keys.is_empty() || !self.sets.is_empty()
    }
}

/// An origin as a browser writes it, or all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigin {
    /// `*`.
    Any,
    /// Scheme, host and port, in lower case.
    Named(String),
}

/// Where spans are sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Otlp {
    /// The URL that takes them.
    pub endpoint: Uri,
    /// The name of this service among them.
    pub service: String,
    /// The fraction of the traces that begin here whose spans are sent, from 0 to 1.
    pub sample_ratio: f64,
}

/// A bearer token; its text shows in no log and no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub(crate) Arc<str>);

impl Token {
    /// The secret itself. Compare it in constant time.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Options of the dialects.
#[derive(Clone, Debug)]
pub struct Dialects {
    /// The longest timeout that golongpoll's `/events` accepts.
    pub golongpoll_max_timeout: Duration,
    /// Whether `/events` hides what it gave once.
    pub golongpoll_delete_after_retrieval: Switch,
    /// Whether answers of polls are compressed.
    pub compress: Switch,
    /// Whether the channel dialect lists receivers.
    pub receipts: Switch,
    /// Whether the Durable Streams protocol is spoken.
    pub durable_streams: Switch,
}

/// A setting that is on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Switch {
    On,
    Off,
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
