//! A reader's position: sequence number, epoch, cursor, and the text of a cursor.
//!
//! A cursor is opaque to clients. It is an epoch and a sequence number in fixed-width hexadecimal, so that the cursors
//! of one channel sort by bytes as its messages do. It is not signed: what a reader may see is decided elsewhere.

use std::fmt;
use std::str::FromStr;

/// A message's number in its channel: 1, 2, 3, … without holes. Zero is before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(u64);

/// The incarnation of a channel that a number belongs to. A channel that is forgotten and published to again gets a new
/// one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

/// A position in one incarnation of a channel: after message `seq` of `epoch`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The channel's incarnation; [`Epoch::ZERO`] before its first message.
    pub epoch: Epoch,
    /// The newest message the holder has.
    pub seq: Seq,
}

/// The text is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorError;

impl Seq {
    /// Before the first message.
    pub const ZERO: Self = Self(0);

    /// From a number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// As a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next number.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number before this one; zero has none and stays.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl Epoch {
    /// No incarnation yet.
    pub const ZERO: Self = Self(0);

    /// From a number; zero means that the channel has no messages yet.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// As a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// The two digits of each byte.
static PAIRS: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

impl Cursor {
    /// The start of a channel, whatever its incarnation.
    pub const ZERO: Self = Self { epoch: Epoch::ZERO, seq: Seq::ZERO };
    /// A position that is in no channel: a reader that gives it gets a reset.
    pub const LOST: Self = Self { epoch: Epoch(u64::MAX), seq: Seq(u64::MAX) };
    /// The length of a cursor's text in bytes.
    pub const TEXT_BYTES: usize = 32;

    /// The token, in ASCII.
    #[must_use]
    pub fn to_text(self) -> [u8; Self::TEXT_BYTES] {
        let bytes = (u128::from(self.epoch.0) << 64 | u128::from(self.seq.0)).to_be_bytes();
        let mut text = [0; Self::TEXT_BYTES];
        for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
            pair.copy_from_slice(&PAIRS[usize::from(byte)]);
        }
        text
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Hexadecimal digits only.
        f.write_str(std::str::from_utf8(&self.to_text()).unwrap_or_default())
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    /// Parses exactly 32 lower-case hexadecimal digits: each position has one text. Epoch zero has no messages, so only
    /// number zero goes with it.
    fn from_str(text: &str) -> Result<Self, CursorError> {
        let ([epoch, seq], []) = text.as_bytes().as_chunks() else { return Err(CursorError) };
        let cursor = Self { epoch: Epoch(hex(epoch)?), seq: Seq(hex(seq)?) };
        if cursor.epoch == Epoch::ZERO && cursor.seq != Seq::ZERO {
            return Err(CursorError);
        }
        Ok(cursor)
    }
}

/// Looks at all digits before it judges them, so that the compiler can vectorise it.
fn hex(digits: &[u8; 16]) -> Result<u64, CursorError> {
    const NONE: u8 = 16;
    let values = digits.map(|digit| match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => NONE,
    });
    let number = values.iter().fold(0, |number, &value| number << 4 | u64::from(value));
    if values.contains(&NONE) { Err(CursorError) } else { Ok(number) }
}

impl fmt::Display for CursorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a cursor: give one back exactly as an answer gave it")
    }
}

impl std::error::Error for CursorError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_goes_round_and_sorts_as_the_messages_do(epoch in 1u64.., a: u64, b: u64) {
            let cursor = |seq| Cursor { epoch: Epoch::new(epoch), seq: Seq::new(seq) };
            let (left, right) = (cursor(a).to_string(), cursor(b).to_string());
            prop_assert_eq!(left.len(), Cursor::TEXT_BYTES);
            prop_assert_eq!(left.parse(), Ok(cursor(a)));
            prop_assert_eq!(left.cmp(&right), a.cmp(&b));
        }

        #[test]
        fn what_parses_is_written_the_same(text in "[0-9a-fA-F+-]{30,34}|\\PC*") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }

    #[test]
    fn the_zero_epoch_has_no_messages() {
        assert_eq!("0".repeat(32).parse(), Ok(Cursor::ZERO));
        assert_eq!(format!("{:016x}{:016x}", 0, 1).parse::<Cursor>(), Err(CursorError));
    }
}
