//! Where a reader stands, as the protocol writes it: the number of the last message that it has, in decimal, twice sixteen
//! digits wide, so that offsets sort by bytes. Together with a channel's epoch it is the cursor of the other endpoints.

use poll_core::Seq;

/// The number of digits on either side.
const DIGITS: usize = 16;
/// The second number, which is always zero: no offset lies inside a message.
const INSIDE: &[u8; DIGITS + 1] = b"_0000000000000000";

/// A place in a stream that a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offset {
    /// `-1`, or none: before everything retained.
    Start,
    /// `now`: the tail.
    Now,
    /// After this message; zero is the beginning of the stream.
    After(Seq),
}

impl Offset {
    /// Reads an offset; `None` if it is none of ours.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "-1" => Some(Self::Start),
            "now" => Some(Self::Now),
            text => after(text).map(Self::After),
        }
    }
}

/// The offset after a message.
fn after(text: &str) -> Option<Seq> {
    let (digits, inside) = text.as_bytes().split_first_chunk::<DIGITS>()?;
    if inside != INSIDE || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().map(Seq::new)
}

/// The offset after a message, as text.
pub(crate) fn text(seq: Seq) -> String {
    format!("{:016}_{:016}", seq.get(), 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_was_given_out_is_an_offset() {
        assert_eq!(Offset::parse("-1"), Some(Offset::Start));
        assert_eq!(Offset::parse("now"), Some(Offset::Now));
        assert_eq!(Offset::parse("0000000000000000_0000000000000000"), Some(Offset::After(Seq::ZERO)));
        assert_eq!(Offset::parse("0000000000000012_0000000000000000"), Some(Offset::After(Seq::new(12))));
        for other in [
            "",
            "0",
            "-2",
            "NOW",
            "1_0",
            "0000000000000000",
            "0000000000000000_",
            "0000000000000000_0000000000000001",
            "9999999999999999_9999999999999999",
            "000000000000000a_0000000000000000",
            "+000000000000001_0000000000000000",
            "0000000000000000_0000000000000000 ",
            "0000000000000000,0000000000000000",
            "0000000000000000_0000000000000000_",
            "é00000000000000_0000000000000000",
        ] {
            assert_eq!(Offset::parse(other), None, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn offsets_are_read_back_and_sort_as_numbers_do(one in 0..10u64.pow(16), other in 0..10u64.pow(16)) {
            let (left, right) = (text(Seq::new(one)), text(Seq::new(other)));
            prop_assert_eq!(Offset::parse(&left), Some(Offset::After(Seq::new(one))));
            prop_assert_eq!(left.cmp(&right), one.cmp(&other));
        }
    }
}
