//! A subscription as it is kept: one JSON object, from which it goes on after a restart.
//!
//! The ends of streams are not in it; they are looked up. An attempt that was under way counts as not begun, so what was
//! sent may be sent again, under the same generation.

use std::collections::BTreeMap;
use std::sync::Arc;

use poll_core::{Cursor, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::request::Configuration;
use super::state::{Link, Subscription};
use super::wake::{Phase, Wake};
use super::webhook_url::Loopback;

#[derive(Serialize, Deserialize)]
struct Record {
    id: String,
    configuration: Value,
    base: String,
    created: u64,
    generation: u64,
    /// Name, acknowledged cursor, whether it was named, whether it matches.
    links: Vec<(String, String, bool, bool)>,
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
    Due { wake: KeptWake, tries: u32, at: u64 },
    Held { wake: KeptWake, worker: Option<String>, until: u64 },
}

impl Subscription {
    /// The record of it.
    pub(crate) fn to_record(&self, id: &str) -> Vec<u8> {
        let kept = |wake: &Wake| KeptWake {
            id: wake.id.to_string(),
            generation: wake.generation,
            stream: wake.stream.to_string(),
        };
        let phase = match &self.phase {
            Phase::Idle => Stage::Idle,
            Phase::Due { wake, tries, at } | Phase::Sending { wake, tries, at, .. } => {
                Stage::Due { wake: kept(wake), tries: *tries, at: at.as_micros() }
            }
            // It is offered again: its event may not have been written.
            Phase::Offered { wake, at } => Stage::Due { wake: kept(wake), tries: 0, at: at.as_micros() },
            Phase::Held { wake, worker, until } => Stage::Held {
                wake: kept(wake),
                worker: worker.as_deref().map(str::to_owned),
                until: until.as_micros(),
            },
        };
        let link = |(name, link): (&str, &Link)| {
            let acked = String::from_utf8_lossy(&link.acked.to_text()).into_owned();
            (name.to_owned(), acked, link.explicit, link.glob)
        };
        let record = Record {
            id: id.to_owned(),
            configuration: Value::Object(self.configuration.to_json()),
            base: self.base.to_string(),
            created: self.created.as_micros(),
            generation: self.generation,
            links: self.links().map(link).collect(),
            phase,
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
            let acked: Cursor = acked.parse().ok()?;
            links.insert(name.into(), Link { acked, end: acked, explicit, glob });
        }
        let wake = |kept: KeptWake| Wake {
            id: kept.id.into(),
            generation: kept.generation,
            stream: kept.stream.into(),
        };
        let phase = match record.phase {
            Stage::Idle => Phase::Idle,
            Stage::Due { wake: kept, tries, at } => {
                Phase::Due { wake: wake(kept), tries, at: Timestamp::from_micros(at) }
            }
            Stage::Held { wake: kept, worker, until } => Phase::Held {
                wake: wake(kept),
                worker: worker.map(Into::into),
                until: Timestamp::from_micros(until),
            },
        };
        let subscription = Self {
            configuration: Arc::new(configuration),
            base: record.base.into(),
            created: Timestamp::from_micros(record.created),
            generation: record.generation,
            links,
            phase,
            left_out: record.left_out,
            is_scanned: record.is_scanned,
        };
        Some((record.id, subscription))
    }
}
