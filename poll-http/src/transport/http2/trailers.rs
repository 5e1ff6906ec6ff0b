//! Marks trailer sections on their way to h2, so h2 refuses malformed ones.
//!
//! A pseudo-header field in a trailer section makes a message malformed (RFC 9113, section 8.1), but h2 silently drops such
//! fields: it checks them in requests only. In any block, however, it refuses a pseudo-header field after a regular one. So
//! a regular field is inserted at the start of each trailer section: a HEADERS frame on a stream that had one already.
//! Trailers are not used, and nothing else is changed.

/// Length, type, flags and stream (RFC 9113, section 4.1).
const HEAD: usize = 9;
pub(super) const HEADERS: u8 = 1;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;
/// The largest payload that we allow.
pub(super) const MAX_PAYLOAD: usize = 16 * 1024;

/// A field without a value, literal and not to be indexed (RFC 7541, section 6.2.2), so that it leaves no trace in the
/// compression's state.
const MARK: &[u8] = b"\0\x01x\0";

/// The frames that come, in pieces of any length.
#[derive(Default)]
pub(super) struct Frames {
    /// A head of which a part has come. That part is held back: its length may have to change.
    head: [u8; HEAD],
    filled: usize,
    /// Payload to come.
    payload: usize,
    /// The newest stream of the peer's.
    newest: u32,
    /// Where in the payload the mark is to go.
    mark: Option<Place>,
}

/// The head of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameHead {
    pub(super) kind: u8,
    pub(super) flags: u8,
}

/// What to pass on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// So many of them as they are…
    pub(super) plain: usize,
    /// … and then these.
    pub(super) rest: Vec<u8>,
}

/// What precedes the fields of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// So many bytes: how much padding there is, and an old priority.
    After(u8),
    /// Changes of the table's size, which come first (RFC 7541, section 4.2).
    Sizes,
    /// One of them, in its further bytes.
    Size,
}

impl Frames {
    /// Inspects received bytes and returns what to pass on; calls `each` for every frame whose header they complete.
    pub(super) fn pass(&mut self, bytes: &[u8], mut each: impl FnMut(FrameHead)) -> Passed {
        let mut passed = Passed::default();
        let mut at = 0;
        while at < bytes.len() {
            if self.payload > 0 {
                at += self.pass_payload(&bytes[at..], &mut passed);
                continue;
            }
            let held = self.filled;
            let taken = (HEAD - held).min(bytes.len() - at);
            self.head[held..held + taken].copy_from_slice(&bytes[at..at + taken]);
            self.filled += taken;
            at += taken;
            if self.filled < HEAD {
                break;
            }
            self.filled = 0;
            let changed = self.begin(&mut each);
            if held > 0 || changed == Changed::Yes || !passed.rest.is_empty() {
                passed.rest.extend(self.head);
            } else {
                passed.plain += HEAD;
            }
            self.mark_if_over(&mut passed);
        }
        passed
    }

    /// Inspects a complete frame header; returns whether it has to be replaced.
    fn begin(&mut self, each: &mut impl FnMut(FrameHead)) -> Changed {
        let [high, middle, low, kind, flags, stream @ ..] = self.head;
        self.payload = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        each(FrameHead { kind, flags });
        if kind != HEADERS {
            return Changed::No;
        }
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        if stream > self.newest {
            self.newest = stream;
            return Changed::No;
        }
        let length = self.payload + MARK.len();
        // One that is as large as can be goes unmarked.
        let Some([0, length @ ..]) =
            (length <= MAX_PAYLOAD).then(|| u32::try_from(length).unwrap_or_default().to_be_bytes())
        else {
            return Changed::No;
        };
        self.head[..3].copy_from_slice(&length);
        let padding = if flags & PADDED == 0 { 0 } else { 1 };
        let priority = if flags & PRIORITY == 0 { 0 } else { 5 };
        self.mark = Some(Place::After(padding + priority));
        Changed::Yes
    }

