//! Frames of HTTP/2 (RFC 9113, section 4) as bytes: cut out of what a socket gives, and written for it.
//!
//! Knows where a frame begins and ends and nothing of what it does to a stream.

use anyhow::{Result, ensure};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;

/// Of SETTINGS and PING.
pub(super) const ACK: u8 = 0x1;
/// Of HEADERS and DATA.
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// What every client says first (section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// `SETTINGS_HEADER_TABLE_SIZE` and the like (section 6.5.2).
pub(super) const ENABLE_PUSH: u16 = 2;
pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
/// The largest a window can be (section 6.9.1).
pub(super) const WINDOW: u32 = u32::MAX >> 1;
/// What a connection's window is before it is told otherwise.
pub(super) const FIRST_WINDOW: u32 = 65_535;

const HEAD: usize = 9;
/// What a peer may send that was told of no other limit.
const LONGEST: usize = 16_384;

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: &'a [u8],
}

/// Cuts frames out of bytes that come in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The beginning of a frame whose rest has not come yet.
    begun: Vec<u8>,
}

impl Reader {
    /// Hands over every frame that is whole with these bytes.
    pub(super) fn read(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(Frame<'_>) -> Result<()>,
    ) -> Result<()> {
        while !self.begun.is_empty() {
            let length = length(&self.begun)?.unwrap_or(HEAD);
            let (more, rest) = bytes.split_at((length - self.begun.len()).min(bytes.len()));
            self.begun.extend_from_slice(more);
            bytes = rest;
            if self.begun.len() < length {
                return Ok(());
            }
            if let Some((frame, _)) = cut(&self.begun)? {
                take(frame)?;
                self.begun.clear();
            }
        }
        while let Some((frame, rest)) = cut(bytes)? {
            take(frame)?;
            bytes = rest;
        }
        self.begun.extend_from_slice(bytes);
        Ok(())
    }
}

/// The first frame of some bytes and what follows it; `None` while it is not whole.
fn cut(bytes: &[u8]) -> Result<Option<(Frame<'_>, &[u8])>> {
    let Some(length) = length(bytes)? else { return Ok(None) };
    if bytes.len() < length {
        return Ok(None);
    }
    let (frame, rest) = bytes.split_at(length);
    // The highest bit is reserved and ignored.
    let stream = u32::from_be_bytes([frame[5], frame[6], frame[7], frame[8]]) & WINDOW;
    Ok(Some((Frame { kind: frame[3], flags: frame[4], stream, payload: &frame[HEAD..] }, rest)))
}

/// How long the frame that begins here is with its head; `None` while that is not said yet.
fn length(bytes: &[u8]) -> Result<Option<usize>> {
    if bytes.len() < HEAD {
        return Ok(None);
    }
    let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
    ensure!(length <= LONGEST, "a frame of {length} bytes where {LONGEST} are allowed");
    Ok(Some(HEAD + length))
}

impl<'a> Frame<'a> {
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The payload of a HEADERS or DATA frame without its padding and its priority.
    pub(super) fn content(&self) -> Result<&'a [u8]> {
        let mut content = self.payload;
        if self.has(PADDED) {
            let (&padding, rest) = content.split_first().unwrap_or((&0, &[]));
            let end = rest.len().checked_sub(usize::from(padding));
            content = end.and_then(|end| rest.get(..end)).unwrap_or_default();
        }
        if self.kind == HEADERS && self.has(PRIORITY) {
            ensure!(content.len() >= 5, "a HEADERS frame is too short for its priority");
            content = &content[5..];
        }
        Ok(content)
    }

    /// The number that the first four bytes of the payload are: an error code, an increment.
    pub(super) fn number(&self) -> u32 {
        self.payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }

