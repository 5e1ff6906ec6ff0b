//! Replaces who judges tokens, and the limits, while the server runs.
//!
//! A reload reads the whole configuration again. What may change does so at once and for all workers, so no request fails
//! for it; what may not is named. A configuration with a mistake changes nothing. Sets of keys are fetched again every few
//! minutes and when a request needs it; while one cannot be fetched, its last one stands. A set without a key is no failure
//! (RFC 7517, section 5): its keys were withdrawn, and that counts.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use poll_http::Service;
use poll_http::jwt::{JwtAuthority, Rules, VerifyingKey};
use tokio::sync::watch;
use tokio::time::Instant;

use super::asking::Asking;
use super::key_set;
use crate::config::{Config, KeySetUrl};
use crate::service;

/// How often sets are fetched, so that a key that was withdrawn is soon good no more.
const EVERY: Duration = Duration::from_secs(300);
/// The same where one is missing, or empty.
const SOON: Duration = Duration::from_secs(10);

/// What changes while the server runs.
pub(crate) struct Keeper {
    service: Service,
    /// The configuration in force.
    config: Config,
    sets: Vec<KeySet>,
    asking: Arc<Asking>,
    /// When to fetch next; `None` without a set.
    next: Option<Instant>,
}

struct KeySet {
    url: KeySetUrl,
    keys: Vec<VerifyingKey>,
    /// What was logged last of it.
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Fetched,
    /// Fetched, with no key in it that verifies tokens.
    Empty,
    Away,
}

impl KeySet {
    /// Takes over what a fetch gave, and logs what is new; says whether that changes the keys.
    fn take(&mut self, fetched: Result<Vec<VerifyingKey>, String>) -> Changed {
        let (url, before, had) = (&self.url.0, self.state, self.keys.len());
        let keys = match fetched {
            Ok(keys) => keys,
            Err(why) => {
                self.state = State::Away;
                if before != State::Away {
                    let effect = match had {
                        0 => "tokens signed by them are refused".to_owned(),
                        _ => format!("{had} that were fetched before stay in force"),
                    };
                    tracing::warn!(%url, kept = had, "keys of {url}: {why}; {effect}");
                }
                return Changed::No;
            }
        };
        self.state = if keys.is_empty() { State::Empty } else { State::Fetched };
        let changed = if prints(&keys) == prints(&self.keys) { Changed::No } else { Changed::Yes };
        if self.state == State::Empty {
            if before != State::Empty {
                tracing::warn!(%url, withdrawn = had, "keys of {url}: there is none that verifies tokens; \
                    tokens signed by those that were there are refused");
            }
        } else if changed == Changed::Yes {
            tracing::info!(%url, keys = keys.len(), "keys of {url}: {} in force", keys.len());
        } else if before == State::Away {
            tracing::info!(%url, "keys of {url} can be fetched again");
        }
        self.keys = keys;
        changed
    }
}

impl Keeper {
    /// Begins with the configuration that the server starts with, and fetches its sets of keys.
    pub(crate) async fn start(service: Service, config: Config) -> Self {
        let mut keeper = Self { service, config, sets: Vec::new(), asking: Asking::new(), next: None };
        if keeper.config.trust.jwt.is_on() {
            keeper.follow_sets();
            keeper.fetch().await;
            keeper.replace_authority();
        }
        keeper
    }

    /// Whether anything can change.
    pub(crate) fn has_work(&self) -> bool {
        self.next.is_some() || self.config.reread.is_some()
    }

    /// Keeps the sets that are configured, with the keys that they have.
    fn follow_sets(&mut self) {
        let mut before = std::mem::take(&mut self.sets);
        for url in &self.config.trust.jwt.sets {
            let known = before.iter().position(|set| set.url == *url);
            self.sets.push(match known {
                Some(index) => before.swap_remove(index),
                None => KeySet { url: url.clone(), keys: Vec::new(), state: State::New },
            });
        }
    }

    /// Fetches all sets; says whether any has changed.
    async fn fetch(&mut self) -> Changed {
        let fetched = join_all(self.sets.iter().map(|set| key_set::fetch(&set.url))).await;
        let mut changed = Changed::No;
        for (set, fetched) in self.sets.iter_mut().zip(fetched) {
            if set.take(fetched) == Changed::Yes {
                changed = Changed::Yes;
            }
        }
        let missing = self.sets.iter().any(|set| set.state != State::Fetched);
        let every = if missing { SOON } else { EVERY };
        self.next = (!self.sets.is_empty()).then(|| Instant::now() + every);
        changed
    }

    fn replace_authority(&self) {
        let trust = &self.config.trust;
        let access = service::access(trust);
        if !trust.jwt.is_on() {
            self.service.replace_authority(access);
            return;
        }
        let rules = Rules { issuers: trust.jwt.issuers.clone(), audiences: trust.jwt.audiences.clone() };
        let keys = trust.jwt.keys.iter().chain(self.sets.iter().flat_map(|set| &set.keys)).cloned();
        let mut authority = JwtAuthority::new(keys.collect(), rules).or_static(access);
        if !self.sets.is_empty() {
            let asking = self.asking.clone();
            authority = authority.fetching(move || asking.ask());
        }
        self.service.replace_authority(authority);
    }

    /// Reads the configuration again.
    async fn reload(&mut self) {
        let Some(reread) = self.config.reread.clone() else { return };
        let config = match reread.read() {
            Ok(config) => config,
            Err(faults) => {
                for fault in faults {
                    tracing::error!("the configuration was read again and stays as it was: {fault}");
                }
                return;
            }
        };
        let mut changes = config.changes_since(&self.config);
        if prints(&config.trust.jwt.keys) != prints(&self.config.trust.jwt.keys) {
            changes.in_force.extend(["jwt-key", "jwt-secret-file"].iter().filter(|name| config.has(name)));
            changes.in_force.sort_unstable();
            changes.in_force.dedup();
        }
        let limits_before = service::limits(&self.config.limits);
        self.config = Config { reread: Some(reread), ..config };
        changes.log();
        let limits = service::limits(&self.config.limits);
        if limits != limits_before {
            self.service.replace_limits(limits);
        }
        self.service.replace_administration(service::administration(&self.config.trust));
        self.follow_sets();
        if self.sets.iter().any(|set| set.state == State::New) {
            self.fetch().await;
        }
        self.replace_authority();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Changed {
    Yes,
    No,
}

/// Whether keys are the same.
fn prints(keys: &[VerifyingKey]) -> Vec<[u8; 32]> {
    keys.iter().map(VerifyingKey::fingerprint).collect()
}

/// Works for as long as the server runs.
pub(crate) async fn keep(mut keeper: Keeper, mut reloads: watch::Receiver<u64>) {
    loop {
        let asking = keeper.asking.clone();
        let (next, is_waiting) = (keeper.next.unwrap_or_else(Instant::now), keeper.next.is_some());
        tokio::select! {
            biased;
            reload = reloads.changed() => match reload {
                Ok(()) => keeper.reload().await,
                Err(_nothing_can_be_asked_for) => break,
            },
            () = asking.due() => {
                if keeper.fetch().await == Changed::Yes {
                    keeper.replace_authority();
                }
                asking.ended();
            }
            () = tokio::time::sleep_until(next), if is_waiting => {
                if keeper.fetch().await == Changed::Yes {
                    keeper.replace_authority();
                }
            }
        }
    }
}
