//! From texts to the checked [`Config`], in one place and in one pass.
//!
//! What: every field of [`Config`] is filled here, from its text or its row's default.
//! Why: all faults are found together, each reported with its place.
//! Not here: how a single value is spelled (`value.rs`).

use std::ffi::OsString;
use std::hash::BuildHasher as _;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use poll_core::Retention;
use poll_core::environment::ProcessKey;
#[cfg(feature = "redis")]
use poll_core::journal::redis;

use super::fault::Fault;
#[cfg(feature = "redis")]
use super::resolved::Redis;
use super::resolved::{
    Admin, Config, Dialects, DrainTimes, Durability, Limits, MaxSockets, MaxSocketsPerAddress, Rate,
    StoreUrl, Switch, Texts, Tls, TlsPair, Trust, Wire,
};
use super::settings::{Default, SETTINGS, Takes, find};
use super::typed::{Entry, Given, Typed};
use super::value;

/// Turns texts into values; a fault is recorded and the default used instead, so all faults are found.
pub(super) struct Resolver<'a> {
    typed: &'a Typed,
    file: &'a dyn Fn(&Path) -> io::Result<String>,
    variable: &'a dyn Fn(&str) -> Option<OsString>,
    faults: Vec<Fault>,
    warnings: Vec<String>,
}

type Parse<T> = fn(&str) -> Result<T, String>;

impl<'a> Resolver<'a> {
    /// Starts from what reading the sources already found wrong.
    pub(super) fn new(typed: &'a Typed, given: &'a Given<'_>, faults: Vec<Fault>) -> Self {
        let Given { file, variable, .. } = *given;
        Self { typed, file, variable, faults, warnings: typed.warnings.clone() }
    }

    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    fn fault(&mut self, place: &str, what: &str) {
        let fault = Fault(format!("{place}: {what}"));
        // Two values of a list may be wrong in the same way, and a value may be a secret, which is not repeated.
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// All values set for `name`, without its default.
    pub(super) fn given<T>(&mut self, name: &str, parse: Parse<T>) -> Vec<T> {
        let Some(entry) = self.typed.entries.get(name) else { return Vec::new() };
        let many = find(name).is_some_and(|setting| setting.takes.many());
        if entry.texts.len() > 1 && !many {
            self.fault(&entry.place, "given more than once");
            return Vec::new();
        }
        let mut values = Vec::new();
        for text in &entry.texts {
            match parse(text) {
                Ok(value) => values.push(value),
                Err(what) => self.fault(&entry.place, &what),
            }
        }
        values
    }

    /// The value set for `name`, if there is one.
    pub(super) fn optional<T>(&mut self, name: &str, parse: Parse<T>) -> Option<T> {
        self.given(name, parse).pop()
    }

    /// The value of `name`, set or default.
    pub(super) fn one<T>(&mut self, name: &str, parse: Parse<T>) -> T {
        self.optional(name, parse).unwrap_or_else(|| default(name, parse))
    }

    /// The whole configuration; only worth using when no fault was found.
    pub(super) fn resolve(&mut self, log_filter: String) -> Config {
        let store = self.one("store", value::store);
        let config = Config {
            listen: self.listen(),
            tls: self.tls(&store),
            redirect_listen: self.given("redirect-listen", value::address),
            store,
            durability: self.one("durability", value::durability),
            #[cfg(feature = "redis")]
            redis: Redis {
                prefix: self.one("redis-prefix", value::redis_prefix),
                durability: self.one("redis-durability", value::redis_durability),
            },
            workers: self.optional("workers", value::workers).unwrap_or_else(cores),
            limits: self.limits(),
            retention: self.retention(),
            memory_bytes: self.one("memory-bytes", value::bytes),
            wire: self.wire(),
            drain: DrainTimes {
                delay: self.one("drain-delay-seconds", value::seconds),
                total: self.one("drain-seconds", value::seconds),
            },
            trust: self.trust(),
            dialects: self.dialects(),
            early_hints_http1: self.one("early-hints-http1", value::on_off),
            presence: self.one("presence", value::on_off),
            demo: self.demo(),
            log: self.one("log", value::log_format),
            access_log: self.one("access-log", value::on_off),
            otlp: self.otlp(),
            log_filter,
            warnings: Vec::new(),
            texts: self.texts(),
            reread: None,
        };
        self.warn_of_secrets();
        let config = Config { warnings: std::mem::take(&mut self.warnings), ..config };
        self.check_durability(&config);
        if let Err(what) = value::log_filter(&config.log_filter) {
            self.fault("RUST_LOG", &what);
        }
        config
    }

    /// A promise that the store does not make is a mistake, not a setting without effect. Defaults promise nothing, so that a
    /// file may list them all.
    fn check_durability(&mut self, config: &Config) {
        let is_disk = matches!(config.store, StoreUrl::Disk(_));
        if !is_disk && config.durability != Durability::Commit {
            let instead = match config.store {
                StoreUrl::Memory => "; with memory: nothing is kept",
                _ => "; for one in Redis or Valkey there is redis-durability",
            };
            self.fault_of("durability", &format!("interval=MS is for a disk: store{instead}"));
        }
        #[cfg(feature = "redis")]
        if matches!(config.store, StoreUrl::Memory | StoreUrl::Disk(_))
            && config.redis.durability != redis::Durability::Memory
        {
            let instead = if is_disk { "; for a disk: store there is durability" } else { "" };
            self.fault_of("redis-durability", &format!("is for a store in Redis or Valkey{instead}"));
        }
    }

    /// A fault at the place where `name` was set.
    pub(super) fn fault_of(&mut self, name: &str, what: &str) {
        let place = self.typed.entries.get(name).map_or(name, |entry| &entry.place);
        self.fault(place, what);
    }

    /// Whether `name` was set.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.typed.entries.contains_key(name)
    }

