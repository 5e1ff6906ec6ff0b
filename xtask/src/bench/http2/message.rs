//! What is published, and how it is found in an answer: 100 bytes that carry their number.
//!
//! So that a message that is lost, doubled or cut shows as such. Knows nothing of where an answer came from.

use anyhow::{Context as _, Result, ensure};
use memchr::memmem;

/// Length of a payload: what all rows of the comparison use.
pub(super) const PAYLOAD: usize = 100;
/// In front of the number. Occurs nowhere else in an answer.
const MARK: &[u8] = b"number=";
/// Digits of the number, leading zeros included.
const DIGITS: usize = 8;
const FILLING: u8 = b'.';
const CURSOR: &[u8] = b"\"cursor\":\"";

/// The payload of a message.
pub(super) fn payload(number: u32) -> String {
    let mut payload = format!("number={number:0DIGITS$};");
    payload.extend(std::iter::repeat_n(char::from(FILLING), PAYLOAD - payload.len()));
    payload
}

/// The numbers of the messages in an answer, in its order; an error if one is not what was published.
pub(super) fn numbers(answer: &[u8]) -> impl Iterator<Item = Result<u32>> + '_ {
    memmem::find_iter(answer, MARK).map(|at| {
        let found = answer.get(at..at + PAYLOAD).context("a message is cut off")?;
        let (number, rest) = found[MARK.len()..].split_at(DIGITS);
        let number = std::str::from_utf8(number).ok().and_then(|digits| digits.parse().ok());
        ensure!(
            rest[0] == b';' && rest[1..].iter().all(|byte| *byte == FILLING),
            "a message is not what was published: {}",
            found.escape_ascii()
        );
        number.context("a message's number is none")
    })
}

/// Where the next question goes on.
pub(super) fn cursor(answer: &[u8]) -> Result<&[u8]> {
    let start = memmem::rfind(answer, CURSOR).context("an answer has no cursor")? + CURSOR.len();
    let end = memchr::memchr(b'"', &answer[start..]).context("a cursor has no end")?;
    Ok(&answer[start..start + end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str) -> Result<Vec<u32>> {
        numbers(answer.as_bytes()).collect()
    }

    #[test]
    fn numbers_are_found_in_their_order() {
        assert_eq!(payload(7).len(), PAYLOAD);
        let answer = format!(r#"{{"messages":["{}","{}"],"cursor":"ab"}}"#, payload(7), payload(12_345_678));
        assert_eq!(read(&answer).unwrap(), [7, 12_345_678]);
        assert_eq!(cursor(answer.as_bytes()).unwrap(), b"ab");
        assert!(read(r#"{"messages":[]}"#).unwrap().is_empty());
    }

    #[test]
    fn a_message_that_was_changed_is_an_error() {
        assert!(read(&payload(7)[..99]).is_err());
        assert!(read(&payload(7).replace("..", ".,")).is_err());
        assert!(cursor(b"{}").is_err());
        assert!(cursor(b"\"cursor\":\"ab").is_err());
    }
}
