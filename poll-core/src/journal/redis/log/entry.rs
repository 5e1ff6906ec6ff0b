//! One message as bytes: the value of an entry in a channel's stream, and in an announcement.
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | when it was taken, in microseconds; the script writes it in front of what the publisher sent |
//! | 1 | version in the upper half (1), kind of payload in the lower half (0 JSON, 1 text, 2 binary) |
//! | 8 | the random bits of its id |
//! | rest | the payload |
//!
//! Its number is that of the entry: `seq-0`. Its id follows from its time and the random bits ([`mint_id`]).

use std::sync::Arc;

use bytes::Bytes;

use super::fields::{Fields, Garbled, Result};
use crate::types::{Message, Payload, Seq, Timestamp, mint_id};

/// The bytes before the payload.
pub(crate) const HEAD_BYTES: usize = 17;

const VERSION: u8 = 1 << 4;

/// A message that has no number and no time yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) payload: Payload,
    /// The random bits of its id.
    pub(crate) random: u64,
}

impl Draft {
    /// What the script puts behind the time.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.payload.len());
        bytes.push(VERSION | self.payload.kind());
        bytes.extend(self.random.to_be_bytes());
        bytes.extend(self.payload.as_bytes());
        bytes
    }

    /// The message that it became.
    pub(crate) fn stamped(&self, seq: Seq, at: Timestamp) -> Message {
        Message { seq, id: mint_id(at, self.random), at, payload: self.payload.clone() }
    }
}

/// The message that an entry holds.
pub(crate) fn decode(seq: Seq, entry: &Bytes) -> Result<Arc<Message>> {
    let mut fields = Fields(entry);
    let (at, kind, random) = (fields.time()?, fields.byte()?, fields.u64()?);
    let payload = Payload::kept(kind ^ VERSION, entry.slice(HEAD_BYTES..)).ok_or(Garbled)?;
    Ok(Arc::new(Message { seq, id: mint_id(at, random), at, payload }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the script stores it.
    fn stored(draft: &Draft, at: Timestamp) -> Bytes {
        [&at.as_micros().to_be_bytes()[..], &draft.encode()].concat().into()
    }

    proptest! {
        #[test]
        fn what_is_stored_is_read_back(
            random: u64,
            micros in 0u64..1 << 50,
            seq: u64,
            bytes: Vec<u8>,
            text in "\\PC*",
            kind in 0..3,
        ) {
            let payload = match kind {
                0 => Payload::Json(text.into()),
                1 => Payload::Text(text.into()),
                _ => Payload::Binary(bytes.into()),
            };
            let (draft, at, seq) = (Draft { payload, random }, Timestamp::from_micros(micros), Seq::new(seq));
            prop_assert_eq!(&*decode(seq, &stored(&draft, at)).unwrap(), &draft.stamped(seq, at));
        }

        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes: Vec<u8>) {
            let _ = decode(Seq::new(1), &bytes.into());
        }
    }

    #[test]
    fn another_version_is_no_message() {
        let mut entry = stored(&Draft { payload: Payload::text("a"), random: 1 }, Timestamp::ZERO).to_vec();
        entry[8] = 2 << 4 | 1;
        assert_eq!(decode(Seq::new(1), &entry.into()), Err(Garbled));
    }
}