    /// The text of a file that a setting names.
    pub(super) fn text_of(&self, file: &Path) -> io::Result<String> {
        (self.file)(file)
    }

    /// A variable that is no setting's. Empty counts as not set.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let value = (self.variable)(name).filter(|value| !value.is_empty())?;
        Some(value.to_string_lossy().into_owned())
    }

    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// Anyone who may list the machine's processes sees their command lines.
    fn warn_of_secrets(&mut self) {
        for setting in SETTINGS.iter().filter(|setting| setting.takes == Takes::Secrets) {
            let flag = self.typed.entries.get(setting.name).filter(|entry| entry.place.starts_with("--"));
            if let Some(Entry { place, .. }) = flag {
                let (variable, name) = (setting.variable(), setting.name);
                self.warnings.push(format!(
                    "{place}: anyone who lists processes sees it; give {variable}, or {name} in the file"
                ));
            }
        }
    }

    /// What was set, in a form that shows only whether it is the same.
    fn texts(&self) -> Texts {
        let hashed = |(name, entry): (&&'static str, &Entry)| (*name, ProcessKey.hash_one(&entry.texts));
        Texts(self.typed.entries.iter().map(hashed).collect())
    }

    fn listen(&mut self) -> Vec<SocketAddr> {
        let mut addresses = self.given("listen", value::address);
        if addresses.is_empty() {
            addresses.push(default("listen", value::address));
        }
        for (index, address) in addresses.iter().enumerate() {
            if address.port() != 0 && addresses[..index].contains(address) {
                self.fault("--listen", &format!("{address} is listed twice"));
            }
        }
        addresses
    }

    fn tls(&mut self, store: &StoreUrl) -> Option<Tls> {
        let certificates = self.given("tls-cert", value::file);
        let keys = self.given("tls-key", value::file);
        let client_ca = self.optional("tls-client-ca", value::file);
        if certificates.len() != keys.len() {
            let (certificates, keys) = (certificates.len(), keys.len());
            self.fault("tls-cert", &format!("{certificates} given, but {keys} tls-key: each needs its own"));
        }
        let pairs: Vec<TlsPair> = certificates
            .into_iter()
            .zip(keys)
            .map(|(certificate, key)| TlsPair { certificate, key })
            .collect();
        let acme = self.acme(store);
        if !pairs.is_empty() || acme.is_some() {
            return Some(Tls { pairs, acme, client_ca });
        }
        let wanting = ["tls-client-ca", "redirect-listen"];
        for name in wanting.into_iter().filter(|name| self.typed.entries.contains_key(name)) {
            self.fault(name, "does nothing without tls-cert and tls-key, or acme-domain");
        }
        None
    }

    fn limits(&mut self) -> Limits {
        Limits {
            max_sockets: self.optional("max-sockets", value::max_sockets).unwrap_or(MaxSockets::ShareOfFiles),
            max_sockets_per_address: self
                .optional("max-sockets-per-address", value::max_sockets_per_address)
                .unwrap_or(MaxSocketsPerAddress::HalfOfAll),
            max_connections: self.one("max-connections", value::count_or_unlimited),
            max_per_channel: self.one("max-per-channel", value::count_or_unlimited),
            max_per_client: self.one("max-per-client", value::count_or_unlimited),
            max_per_address: self.one("max-per-address", value::count_or_unlimited),
            max_channels_per_request: self.one("max-channels-per-request", value::count_or_unlimited),
            max_auth_failures: self.one("max-auth-failures", value::small_count),
            max_streams_per_connection: self.one("max-streams-per-connection", value::streams),
            max_control_frames: self.one("max-control-frames", value::control_frames),
            rate: self.rate(),
        }
    }

    fn rate(&mut self) -> Option<Rate> {
        let burst = self.optional("rate-burst", value::burst);
        let rate = self.one("rate-limit", value::rate);
        match (rate, burst) {
            (None, Some(_)) => {
                self.fault("rate-burst", "does nothing without rate-limit");
                None
            }
            // A bucket under one request would let nothing pass.
            (rate, burst) => {
                rate.map(|per_second| Rate { per_second, burst: burst.unwrap_or(2.0 * per_second).max(1.0) })
            }
        }
    }

    fn retention(&mut self) -> Retention {
        Retention {
            messages: self.one("retain-messages", value::count),
            age: self.one("retain-seconds", value::seconds),
            bytes: self.one("retain-bytes", value::bytes),
            channels: self.one("max-channels", value::count),
            idempotency: self.one("idempotency-seconds", value::seconds),
            ..Retention::default()
        }
    }

    fn wire(&mut self) -> Wire {
        Wire {
            max_payload_bytes: self.one("max-payload-bytes", value::payload_bytes),
            max_head_bytes: self.one("max-head-bytes", value::head_bytes),
            max_poll: self.one("max-poll-seconds", value::some_seconds),
            heartbeat: self.one("heartbeat-seconds", value::some_seconds),
            keep_alive: self.one("keep-alive-seconds", value::some_seconds),
            header: self.one("header-seconds", value::some_seconds),
            body: self.one("body-seconds", value::some_seconds),
            cold_read: self.one("cold-read-seconds", value::some_seconds),
            stall: self.one("stall-seconds", value::some_seconds),
        }
    }

    fn trust(&mut self) -> Trust {
        Trust {
            proxies: self.given("trusted-proxy", value::network),
            origins: self.given("cors-origin", value::origin),
            hosts: self.given("host", value::host),
            publish: self.given("publish-token", value::token),
            subscribe: self.given("subscribe-token", value::token),
            jwt: self.jwt(),
            admin: self.admin(),
        }
    }

    fn admin(&mut self) -> Admin {
        let admin = Admin {
            tokens: self.given("admin-token", value::token),
            listen: self.given("admin-listen", value::address),
        };
        let beyond = admin.listen.iter().find(|address| !address.ip().is_loopback());
        if let Some(address) = beyond.filter(|_| admin.tokens.is_empty()) {
            self.fault_of("admin-listen", &format!("{address} is beyond loopback, which needs admin-token"));
        }
        admin
    }

    fn dialects(&mut self) -> Dialects {
        Dialects {
            golongpoll_max_timeout: self.one("golongpoll-max-timeout-seconds", value::whole_seconds),
            golongpoll_delete_after_retrieval: self.one("golongpoll-delete-after-retrieval", value::on_off),
            compress: self.one("compress", value::on_off),
            receipts: self.one("receipts", value::on_off),
            durable_streams: self.one("durable-streams", value::on_off),
        }
    }

    fn demo(&mut self) -> Option<Duration> {
        let interval = self.one("demo-interval-seconds", value::some_seconds);
        (self.one("demo", value::on_off) == Switch::On).then_some(interval)
    }
}

/// The table's default for `name`, by the parser that reads typed values.
///
/// # Panics
/// When the table holds a default that its own parser refuses; a test reads them all.
fn default<T>(name: &str, parse: Parse<T>) -> T {
    let text = match find(name).map(|setting| setting.default) {
        Some(Default::Text(text)) => text,
        _ => unreachable!("{name} has no typed default"),
    };
    parse(text).unwrap_or_else(|fault| unreachable!("default of {name}: {fault}"))
}

fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
