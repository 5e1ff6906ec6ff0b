//! The lines that a start writes once the store can be used, or is known to need time.
//!
//! What: version and workers, the store, what is retained, the addresses, and a warning where strangers may publish or read.
//! Why: an operator sees from the log alone what is running, and on what.
//! Not here: what goes wrong; that ends the start with one line of its own (`main.rs`).

use std::net::SocketAddr;
use std::num::NonZeroU64;

use poll_core::Retention;

use crate::config::Config;
use crate::counted::{bytes, counted};
use crate::listen::Role;
use crate::store::OpenStore;

/// Logs everything but the addresses.
pub(crate) fn start(config: &Config, max_sockets: usize, open: &OpenStore) {
    let (version, workers) = (env!("CARGO_PKG_VERSION"), config.workers.get() as u64);
    let sockets = match max_sockets {
        usize::MAX => "any number of sockets".to_owned(),
        most => format!("at most {}", counted(most as u64, "socket")),
    };
    tracing::info!(
        version,
        workers,
        max_sockets,
        "poll-server {version}: {}, {sockets}",
        counted(workers, "worker")
    );
    open.log_contents();
    retention(&config.retention);
    if let Some(otlp) = &config.otlp {
        let (endpoint, service, sample_ratio) = (&otlp.endpoint, &otlp.service, otlp.sample_ratio);
        let part = if sample_ratio < 1.0 {
            format!(", of {sample_ratio} of the traces that begin here")
        } else {
            String::new()
        };
        tracing::info!(%endpoint, service, sample_ratio, "spans go to {endpoint}, as those of {service}{part}");
    }
}

fn retention(retention: &Retention) {
    let Retention { messages, age, bytes: most, channels, .. } = *retention;
    let (seconds, whole) = (age.as_secs_f64(), NonZeroU64::new(most));
    let of_channel =
        NonZeroU64::new(messages).map(|most| format!("{} a channel", counted(most.get(), "message")));
    let all = whole.map(|most| format!("{} in all", bytes(most.get())));
    let known = NonZeroU64::new(channels).map(|most| counted(most.get(), "channel"));
    let bounds: Vec<String> = [of_channel, all, known].into_iter().flatten().collect();
    let how_long = if age.is_zero() { "whatever their age".to_owned() } else { format!("for {seconds} s") };
    let up_to =
        if bounds.is_empty() { "without bounds".to_owned() } else { format!("up to {}", bounds.join(", ")) };
    tracing::info!(messages, seconds, bytes = most, channels, "messages are retained {how_long}, {up_to}");
}

/// Logs the addresses, and a warning where strangers may publish or read.
pub(crate) fn addresses(config: &Config, addresses: &[SocketAddr], others: &[(SocketAddr, Role)]) {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    for address in addresses {
        tracing::info!(%address, "listening on {scheme}://{address}");
    }
    for (address, role) in others {
        match role {
            Role::Redirect => tracing::info!(%address, "listening on http://{address} (redirects to https)"),
            _ => tracing::info!(%address, "listening on {scheme}://{address} (administration)"),
        }
    }
    if config.trust.jwt.is_on() || addresses.iter().all(|address| address.ip().is_loopback()) {
        return;
    }
    let (may, why) = match (config.trust.publish.is_empty(), config.trust.subscribe.is_empty()) {
        (true, true) => ("publish and read", "neither a publish-token nor a subscribe-token is set"),
        (true, false) => ("publish", "no publish-token is set"),
        (false, true) => ("read", "no subscribe-token is set"),
        (false, false) => return,
    };
    tracing::warn!("anyone who reaches this server may {may}: {why}");
}
