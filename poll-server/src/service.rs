//! From the configuration to the one service that all workers answer with.
//!
//! What: translates resolved settings into poll-http's, and puts store, metrics and page together.
//! Why: the only place that knows both vocabularies.
//! Not here: checking values (`config.rs`), answering (poll-http).

use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use poll_core::Store;
use poll_http::{
    Access, AccessRecord, AdminPlace, Administration, AfterDelivery, Builder, Compress, ConnectionSettings,
    Cors, Demo, Drain, DurableStreams, EarlyHintsHttp1, HostCheck, KeepPresence, Limits, MaxChannels,
    Metrics, Rate, Receipts, Service, ServiceSettings,
};

use crate::acme::Standing;
use crate::config::{self, Config, CorsOrigin, Switch};
use crate::logs;
use crate::metrics::Exposition;
use crate::page;
use crate::spans::Spans;
use crate::store::OpenStore;
use crate::webhooks::Webhooks;

/// Where it is seen what the service does.
pub(crate) struct Watched {
    pub(crate) metrics: Metrics,
    pub(crate) exposition: Exposition,
    /// Where spans are sent, if they are.
    pub(crate) spans: Option<Spans>,
}

/// The service for this configuration.
pub(crate) fn build(
    config: &Config,
    addresses: &[SocketAddr],
    open: &OpenStore,
    certificates: Option<Standing>,
    watched: Watched,
    drain: &Drain,
) -> Service {
    let Watched { metrics, exposition, spans } = watched;
    let builder = follow_requests(&open.store, config.access_log, spans);
    let store = open.ready();
    let ready = move || match &certificates {
        Some(standing) => standing.and(store()),
        None => store(),
    };
    builder
        .subscriptions(Webhooks::new(addresses, &config.trust.proxies))
        .ready(ready)
        .settings(service_settings(config, addresses))
        .metrics(metrics)
        .metrics_text(move || exposition.text())
        .site(page::site())
        .drain(drain.clone())
        .build()
}

/// What is written of a request once it has ended: a line of the log, a span, or both under one trace.
fn follow_requests(store: &Store, log: Switch, spans: Option<Spans>) -> Builder {
    let builder = Service::builder(store.clone());
    let environment = store.environment().clone();
    let given = |record: &AccessRecord<'_>| record.trace.map(|trace| trace.trace_id);
    match (log, spans) {
        (Switch::Off, None) => builder,
        (Switch::On, None) => {
            builder.access_log(move |record| logs::access::write(record, given(record), environment.now()))
        }
        (log, Some(spans)) => builder.access_log(move |record| {
            let trace = spans.trace_of(record);
            if log == Switch::On {
                logs::access::write(record, Some(trace), environment.now());
            }
            spans.record(record, trace);
        }),
    }
}

fn service_settings(config: &Config, addresses: &[SocketAddr]) -> ServiceSettings {
    ServiceSettings {
        max_payload_bytes: config.wire.max_payload_bytes,
        max_poll: config.wire.max_poll,
        heartbeat: config.wire.heartbeat,
        body: config.wire.body,
        cold_read: config.wire.cold_read,
        cors: cors(&config.trust.origins),
        hosts: hosts(addresses, names(config)),
        demo: if config.demo.is_some() { Demo::On } else { Demo::Off },
        max_channels_per_request: max_channels(&config.limits),
        limits: limits(&config.limits),
        access: access(&config.trust),
        administration: administration(&config.trust),
        admin_hosts: HostCheck::Loopback(names(config)),
        trusted_proxies: config.trust.proxies.clone(),
        golongpoll_most_seconds: config.dialects.golongpoll_max_timeout.as_secs(),
        golongpoll_after_delivery: match config.dialects.golongpoll_delete_after_retrieval {
            Switch::On => AfterDelivery::Delete,
            Switch::Off => AfterDelivery::Keep,
        },
        compress: match config.dialects.compress {
            Switch::On => Compress::On,
            Switch::Off => Compress::Off,
        },
        receipts: match config.dialects.receipts {
            Switch::On => Receipts::On,
            Switch::Off => Receipts::Off,
        },
        presence: match config.presence {
            Switch::On => KeepPresence::On,
            Switch::Off => KeepPresence::Off,
        },
        durable_streams: match config.dialects.durable_streams {
            Switch::On => DurableStreams::On,
            Switch::Off => DurableStreams::Off,
        },
        ..ServiceSettings::default()
    }
}