    /// The settings of a SETTINGS frame.
    pub(super) fn settings(&self) -> impl Iterator<Item = (u16, u32)> + use<'a> {
        self.payload.chunks_exact(6).map(|setting| {
            let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
            (u16::from_be_bytes([setting[0], setting[1]]), value)
        })
    }

    /// Writes it; payloads of our own are far below the limit.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let length = u32::try_from(self.payload.len()).unwrap_or(u32::MAX).to_be_bytes();
        out.extend_from_slice(&length[1..]);
        out.extend_from_slice(&[self.kind, self.flags]);
        out.extend_from_slice(&self.stream.to_be_bytes());
        out.extend_from_slice(self.payload);
    }
}

/// Writes the settings, in their order.
pub(super) fn write_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    let mut payload = Vec::with_capacity(settings.len() * 6);
    for (name, value) in settings {
        payload.extend_from_slice(&name.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    Frame { kind: SETTINGS, flags: 0, stream: 0, payload: &payload }.write(out);
}

/// Opens the connection's window by so much.
pub(super) fn write_window(out: &mut Vec<u8>, increment: u32) {
    Frame { kind: WINDOW_UPDATE, flags: 0, stream: 0, payload: &increment.to_be_bytes() }.write(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Vec<u8> {
        let mut out = Vec::new();
        write_settings(&mut out, &[(ENABLE_PUSH, 0), (INITIAL_WINDOW_SIZE, WINDOW)]);
        write_window(&mut out, 7);
        Frame { kind: PING, flags: ACK, stream: 0, payload: b"12345678" }.write(&mut out);
        Frame { kind: DATA, flags: END_STREAM, stream: 5, payload: b"" }.write(&mut out);
        Frame { kind: DATA, flags: 0, stream: 7, payload: &[9; 300] }.write(&mut out);
        out
    }

    fn read(pieces: &[&[u8]]) -> Vec<(u8, u8, u32, Vec<u8>)> {
        let (mut reader, mut frames) = (Reader::default(), Vec::new());
        for piece in pieces {
            let take = |frame: Frame<'_>| {
                frames.push((frame.kind, frame.flags, frame.stream, frame.payload.to_vec()));
                Ok(())
            };
            reader.read(piece, take).unwrap();
        }
        assert!(reader.begun.is_empty());
        frames
    }

    #[test]
    fn frames_cut_at_any_byte_are_the_same_frames() {
        let bytes = written();
        let whole = read(&[&bytes]);
        assert_eq!(whole.iter().map(|frame| frame.0).collect::<Vec<_>>(), [4, 8, 6, 0, 0]);
        assert_eq!(whole[0].3, [0, 2, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff]);
        assert_eq!(whole[4], (DATA, 0, 7, vec![9; 300]));
        for at in 0..=bytes.len() {
            assert_eq!(read(&[&bytes[..at], &bytes[at..]]), whole);
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&single), whole);
    }

    #[test]
    fn a_frame_that_is_too_long_is_an_error() {
        let mut reader = Reader::default();
        assert!(reader.read(&[0, 0x40, 1, 0, 0, 0, 0, 0, 1], |_| Ok(())).is_err());
    }

    #[test]
    fn padding_and_priority_are_no_content() {
        let content = |kind, flags, payload| Frame { kind, flags, stream: 1, payload }.content().unwrap();
        assert_eq!(content(DATA, PADDED, b"\x02abc\0\0"), b"abc");
        assert_eq!(content(HEADERS, PADDED | PRIORITY, b"\x01PPPPPh\0"), b"h");
        assert_eq!(content(DATA, PADDED, b"\x09abc"), b"");
        assert!(Frame { kind: HEADERS, flags: PRIORITY, stream: 1, payload: b"PP" }.content().is_err());
    }

    #[test]
    fn settings_are_read_as_they_were_written() {
        let mut out = Vec::new();
        write_settings(&mut out, &[(MAX_CONCURRENT_STREAMS, 1000)]);
        let (frame, rest) = cut(&out).unwrap().unwrap();
        assert_eq!(frame.settings().collect::<Vec<_>>(), [(MAX_CONCURRENT_STREAMS, 1000)]);
        assert!(rest.is_empty());
    }
}
