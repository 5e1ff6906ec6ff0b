//! A subscription as it is kept: one JSON object, from which it goes on after a restart.
//!
//! The ends of streams are not in it; they are looked up. Where only one server goes on from it, and that after a restart, an
//! attempt that was under way counts as not begun, so what was sent may be sent again, under the same generation. Where
//! several share it, it says what is under way, and until when the others leave it alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use poll_core::{Cursor, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::request::Configuration;
use super::state::{Link, Subscription};
use super::wake::{Phase, Wake};
use super::webhook_url::Loopback;

/// Who goes on from a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// The server that wrote it, after a restart.
    Alone,
    /// Any of several servers, at any time.
    Shared,
}

#[derive(Serialize, Deserialize)]
struct Record {
    id: String,
    configuration: Value,
    base: String,
    created: u64,
    generation: u64,
    /// Name, acknowledged cursor, whether it was named, whether it matches.
    links: Vec<(String, String, bool, bool)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ended: Vec<String>,
    phase: Stage,
    left_out: u64,
    is_scanned: bool,
}

#[derive(Serialize, Deserialize)]
struct KeptWake {
    id: String,
    generation: u64,
    stream: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    Idle,
    Due {
        wake: KeptWake,
        tries: u32,
        at: u64,
    },
    Sending {
        wake: KeptWake,
        tries: u32,
        at: u64,
        /// Name and cursor.
        ends: Vec<(String, String)>,
        until: u64,
    },
    Offered {
        wake: KeptWake,
        at: u64,
    },
    Held {
        wake: KeptWake,
        worker: Option<String>,
        until: u64,
    },
}

impl Stage {
    fn of(phase: &Phase, keeping: Keeping) -> Self {
        let kept = KeptWake::of;
        match phase {
            Phase::Idle => Self::Idle,
            Phase::Sending { wake, tries, at, ends, until } if keeping == Keeping::Shared => Self::Sending {
                wake: kept(wake),
                tries: *tries,
                at: at.as_micros(),
                ends: ends.iter().map(|(name, end)| (name.to_string(), text(*end))).collect(),
                until: until.as_micros(),
            },
            Phase::Offered { wake, at } if keeping == Keeping::Shared => {
                Self::Offered { wake: kept(wake), at: at.as_micros() }
            }
            Phase::Due { wake, tries, at } | Phase::Sending { wake, tries, at, .. } => {
                Self::Due { wake: kept(wake), tries: *tries, at: at.as_micros() }
            }
            // It is offered again: its event may not have been written.
            Phase::Offered { wake, at } => Self::Due { wake: kept(wake), tries: 0, at: at.as_micros() },
            Phase::Held { wake, worker, until } => Self::Held {
                wake: kept(wake),
                worker: worker.as_deref().map(str::to_owned),
                until: until.as_micros(),
            },
        }
    }

    fn into_phase(self) -> Option<Phase> {
        let time = Timestamp::from_micros;
        Some(match self {
            Self::Idle => Phase::Idle,
            Self::Due { wake, tries, at } => Phase::Due { wake: wake.into(), tries, at: time(at) },
            Self::Sending { wake, tries, at, ends, until } => {
                let end = |(name, end): (String, String)| Some((name.into(), end.parse().ok()?));
                let ends = ends.into_iter().map(end).collect::<Option<_>>()?;
                Phase::Sending { wake: wake.into(), tries, at: time(at), ends, until: time(until) }
            }
            Self::Offered { wake, at } => Phase::Offered { wake: wake.into(), at: time(at) },
            Self::Held { wake, worker, until } => {
                Phase::Held { wake: wake.into(), worker: worker.map(Into::into), until: time(until) }
            }
        })
    }
}

impl KeptWake {
    fn of(wake: &Wake) -> Self {
        Self { id: wake.id.to_string(), generation: wake.generation, stream: wake.stream.to_string() }
    }
}

impl From<KeptWake> for Wake {
    fn from(kept: KeptWake) -> Self {
        Self { id: kept.id.into(), generation: kept.generation, stream: kept.stream.into() }
    }
}

fn text(cursor: Cursor) -> String {
    String::from_utf8_lossy(&cursor.to_text()).into_owned()
}

impl Subscription {
    /// The record of it.
    pub(crate) fn to_record(&self, id: &str, keeping: Keeping) -> Vec<u8> {
        let link =
            |(name, link): (&str, &Link)| (name.to_owned(), text(link.acked), link.explicit, link.glob);
        let record = Record {
            id: id.to_owned(),
            configuration: Value::Object(self.configuration.to_json()),
            base: self.base.to_string(),
            created: self.created.as_micros(),
            generation: self.generation,
            links: self.links().map(link).collect(),
            ended: self.ended.iter().map(ToString::to_string).collect(),
            phase: Stage::of(&self.phase, keeping),
            left_out: self.left_out,
            is_scanned: self.is_scanned,
        };
        serde_json::to_vec(&record).unwrap_or_default()
    }

    /// The subscription of a record, with its id; `None` if it is none of ours. What was accepted once is not judged by
    /// where the server listens now: `loopback` is.
    pub(crate) fn of_record(record: &[u8], loopback: Loopback) -> Option<(String, Self)> {
        let record: Record = serde_json::from_slice(record).ok()?;
        let configuration = serde_json::to_vec(&record.configuration).ok()?;
        let configuration = Configuration::parse(&configuration, loopback).ok()?;
        let mut links = BTreeMap::new();
        for (name, acked, explicit, glob) in record.links {
            // Earlier versions took it in.
            if !configuration.may_wake(&name) {
                continue;
            }
            let acked: Cursor = acked.parse().ok()?;
            links.insert(name.into(), Link { acked, end: acked, explicit, glob });
        }
        let phase = record.phase.into_phase()?;
        let subscription = Self {
            configuration: Arc::new(configuration),
            base: record.base.into(),
            created: Timestamp::from_micros(record.created),
            generation: record.generation,
            links,
            ended: record.ended.into_iter().map(Into::into).collect(),
            phase,
            left_out: record.left_out,
            is_scanned: record.is_scanned,
        };
        Some((record.id, subscription))
    }
}
