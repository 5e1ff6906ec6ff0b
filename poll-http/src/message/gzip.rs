//! A gzip member (RFC 1952) that is put together from parts.
//!
//! Readers of the same messages share most of an answer, but each has a time of its own at the end. So what they share is
//! compressed once up to a byte boundary, and what is a reader's own follows it as it is, in blocks that are only stored
//! (RFC 1951, section 3.2.4). Nothing of a compressor is kept between two parts: a slow reader holds a checksum.

use std::cell::RefCell;

use bytes::Bytes;
use zlib_rs::{Deflate, DeflateFlush, crc32};

/// Answers of at most this many bytes are not worth it: they fit into one packet as they are.
pub(crate) const SMALL: usize = 1024;
/// Half the time of the usual 6, for 8 % more bytes.
const LEVEL: i32 = 2;
/// 32 KiB, which every client has room for.
const WINDOW_BITS: u8 = 15;

/// Without a time, a name or a system (RFC 1952, section 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// The last block, with nothing in it.
const END: [u8; 2] = [3, 0];
/// The most bytes of a stored block.
const STORED: usize = u16::MAX as usize;

/// Checksum and length of the content so far.
#[derive(Debug, Clone, Copy, Default)]
struct Check {
    crc: u32,
    length: u32,
}

/// A member that is written in pieces.
#[derive(Debug, Default)]
pub(crate) struct Member {
    check: Check,
    stage: Stage,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    New,
    Begun,
}

/// Whether a piece is the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    Yes,
    No,
}

thread_local! {
    /// Some 300 KiB, allocated by the first answer that is compressed.
    static DEFLATE: RefCell<Option<Deflate>> = const { RefCell::new(None) };
}

impl Check {
    const BYTES: usize = 8;

    #[expect(clippy::cast_possible_truncation, reason = "a length modulo 2^32")]
    fn add(&mut self, content: &[u8]) {
        self.crc = crc32::crc32(self.crc, content);
        self.length = self.length.wrapping_add(content.len() as u32);
    }

    /// As it ends a member.
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
    }

    fn read([a, b, c, d, e, f, g, h]: [u8; Self::BYTES]) -> Self {
        Self { crc: u32::from_le_bytes([a, b, c, d]), length: u32::from_le_bytes([e, f, g, h]) }
    }
}

impl Member {
    /// The next piece.
    pub(crate) fn piece(&mut self, content: &[u8], last: Last) -> Vec<u8> {
        let mut out = Vec::new();
        if std::mem::replace(&mut self.stage, Stage::Begun) == Stage::New {
            out.extend_from_slice(&HEADER);
        }
        self.check.add(content);
        deflate(content, &mut out);
        if last == Last::Yes {
            out.extend_from_slice(&END);
            self.check.write(&mut out);
        }
        out
    }
}

/// A member that begins with `content`, for [`end`]; empty where it would be no smaller.
pub(crate) fn begin(content: &[u8]) -> Bytes {
    let (mut out, mut check) = (HEADER.to_vec(), Check::default());
    check.add(content);
    deflate(content, &mut out);
    check.write(&mut out);
    if out.len() >= content.len() {
        return Bytes::new();
    }
    out.shrink_to_fit();
    out.into()
}

/// The two parts of a member that begins with what was [begun](begin) and ends with `own`. `None` where nothing was begun.
pub(crate) fn end(begun: &Bytes, own: &[u8]) -> Option<(Bytes, Vec<u8>)> {
    let (head, check) = begun.split_last_chunk()?;
    let mut check = Check::read(*check);
    check.add(own);
    let mut out = Vec::with_capacity(own.len() + (own.len() / STORED + 1) * 5 + END.len() + Check::BYTES);
    store(own, &mut out);
    out.extend_from_slice(&END);
    check.write(&mut out);
    Some((begun.slice(..head.len()), out))
}

/// Compresses `content`, up to a byte boundary.
fn deflate(content: &[u8], out: &mut Vec<u8>) {
    let begun = out.len();
    let done = DEFLATE.with_borrow_mut(|deflate| {
        let deflate = deflate.get_or_insert_with(|| Deflate::new(LEVEL, false, WINDOW_BITS));
        deflate.reset();
        run(deflate, content, out)
    });
    if done.is_none() {
        out.truncate(begun);
        store(content, out);
    }
}

/// `None` if the compressor fails, which it does only without memory.
fn run(deflate: &mut Deflate, content: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = content;
    loop {
        let (begun, room) = (out.len(), rest.len() / 2 + 128);
        let (taken, given) = (deflate.total_in(), deflate.total_out());
        out.resize(begun + room, 0);
        deflate.compress(rest, &mut out[begun..], DeflateFlush::SyncFlush).ok()?;
        let given = usize::try_from(deflate.total_out() - given).ok()?;
        rest = rest.get(usize::try_from(deflate.total_in() - taken).ok()?..)?;
        out.truncate(begun + given);
        if given < room {
            return rest.is_empty().then_some(());
        }
    }
}

/// Writes `content` as it is.
fn store(content: &[u8], out: &mut Vec<u8>) {
    for block in content.chunks(STORED) {
        #[expect(clippy::cast_possible_truncation, reason = "at most 65 535")]
        let length = block.len() as u16;
        out.push(0);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zlib_rs::{Inflate, InflateFlush, Status};

    use super::*;

    fn inflated(member: &[u8]) -> Vec<u8> {
        let mut out = vec![0; 1 << 21];
        let mut inflate = Inflate::new(true, 16 + 15);
        let status = inflate.decompress(member, &mut out, InflateFlush::Finish).unwrap();
        assert_eq!((status, inflate.total_in()), (Status::StreamEnd, member.len() as u64));
        out.truncate(usize::try_from(inflate.total_out()).unwrap());
        out
    }

    /// Text that compresses well, not so well, and not at all.
    fn content() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            "[a-z]{0,5}".prop_map(|text| text.repeat(20_000).into_bytes()),
            proptest::collection::vec(b'a'..b'e', 0..5_000),
            proptest::collection::vec(any::<u8>(), 0..150_000),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn what_is_shared_and_what_is_own_is_one_member(shared in content(), own in content()) {
            let begun = begin(&shared);
            prop_assert!(begun.len() < shared.len() || begun.is_empty());
            if let Some((head, tail)) = end(&begun, &own) {
                prop_assert_eq!(inflated(&[&head[..], &tail].concat()), [shared, own].concat());
            } else {
                prop_assert!(begun.is_empty());
            }
        }

        #[test]
        fn pieces_are_one_member(pieces in proptest::collection::vec(content(), 1..4)) {
            let (mut member, mut out) = (Member::default(), Vec::new());
            for (index, piece) in pieces.iter().enumerate() {
                let last = if index + 1 == pieces.len() { Last::Yes } else { Last::No };
                out.extend(member.piece(piece, last));
            }
            prop_assert_eq!(inflated(&out), pieces.concat());
        }
    }
}
