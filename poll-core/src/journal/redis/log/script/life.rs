//! Lives, producers and forks: how a channel stands, and what a publish changes of that.

use bytes::Bytes;
use redis::Cmd;

use super::call::{Call, Known, Script, micros};
use crate::journal::redis::log::fields::{Fields, Garbled, Result};
use crate::journal::redis::log::generation::{Birth, Mark};
use crate::journal::redis::log::partition::Partition;
use crate::journal::{Audience, ForkChange, ForkMark, Forks, Holds, SharedChange, Survey, SurveyToken};
use crate::life::{Bound, Bounds, Change, Content, Life, Lifetime, Phase, Producer, ProducerId};
use crate::types::{ChannelName, Loaded, Seq, Timestamp};

/// How long a life's version is: random bytes.
const VERSION: usize = 8;
/// What the script reads of a life, in front of it.
const HEAD: usize = VERSION + 1 + 5 * 8;
/// In place of a bound: that of the caller.
const SERVERS: u64 = (1 << 53) - 1;
/// The script's numbers are exact up to 2^53.
const MOST: u64 = 1 << 52;

/// Asks how a channel stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) channel: ChannelName,
    pub(crate) producer: Option<ProducerId>,
}

/// Asks for a channel's forks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListForks(pub(crate) ChannelName);

/// Asks a partition for channels whose time may be over, or that are hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lapsed(pub(crate) Partition);

impl Call for Look {
    type Reply = Survey;

    fn command(&self, script: &Script, known: Known) -> Cmd {
        let producer = self.producer.as_ref().map_or("", ProducerId::as_str);
        script.call("survey", &keys(script, &self.channel), known, producer.as_bytes())
    }

    fn read(&self, mark: Mark, mut fields: Fields<'_>, entries: Vec<Vec<u8>>) -> Result<Survey> {
        let (now, token) = (fields.time()?, fields.array()?);
        let (newest_at, forks) = (fields.time()?, fields.byte()?);
        let life = life_of(fields.0)?;
        let mut parts = Fields(&token);
        let _version: [u8; VERSION] = parts.array()?;
        let (birth, newest, state) = (parts.u32()?, parts.seq()?, parts.byte()?);
        let channel = Birth::new(birth).map(|birth| Loaded {
            epoch: mark.generation.epoch(birth),
            oldest: (newest.next(), newest_at),
            newest: (newest, newest_at),
            ended: state & 1 == 1,
            life,
            tail: Vec::new(),
            damaged: None,
        });
        let producers = entries.chunks(2).map(producer).collect::<Result<_>>()?;
        Ok(Survey { now, token: SurveyToken(token), channel, producers, has_forks: forks != 0 })
    }
}

impl Call for ListForks {
    type Reply = Forks;

    fn command(&self, script: &Script, known: Known) -> Cmd {
        script.call("forks", &keys(script, &self.0), known, &[])
    }

    fn read(&self, _: Mark, mut fields: Fields<'_>, entries: Vec<Vec<u8>>) -> Result<Forks> {
        let now = fields.time()?;
        fields.end()?;
        let fork = |pair: &[Vec<u8>]| {
            let [key, at] = pair else { return Err(Garbled) };
            let mut key = Fields(key);
            let mark = ForkMark(key.u32()?);
            Ok((name(key.0)?, mark, Fields(at).time()?))
        };
        Ok(Forks { now, forks: entries.chunks(2).map(fork).collect::<Result<_>>()? })
    }
}

impl Call for Lapsed {
    type Reply = Vec<ChannelName>;

    fn command(&self, script: &Script, known: Known) -> Cmd {
        script.call("lapsed", &[self.0.record(&script.prefix)], known, &[])
    }

    fn read(&self, _: Mark, fields: Fields<'_>, entries: Vec<Vec<u8>>) -> Result<Vec<ChannelName>> {
        fields.end()?;
        entries.iter().map(|entry| name(entry)).collect()
    }
}

fn keys(script: &Script, channel: &ChannelName) -> [String; 2] {
    let (partition, prefix) = (Partition::of(channel), &script.prefix);
    [partition.record(prefix), partition.channel(prefix, channel)]
}

fn name(bytes: &[u8]) -> Result<ChannelName> {
    let name = std::str::from_utf8(bytes).map_err(|_| Garbled)?;
    ChannelName::parse(name).map_err(|_| Garbled)
}

/// A life as the script keeps it, without what is in front; `None` if there is none.
pub(super) fn life_of(kept: &[u8]) -> Result<Option<Bytes>> {
    if kept.is_empty() {
        return Ok(None);
    }
    kept.get(HEAD..).map(|life| Some(Bytes::copy_from_slice(life))).ok_or(Garbled)
}

