//! Heads of HTTP/2 (RFC 7541): a prepared request, and the status of an answer.
//!
//! A request is one HEADERS frame of which only the stream's number changes; nothing of it enters a compression table.
//! Of an answer's head only the status is read, which comes first (RFC 9113, section 8.3), so the tables of its fields
//! are never kept.

use anyhow::{Context as _, Result, bail};

use super::frame::{self, Frame};

/// `:method: GET` and `:scheme: http` of the static table (RFC 7541, appendix A).
const GET: u8 = 0x82;
const SCHEME_HTTP: u8 = 0x86;
/// Names of the static table, for fields that are not to be indexed (section 6.2.2).
const AUTHORITY: u8 = 0x01;
const PATH: u8 = 0x04;

/// Where a frame's head holds the stream.
const STREAM: std::ops::Range<usize> = 5..9;

/// A GET without a body, ready to be sent on any stream.
#[derive(Clone, Debug)]
pub(super) struct Request(Vec<u8>);

impl Request {
    pub(super) fn get(authority: &str, path: &str) -> Self {
        let mut block = vec![GET, SCHEME_HTTP];
        literal(&mut block, AUTHORITY, authority);
        literal(&mut block, PATH, path);
        let mut out = Vec::new();
        let flags = frame::END_STREAM | frame::END_HEADERS;
        Frame { kind: frame::HEADERS, flags, stream: 0, payload: &block }.write(&mut out);
        Self(out)
    }

    /// Writes it for one stream.
    pub(super) fn write(&self, out: &mut Vec<u8>, stream: u32) {
        let start = out.len();
        out.extend_from_slice(&self.0);
        out[start + STREAM.start..start + STREAM.end].copy_from_slice(&stream.to_be_bytes());
    }
}

/// A field with a name of the static table and a value as it is, without Huffman coding.
fn literal(block: &mut Vec<u8>, name: u8, value: &str) {
    block.push(name);
    integer(block, value.len());
    block.extend_from_slice(value.as_bytes());
}

/// An integer with a prefix of seven bits (section 5.1), of which the eighth stays 0.
fn integer(block: &mut Vec<u8>, value: usize) {
    const MOST: usize = 0x7f;
    if value < MOST {
        block.push(low_byte(value));
        return;
    }
    block.push(low_byte(MOST));
    let mut rest = value - MOST;
    while rest >= 0x80 {
        block.push(low_byte(rest % 0x80) | 0x80);
        rest /= 0x80;
    }
    block.push(low_byte(rest));
}

fn low_byte(value: usize) -> u8 {
    value.to_le_bytes()[0]
}

/// The status that a head begins with.
pub(super) fn status(mut block: &[u8]) -> Result<u16> {
    // The peer may change the size of its table first (section 6.3): a prefix of five bits, then bytes to go on with.
    while let [first, rest @ ..] = block
        && first & 0xe0 == 0x20
    {
        block = rest;
        if first & 0x1f == 0x1f {
            let end = block.iter().position(|byte| byte & 0x80 == 0).context("a table's size has no end")?;
            block = &block[end + 1..];
        }
    }
    match *block {
        // Whole fields of the static table.
        [0x88, ..] => Ok(200),
        [0x89, ..] => Ok(204),
        [0x8a, ..] => Ok(206),
        [0x8b, ..] => Ok(304),
        [0x8c, ..] => Ok(400),
        [0x8d, ..] => Ok(404),
        [0x8e, ..] => Ok(500),
        // Its name of the static table, and a value: to be indexed, not to be, and never to be.
        [0x48..=0x4e | 0x08..=0x0e | 0x18..=0x1e, length, ref value @ ..] => {
            let text = value.get(..usize::from(length & 0x7f)).context("a status is cut off")?;
            if length & 0x80 == 0 { digits(text.iter().copied()) } else { digits(unpack(text)?.into_iter()) }
        }
        [first, ..] => bail!("a head that begins with {first:#04x}: its status is none of the static table"),
        [] => bail!("a head without a status"),
    }
}

fn digits(text: impl Iterator<Item = u8>) -> Result<u16> {
    String::from_utf8(text.collect())?.parse().context("a status is a number")
}

/// Three digits in Huffman code (appendix B): `0`, `1`, `2` in five bits, the others in six.
fn unpack(packed: &[u8]) -> Result<Vec<u8>> {
    let bits = packed.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    let mut left = 8 * packed.len().min(8);
    let mut text = Vec::new();
    while text.len() < 3 {
        let next = |count: usize| left.checked_sub(count).map(|shift| (bits >> shift) & ((1 << count) - 1));
        let (digit, taken) = match (next(5), next(6)) {
            (Some(digit @ 0..=2), _) => (digit, 5),
            (_, Some(code @ 0b01_1001..=0b01_1111)) => (code - 0b01_1001 + 3, 6),
            _ => bail!("a status is a number"),
        };
        left -= taken;
        text.push(b'0' + low_byte(usize::try_from(digit)?));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_differs_in_its_stream_only() {
        let request = Request::get("a:1", "/p");
        let mut out = Vec::new();
        request.write(&mut out, 1);
        request.write(&mut out, 0x0102_0304);
        let block = b"\x82\x86\x01\x03a:1\x04\x02/p";
        let expected =
            [&b"\0\0\x0b\x01\x05\0\0\0\x01"[..], block, &b"\0\0\x0b\x01\x05\x01\x02\x03\x04"[..], block];
        assert_eq!(out, expected.concat());
    }

    #[test]
    fn long_lengths_go_on_in_more_bytes() {
        let coded = |value| {
            let mut block = Vec::new();
            integer(&mut block, value);
            block
        };
        assert_eq!(coded(126), [126]);
        assert_eq!(coded(127), [127, 0]);
        assert_eq!(coded(1337), [127, 0xba, 0x09]);
    }

    #[test]
    fn a_status_is_read_however_it_is_written() {
        assert_eq!(status(b"\x88\x40").unwrap(), 200);
        // Behind two changes of the table's size, the second of several bytes.
        assert_eq!(status(b"\x20\x3f\xe1\x1f\x88").unwrap(), 200);
        assert_eq!(status(b"\x48\x03\x34\x32\x39").unwrap(), 429);
        assert_eq!(status(b"\x08\x03503").unwrap(), 503);
        // RFC 7541, appendix C.6.1: 302 in Huffman code.
        assert_eq!(status(b"\x48\x82\x64\x02\x58").unwrap(), 302);
        // C.6.2: 307.
        assert_eq!(status(b"\x48\x83\x64\x0e\xff").unwrap(), 307);
        assert!(status(b"\xbe").is_err());
        assert!(status(b"").is_err());
        assert!(status(b"\x48\x05\x34").is_err());
    }
}
