//! `X-Request-Id`: a request's name in logs, here and wherever else it passes.
//!
//! One that comes with the request is given back; any other request gets one of 16 hexadecimal digits. What is kept of the
//! former while its answer is awaited is charged to the memory account; the latter is a number until it is written.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use poll_core::{Charge, Kind, Memory, OverBudget};

pub(crate) const NAME: HeaderName = HeaderName::from_static("x-request-id");
/// The longest one that is taken over, in bytes.
const MOST: usize = 128;

/// A request's id.
#[derive(Debug, Clone)]
pub(crate) enum RequestId {
    Made(u64),
    Given(Arc<Given>),
}

#[derive(Debug)]
pub(crate) struct Given {
    text: Box<str>,
    _charge: Charge,
}

impl RequestId {
    /// The `number`-th id of a sequence, which shows neither that nor the next one. Different numbers give different ids.
    pub(crate) fn made(number: u64) -> Self {
        // The finalizer of SplitMix64, a bijection.
        let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self::Made(mixed ^ (mixed >> 31))
    }

    /// The id that a request came with. One that is not 1 to 128 visible characters is none.
    ///
    /// # Errors
    /// When there is no memory to keep it.
    pub(crate) fn given(value: &[u8], memory: &Memory) -> Result<Option<Self>, OverBudget> {
        let visible = value.iter().all(u8::is_ascii_graphic);
        let text = std::str::from_utf8(value).ok().filter(|_| visible && (1..=MOST).contains(&value.len()));
        let Some(text) = text else { return Ok(None) };
        let charge = memory.charge(Kind::Names, (text.len() + size_of::<Given>()) as u64)?;
        Ok(Some(Self::Given(Arc::new(Given { text: text.into(), _charge: charge }))))
    }

    /// Writes the field's value.
    #[inline]
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Made(number) => out.extend_from_slice(&digits(*number)),
            Self::Given(given) => out.extend_from_slice(given.text.as_bytes()),
        }
    }

    /// The field's value. In HTTP/2 it is never indexed (RFC 7541, section 6.2.3): it does not come again, and would push the
    /// values that do out of the peer's table.
    pub(crate) fn to_value(&self) -> Option<HeaderValue> {
        let text = match self {
            Self::Made(number) => Bytes::copy_from_slice(&digits(*number)),
            Self::Given(given) => Bytes::copy_from_slice(given.text.as_bytes()),
        };
        let mut value = HeaderValue::from_maybe_shared(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// 16 hexadecimal digits.
#[inline]
fn digits(number: u64) -> [u8; 16] {
    // Each nibble to a byte of its own, then all sixteen to digits at once.
    let spread = |half: u64| {
        let half = (half | half << 16) & 0x0000_ffff_0000_ffff;
        let half = (half | half << 8) & 0x00ff_00ff_00ff_00ff;
        let nibbles = (half | half << 4) & 0x0f0f_0f0f_0f0f_0f0f;
        // 1 where the nibble is a letter.
        let letters = (nibbles + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
        (nibbles + 0x3030_3030_3030_3030 + letters * 39).to_be_bytes()
    };
    let mut all = [0; 16];
    all[..8].copy_from_slice(&spread(number >> 32));
    all[8..].copy_from_slice(&spread(number & 0xffff_ffff));
    all
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Made(number) => write!(f, "{number:016x}"),
            Self::Given(given) => f.write_str(&given.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_is_written_as_it_is_displayed(number: u64) {
            let mut out = Vec::new();
            RequestId::Made(number).write(&mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{number:016x}"));
        }
    }

    #[test]
    fn made_ids_differ() {
        let ids: HashSet<String> = (0..10_000).map(|number| RequestId::made(number).to_string()).collect();
        assert_eq!(ids.len(), 10_000);
    }

    #[test]
    fn only_visible_ids_of_a_fitting_length_are_taken_over_and_charged_while_they_are_kept() {
        let memory = Memory::new(1 << 20);
        let given = |value: &[u8]| RequestId::given(value, &memory).unwrap().map(|id| id.to_string());
        assert_eq!(given(b"a-1:{}/~").as_deref(), Some("a-1:{}/~"));
        assert_eq!(given(&[b'x'; MOST]).map(|id| id.len()), Some(MOST));
        for value in [&b""[..], &[b'x'; MOST + 1], b"a b", b"a\tb", b"\xc3\xa9", b"a\x7f"] {
            assert_eq!(given(value), None, "{value:?}");
        }
        let kept = RequestId::given(b"abc", &memory).unwrap();
        assert_eq!(memory.used(Kind::Names), 3 + size_of::<Given>() as u64);
        drop(kept);
        assert_eq!(memory.used(Kind::Names), 0);
        let full = Memory::new(8 * 40);
        assert!(RequestId::given(&[b'x'; 64], &full).is_err());
    }
}
