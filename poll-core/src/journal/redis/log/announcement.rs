//! What the script tells all nodes of a change: through Redis' publish and subscribe, on the channel of the partition.
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | `K` kept, `N` a new generation, `F` a channel was forgotten, `L` its life changed |
//! | 4, 8, 8 | generation, count (this change included), reign |
//! | 1 | in `L`: 1 if the channel began with this, else 0 |
//! | 4 | birth (not in `N`, which ends before it) |
//! | 8, 8, 1, 4 | in `K`: the number before the first message, when the first was taken, state (1: this ends the channel, 2: it has a life), how many messages |
//! | 2, … | length of the channel's name, and the name |
//! | (4, …)* | in `K`: length and bytes of each [entry](super::entry), if all have at most 8 KiB together; else none |

use std::sync::Arc;

use bytes::Bytes;

use super::entry;
use super::fields::{Fields, Garbled, Result};
use super::generation::{Birth, Mark};
use crate::types::{ChannelName, Ending, Message, Seq, Timestamp};

/// A change of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// How far the partition has got with this change.
    pub(crate) mark: Mark,
    pub(crate) change: Change,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Something was published, or the channel was closed.
    Kept(ChannelName, Kept, Content),
    /// The partition has a new generation.
    Renewed,
    /// A channel was forgotten or deleted.
    Forgotten(ChannelName, Birth),
    /// What was known of a channel counts no longer: something of its life changed, perhaps with messages.
    Lived(ChannelName, Begins),
}

/// Whether a channel began with a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    Yes,
    No,
}

/// Which numbers and times a publish got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) birth: Birth,
    /// The number before its first message.
    pub(crate) before: Seq,
    /// When its first message was taken; each one after that a microsecond later.
    pub(crate) first_at: Timestamp,
    pub(crate) ending: Ending,
    /// Whether the channel began with it.
    pub(crate) begins: Begins,
    /// How many messages.
    pub(crate) count: u32,
}

/// The messages of a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Messages(Vec<Arc<Message>>),
    /// Too large to announce; or written by a version that this one cannot read.
    ToBeRead,
}

impl Change {
    /// The channel that changed.
    pub(crate) fn channel(&self) -> Option<&ChannelName> {
        match self {
            Self::Kept(channel, ..) | Self::Forgotten(channel, _) | Self::Lived(channel, _) => Some(channel),
            Self::Renewed => None,
        }
    }
}

impl Kept {
    /// The number of its last message.
    pub(crate) fn newest(&self) -> Seq {
        Seq::new(self.before.get() + u64::from(self.count))
    }

    /// The number and time of each message.
    pub(crate) fn stamps(&self) -> impl Iterator<Item = (Seq, Timestamp)> {
        let (before, first) = (self.before.get(), self.first_at.as_micros());
        let stamp = move |place| (Seq::new(before + 1 + place), Timestamp::from_micros(first + place));
        (0..u64::from(self.count)).map(stamp)
    }

    /// Reads it behind a mark.
    pub(crate) fn decode(fields: &mut Fields<'_>) -> Result<Self> {
        let (birth, before, first_at) = (fields.birth()?, fields.seq()?, fields.time()?);
        let (state, count) = (fields.byte()?, fields.u32()?);
        let ending = if state & 1 == 1 { Ending::Close } else { Ending::Open };
        // A channel that has a life was created.
        let begins = if state & 2 == 0 && before == Seq::ZERO { Begins::Yes } else { Begins::No };
        Ok(Self { birth, before, first_at, ending, begins, count })
    }
}

impl Announcement {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Fields(bytes);
        let (kind, mark) = (fields.byte()?, fields.mark()?);
        let change = match kind {
            b'K' => {
                let kept = Kept::decode(&mut fields)?;
                let channel = name(&mut fields)?;
                Change::Kept(channel, kept, content(fields, &kept)?)
            }
            b'N' => fields.end().map(|()| Change::Renewed)?,
            b'F' => {
                let (birth, channel) = (fields.birth()?, name(&mut fields)?);
                fields.end().map(|()| Change::Forgotten(channel, birth))?
            }
            b'L' => {
                let begins = if fields.byte()? == 1 { Begins::Yes } else { Begins::No };
                let (_birth, channel) = (fields.birth()?, name(&mut fields)?);
                fields.end().map(|()| Change::Lived(channel, begins))?
            }
            _ => return Err(Garbled),
        };
        Ok(Self { mark, change })
    }
}

fn name(fields: &mut Fields<'_>) -> Result<ChannelName> {
    let length = fields.u16()?;
    let name = std::str::from_utf8(fields.bytes(length.into())?).map_err(|_| Garbled)?;
    ChannelName::parse(name).map_err(|_| Garbled)
}

fn content(mut fields: Fields<'_>, kept: &Kept) -> Result<Content> {
    if fields.0.is_empty() && kept.count > 0 {
        return Ok(Content::ToBeRead);
    }
    let mut messages = Vec::with_capacity(kept.count.min(1_000) as usize);
    for (seq, at) in kept.stamps() {
        let length = fields.u32()?;
        let entry = Bytes::copy_from_slice(fields.bytes(length as usize)?);
        let Ok(message) = entry::decode(seq, &entry) else { return Ok(Content::ToBeRead) };
        if message.at != at {
            return Err(Garbled);
        }
        messages.push(message);
    }
    fields.end().map(|()| Content::Messages(messages))
}
