//! Publishing, and closing, which is a publish that ends its channel.

use redis::Cmd;
use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use super::call::{Call, Known, Script, micros};
use super::life;
use crate::journal::SharedChange;
use crate::journal::redis::log::announcement::Kept;
use crate::journal::redis::log::entry::Draft;
use crate::journal::redis::log::fields::{Fields, Garbled, Result};
use crate::journal::redis::log::generation::{Birth, Mark};
use crate::journal::redis::log::partition::Partition;
use crate::types::{ChannelName, Ending, Epoch, Fingerprint, IdempotencyKey, SeqRange};

/// Appends messages to a channel, ends it, or both; all of it or nothing.
#[derive(Debug, Clone)]
pub(crate) struct Publish {
    pub(crate) channel: ChannelName,
    pub(crate) drafts: SmallVec<[Draft; 1]>,
    pub(crate) ending: Ending,
    pub(crate) key: Option<KeyHashes>,
    /// The channel's, if this is its first publish.
    pub(crate) birth: Birth,
    pub(crate) births: Births,
    pub(crate) change: Option<PublishChange>,
}

/// What a publish changes besides.
#[derive(Debug, Clone)]
pub(crate) struct PublishChange {
    pub(crate) change: Box<SharedChange>,
    /// Random: the version of the channel's life, if that changes.
    pub(crate) version: u64,
}

/// Whether a publish may be its channel's first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Births {
    /// There is room for another channel.
    Allowed,
    /// There is none: only if the partition's longest unused channel can be forgotten.
    InPlaceOfAnother,
}

/// The first 128 bits of the hashes of an idempotency key and of the payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyHashes {
    key: [u8; 16],
    payload: [u8; 16],
}

/// What became of a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Published {
    /// It has these numbers and times.
    Kept(Kept),
    /// The same, and what servers have of the channel in memory counts no longer.
    Changed(Kept),
    /// It was published before under its key, as these messages.
    Repeated(Epoch, SeqRange),
    /// Its key was used with another payload.
    KeyReused,
    /// The channel is closed.
    Closed,
    /// There is no room for another channel.
    Full,
    /// The channel was deleted and has forks.
    Hidden,
    /// The channel's time is over.
    Over,
    /// A change was decided from what is not so any more.
    Outdated,
    /// All that a change says is so already.
    Unchanged(Epoch),
}

impl KeyHashes {
    pub(crate) fn new(key: &IdempotencyKey, fingerprint: &Fingerprint) -> Self {
        let half = |hash: &Fingerprint| {
            let mut half = [0; 16];
            half.copy_from_slice(&hash[..16]);
            half
        };
        Self { key: half(&Sha256::digest(key.as_str()).into()), payload: half(fingerprint) }
    }
}

const CLOSE: u8 = 1;
const KEYED: u8 = 2;
const BIRTH: u8 = 4;
const SHARDED: u8 = 8;
const CHANGE: u8 = 16;

impl Call for Publish {
    type Reply = Published;

    fn command(&self, script: &Script, known: Known) -> Cmd {
        let (partition, prefix) = (Partition::of(&self.channel), &script.prefix);
        let retention = &script.retention;
        let remembers = !retention.idempotency.is_zero() && retention.keys > 0;
        let key = self.key.filter(|_| remembers);
        let mut keys = vec![
            partition.record(prefix),
            partition.channel(prefix, &self.channel),
            partition.stream(prefix, &self.channel),
        ];
        if key.is_some() {
            keys.push(partition.idempotency(prefix, &self.channel));
            keys.push(partition.order(prefix, &self.channel));
        }
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let flags = flag(self.ending == Ending::Close, CLOSE)
            | flag(key.is_some(), KEYED)
            | flag(self.births == Births::Allowed, BIRTH)
            | flag(script.sharded() != 0, SHARDED)
            | flag(self.change.is_some(), CHANGE);
        let mut settings = Vec::with_capacity(33);
        settings.push(flags);
        settings.extend(self.birth.get().to_be_bytes());
        let [messages, age] = script.bounds();
        for number in [messages, age, micros(retention.idempotency)] {
            settings.extend(number.to_be_bytes());
        }
        settings.extend(u32::try_from(retention.keys).unwrap_or(u32::MAX).to_be_bytes());
        let mut command = script.call("publish", &keys, known, &settings);
        if let Some(KeyHashes { key, payload }) = key {
            command.arg([key, payload].concat());
        }
        if let Some(PublishChange { change, version }) = &self.change {
            command.arg(life::encode(change, *version));
        }
        for draft in &self.drafts {
            command.arg(draft.encode());
        }
        command
    }

    fn read(&self, mark: Mark, mut fields: Fields<'_>, _: Vec<Vec<u8>>) -> Result<Published> {
        match fields.byte()? {
            kind @ (b'K' | b'L') => {
                let kept = Kept::decode(&mut fields)?;
                // The script's count is that of its arguments.
                if kept.count as usize != self.drafts.len() {
                    return Err(Garbled);
                }
                Ok(if kind == b'K' { Published::Kept(kept) } else { Published::Changed(kept) })
            }
            b'A' => {
                let epoch = mark.generation.epoch(fields.birth()?);
                Ok(Published::Repeated(epoch, SeqRange { after: fields.seq()?, count: fields.u32()? }))
            }
            b'U' => Ok(Published::KeyReused),
            b'C' => Ok(Published::Closed),
            b'F' => Ok(Published::Full),
            b'H' => Ok(Published::Hidden),
            b'O' => Ok(Published::Over),
            b'X' => Ok(Published::Outdated),
            b'S' => Ok(Published::Unchanged(mark.generation.epoch(fields.birth()?))),
            _ => Err(Garbled),
        }
    }
}