/// The limits of every connection.
pub(crate) fn connection_settings(config: &Config) -> ConnectionSettings {
    let defaults = ConnectionSettings::default();
    let stall = config.wire.stall;
    ConnectionSettings {
        max_head_bytes: config.wire.max_head_bytes,
        head: config.wire.header,
        keep_alive: config.wire.keep_alive,
        stall,
        max_streams: config.limits.max_streams_per_connection,
        max_control_frames: config.limits.max_control_frames,
        // A dead HTTP/2 peer is to be found within the stall limit, also when that is short.
        ping_interval: defaults.ping_interval.min(third(stall)),
        ping_timeout: defaults.ping_timeout.min(third(stall)),
        early_hints_http1: match config.early_hints_http1 {
            Switch::On => EarlyHintsHttp1::On,
            Switch::Off => EarlyHintsHttp1::Off,
        },
    }
}

/// poll-http writes "no bound" as zero.
pub(crate) fn limits(limits: &config::Limits) -> Limits {
    let count = |limit: Option<NonZeroU64>| {
        limit.map_or(0, |limit| usize::try_from(limit.get()).unwrap_or(usize::MAX))
    };
    Limits {
        total: count(limits.max_connections),
        per_channel: count(limits.max_per_channel),
        per_client: count(limits.max_per_client),
        per_address: count(limits.max_per_address),
        rate: match limits.rate {
            Some(config::Rate { per_second, burst }) => Rate::Bucket { per_second, burst },
            None => Rate::Unlimited,
        },
        auth_failures: limits.max_auth_failures,
    }
}

fn max_channels(limits: &config::Limits) -> MaxChannels {
    let Some(most) = limits.max_channels_per_request else { return MaxChannels::Unlimited };
    MaxChannels::At(NonZeroUsize::try_from(most).unwrap_or(NonZeroUsize::MAX))
}

pub(crate) fn access(trust: &config::Trust) -> Access {
    let revealed = |tokens: &[config::Token]| tokens.iter().map(|token| token.reveal().to_owned()).collect();
    Access { publish: revealed(&trust.publish), subscribe: revealed(&trust.subscribe) }
}

pub(crate) fn administration(trust: &config::Trust) -> Administration {
    let tokens = trust.admin.tokens.iter().map(|token| token.reveal().to_owned()).collect();
    let place = if trust.admin.listen.is_empty() { AdminPlace::Everywhere } else { AdminPlace::Apart };
    Administration { tokens, place }
}

fn third(time: Duration) -> Duration {
    (time / 3).max(Duration::from_millis(1))
}

fn cors(origins: &[CorsOrigin]) -> Cors {
    if origins.contains(&CorsOrigin::Any) {
        return Cors::Any;
    }
    let named = origins.iter().filter_map(|origin| match origin {
        CorsOrigin::Named(name) => Some(name.clone()),
        CorsOrigin::Any => None,
    });
    let named: Vec<String> = named.collect();
    if named.is_empty() { Cors::Off } else { Cors::Origins(named) }
}

/// Those that were given, and those that it proves to be its own.
fn names(config: &Config) -> Vec<String> {
    let acme = config.tls.iter().filter_map(|tls| tls.acme.as_ref());
    config.trust.hosts.iter().chain(acme.flat_map(|acme| &acme.domains)).cloned().collect()
}

/// A server that only this machine reaches knows its names; any other name is a page's trick.
fn hosts(addresses: &[SocketAddr], more: Vec<String>) -> HostCheck {
    if addresses.iter().all(|address| address.ip().is_loopback()) {
        HostCheck::Loopback(more)
    } else {
        HostCheck::Off
    }
}
