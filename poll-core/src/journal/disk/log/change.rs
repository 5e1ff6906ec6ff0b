//! A change of a channel's life, as a record has it.
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | what becomes of the messages |
//! | 4 + n | the life as it is [encoded](Life::to_bytes); empty if it stays |
//! | 4 + n | a producer's name; empty if there is none |
//! | 24 | its epoch, last number and time; only after a name |
//! | 4 + n | the name of a producer that is forgotten; empty if there is none |

use std::sync::Arc;

use crate::life::{Change, Content, Life, Producer, ProducerId};
use crate::types::{Fields, Timestamp, put, put_numbers};

/// Appends a change to a record.
pub(super) fn encode(change: &Change, out: &mut Vec<u8>) {
    out.push(match change.content {
        Content::Same => 0,
        Content::Born => 1,
        Content::Purged => 2,
        Content::Removed => 3,
    });
    put(out, &change.life.as_ref().map(|life| life.to_bytes()).unwrap_or_default());
    put(out, change.producer.as_ref().map_or(&[], |(id, _)| id.as_str().as_bytes()));
    if let Some((_, producer)) = &change.producer {
        put_numbers(out, [producer.epoch, producer.last, producer.used.as_micros()]);
    }
    put(out, change.forgotten.as_ref().map_or(&[], |id| id.as_str().as_bytes()));
}

/// Reads a change; `None` where there is none.
pub(super) fn decode(fields: &mut Fields<'_>) -> Option<Change> {
    let content = match fields.byte()? {
        0 => Content::Same,
        1 => Content::Born,
        2 => Content::Purged,
        3 => Content::Removed,
        _ => return None,
    };
    let life = match fields.prefixed()? {
        [] => None,
        life => Some(Arc::new(Life::from_bytes(life).ok()?)),
    };
    let producer = match fields.text()? {
        "" => None,
        id => {
            let (epoch, last) = (fields.number()?, fields.number()?);
            let used = Timestamp::from_micros(fields.number()?);
            Some((ProducerId::parse(id).ok()?, Producer { epoch, last, used }))
        }
    };
    let forgotten = match fields.text()? {
        "" => None,
        id => Some(ProducerId::parse(id).ok()?),
    };
    Some(Change { life, producer, forgotten, content })
}