fn producer(pair: &[Vec<u8>]) -> Result<(ProducerId, Producer)> {
    let [id, state] = pair else { return Err(Garbled) };
    let id = std::str::from_utf8(id).map_err(|_| Garbled)?;
    let id = ProducerId::parse(id).map_err(|_| Garbled)?;
    let mut state = Fields(state);
    let producer = Producer { epoch: state.u64()?, last: state.u64()?, used: state.time()? };
    state.end().map(|()| (id, producer))
}

fn producer_state(producer: &Producer) -> [u8; 24] {
    let mut state = [0; 24];
    state[..8].copy_from_slice(&producer.epoch.to_be_bytes());
    state[8..16].copy_from_slice(&producer.last.to_be_bytes());
    state[16..].copy_from_slice(&producer.used.as_micros().to_be_bytes());
    state
}

const EXACT: u8 = 1;
const LOUD: u8 = 2;
/// The first of the parts: life, producer, forgotten producer, added fork, removed fork.
const PARTS: u8 = 4;

/// A change as the script reads it. `version` is that of the life, if it changes.
pub(super) fn encode(change: &SharedChange, version: u64) -> Vec<u8> {
    let SharedChange { token, holds, change, producer_before, audience, forks, fork } = change;
    let Change { life, producer, forgotten, content } = change;
    let fork_part =
        |name: &ChannelName, mark: &ForkMark| [&mark.0.to_be_bytes()[..], name.as_str().as_bytes()].concat();
    let (added, removed) = match forks {
        ForkChange::Same => (None, None),
        ForkChange::Add(name, mark) => (Some(fork_part(name, mark)), None),
        ForkChange::Remove(name, mark) => (None, Some(fork_part(name, mark))),
    };
    let producer = producer.as_ref().map(|(id, producer)| {
        let before = producer_before.as_ref().map(producer_state);
        let before = before.as_ref().map_or(&[][..], |before| before);
        let mut part = producer_state(producer).to_vec();
        part.push(if before.is_empty() { 0 } else { 24 });
        part.extend(before);
        part.extend(id.as_str().as_bytes());
        part
    });
    let life_part = life.as_ref().map(|life| encode_life(life, version));
    let forgotten = forgotten.as_ref().map(|id| id.as_str().as_bytes().to_vec());
    let parts = [life_part, producer, forgotten, added, removed];
    let mut flags = if *holds == Holds::Exactly { EXACT } else { 0 };
    flags |= if *audience == Audience::Servers { LOUD } else { 0 };
    for (place, part) in parts.iter().enumerate() {
        flags |= if part.is_some() { PARTS << place } else { 0 };
    }
    let cut = life.as_ref().and_then(|life| life.ancestry.cut());
    let (after, after_at) = cut.map_or((Seq::ZERO, Timestamp::ZERO), |cut| (cut.last, cut.last_at));
    let not_after = fork.map_or(0, |(_, until)| until.as_micros());
    let content = match content {
        Content::Same => 0,
        Content::Born => 1,
        Content::Purged => 2,
        Content::Removed => 3,
    };
    let mut bytes = token.0.to_vec();
    bytes.extend([flags, content]);
    for number in [not_after, after.get(), after_at.as_micros()] {
        bytes.extend(number.min(MOST).to_be_bytes());
    }
    for part in parts.into_iter().flatten() {
        bytes.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(part);
    }
    bytes
}

fn encode_life(life: &Life, version: u64) -> Vec<u8> {
    let (until, sliding) = match life.lifetime {
        Lifetime::Endless => (0, 0),
        Lifetime::Sliding(duration) => (0, micros(duration).max(1)),
        Lifetime::Until(end) => (end.as_micros().clamp(1, MOST), 0),
    };
    let Bounds { messages, seconds, .. } = life.bounds;
    // None at all cannot be said, and is one: readers apply bounds exactly.
    let bound = |bound, unit: u64| match bound {
        Bound::Server => SERVERS,
        Bound::Most(most) => most.saturating_mul(unit).clamp(1, MOST),
        Bound::Unlimited => 0,
    };
    let mut bytes = version.to_be_bytes().to_vec();
    bytes.push((life.phase == Phase::Hidden).into());
    let touched = life.touched.as_micros().min(MOST);
    for number in [until, sliding, touched, bound(messages, 1), bound(seconds, 1_000_000)] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend(life.to_bytes());
    bytes
}