    /// Passes on the available payload, up to the mark. Returns how much that was.
    fn pass_payload(&mut self, bytes: &[u8], passed: &mut Passed) -> usize {
        let mut count = self.payload.min(bytes.len());
        if let Some(place) = self.mark {
            match place.next(bytes[0]) {
                Some(next) => {
                    self.mark = Some(next);
                    count = 1;
                }
                None => {
                    self.mark = None;
                    passed.rest.extend(MARK);
                }
            }
        }
        if passed.rest.is_empty() {
            passed.plain += count;
        } else {
            passed.rest.extend(&bytes[..count]);
        }
        self.payload -= count;
        self.mark_if_over(passed);
        count
    }

    /// A block without fields is marked at its end.
    fn mark_if_over(&mut self, passed: &mut Passed) {
        if self.payload == 0 && self.mark.take().is_some() {
            passed.rest.extend(MARK);
        }
    }
}

#[derive(PartialEq, Eq)]
enum Changed {
    Yes,
    No,
}

impl Place {
    /// Where the mark is to go if not before this byte.
    fn next(self, byte: u8) -> Option<Self> {
        match self {
            Self::After(0) | Self::Sizes if byte >> 5 != 1 => None,
            // An integer whose prefix is full goes on (RFC 7541, section 5.1).
            Self::After(0) | Self::Sizes if byte & 0x1f == 0x1f => Some(Self::Size),
            Self::After(0) | Self::Sizes => Some(Self::Sizes),
            Self::After(more) => Some(Self::After(more - 1)),
            Self::Size if byte & 0x80 == 0 => Some(Self::Sizes),
            Self::Size => Some(Self::Size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELD: &[u8] = b"\0\x06x-test\x02ok";

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [&[0], &length[..], &[kind, flags, 0, 0, 0, stream], payload].concat()
    }

    /// All that is handed on of bytes that come in pieces of this length.
    fn handed_on(bytes: &[u8], piece: usize) -> Vec<u8> {
        let mut frames = Frames::default();
        let mut all = Vec::new();
        for piece in bytes.chunks(piece) {
            let passed = frames.pass(piece, |_| {});
            all.extend(&piece[..passed.plain]);
            all.extend(passed.rest);
        }
        all
    }

    fn marked(parts: [&[u8]; 2]) -> Vec<u8> {
        [parts[0], MARK, parts[1]].concat()
    }

    #[test]
    fn trailers_are_marked_and_nothing_else_is_touched() {
        let request = frame(HEADERS, 4, 1, b"\x83\x86\x84");
        let data = frame(0, 0, 1, b"test");
        let other = frame(HEADERS, 5, 3, b"\x82\x86\x84");
        let settings = frame(4, 0, 0, b"");
        let blocks: [(u8, [&[u8]; 2]); 7] = [
            (0, [b"", FIELD]),
            (PADDED, [b"\x02", b"\x82\0\0"]),
            (PADDED | PRIORITY, [b"\0\0\0\0\x03\x10", b"\x82"]),
            (0, [b"\x3f\xe1\x1f\x20", FIELD]),
            (0, [b"\x3f\xe1\x1f", b""]),
            (0, [b"", b""]),
            (PRIORITY, [b"\0\0", b""]),
        ];
        for (flags, parts) in blocks {
            let end = |payload: &[u8]| {
                [&request, &data, &frame(HEADERS, 5 | flags, 1, payload), &settings, &other, &data]
                    .map(|frame| &frame[..])
                    .concat()
            };
            let came = end(&parts.concat());
            for piece in 1..=came.len() {
                assert_eq!(handed_on(&came, piece), end(&marked(parts)), "{parts:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn what_needs_no_mark_is_handed_on_where_it_lies() {
        let came =
            [frame(HEADERS, 5, 1, b"\x82"), frame(HEADERS, 5, 3, b"\x82"), frame(8, 0, 0, b"\0\0\0\x01")];
        let came = came.concat();
        let mut seen = 0;
        let passed = Frames::default().pass(&came, |_| seen += 1);
        assert_eq!((passed, seen), (Passed { plain: came.len(), rest: Vec::new() }, 3));
    }

    #[test]
    fn one_as_large_as_can_be_stays_as_it_is() {
        let request = frame(HEADERS, 4, 1, b"\x83");
        let trailers = frame(HEADERS, 5, 1, &[0x82; MAX_PAYLOAD]);
        let came = [request, trailers].concat();
        assert_eq!(handed_on(&came, 1000), came);
    }
}
