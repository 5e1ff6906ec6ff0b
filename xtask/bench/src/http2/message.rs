//! What is published, and how it is found in an answer: 100 bytes that carry their number.
//!
//! So that a message that is lost, doubled or cut shows as such. Answers are searched piece by piece as they come, and
//! nothing of them is kept but a beginning that the end of a piece has cut. Knows nothing of where an answer came from.

use std::ops::ControlFlow;

use anyhow::{Context as _, Result, ensure};
use memchr::memmem::Finder;

/// Length of a payload: what all rows of the comparison use.
pub(super) const PAYLOAD: usize = 100;
/// In front of the number, and of the place to go on from. Neither occurs anywhere else in an answer.
const MARK: &[u8] = b"number=";
const CURSOR: &[u8] = b"\"cursor\":\"";
/// Digits of the number, leading zeros included.
const DIGITS: usize = 8;
const FILLING: u8 = b'.';

/// The payload of a message.
pub(super) fn payload(number: u32) -> String {
    let mut payload = format!("number={number:0DIGITS$};");
    payload.extend(std::iter::repeat_n(char::from(FILLING), PAYLOAD - payload.len()));
    payload
}

/// What an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A message, by its number.
    Message(u32),
    /// Where the next question goes on.
    Cursor(&'a [u8]),
}

/// Searches answers; made once, because to prepare a search costs more than to search one answer.
pub(super) struct Search {
    mark: Finder<'static>,
    cursor: Finder<'static>,
}

impl Search {
    pub(super) fn new() -> Self {
        Self { mark: Finder::new(MARK), cursor: Finder::new(CURSOR) }
    }

    /// Hands over what is in a piece of an answer, in its order, and gives what the end of the piece has cut: it belongs
    /// in front of the next one. An error if a message is not what was published.
    pub(super) fn search<'a>(
        &self,
        piece: &'a [u8],
        mut take: impl FnMut(Found<'a>) -> Result<()>,
    ) -> Result<&'a [u8]> {
        let mut rest = piece;
        loop {
            let (mark, cursor) = (self.mark.find(rest), self.cursor.find(rest));
            let found = match (mark, cursor) {
                (Some(mark), cursor) if cursor.is_none_or(|cursor| mark < cursor) => message(&rest[mark..])?,
                (_, Some(cursor)) => place(&rest[cursor..]),
                _ => return Ok(begun(rest)),
            };
            match found {
                ControlFlow::Continue((found, after)) => {
                    take(found)?;
                    rest = after;
                }
                ControlFlow::Break(cut) => return Ok(cut),
            }
        }
    }
}

/// Something found with what follows it, or the part of it that there is.
type Step<'a> = ControlFlow<&'a [u8], (Found<'a>, &'a [u8])>;

fn message(bytes: &[u8]) -> Result<Step<'_>> {
    let Some((found, after)) = bytes.split_at_checked(PAYLOAD) else { return Ok(ControlFlow::Break(bytes)) };
    let (number, filling) = found[MARK.len()..].split_at(DIGITS);
    let number = std::str::from_utf8(number).ok().and_then(|digits| digits.parse().ok());
    ensure!(
        filling[0] == b';' && filling[1..].iter().all(|byte| *byte == FILLING),
        "a message is not what was published: {}",
        found.escape_ascii()
    );
    Ok(ControlFlow::Continue((Found::Message(number.context("a message's number is none")?), after)))
}

fn place(bytes: &[u8]) -> Step<'_> {
    let cursor = &bytes[CURSOR.len()..];
    match memchr::memchr(b'"', cursor) {
        Some(end) => ControlFlow::Continue((Found::Cursor(&cursor[..end]), &cursor[end..])),
        None => ControlFlow::Break(bytes),
    }
}

/// The longest end that may be the beginning of something.
fn begun(bytes: &[u8]) -> &[u8] {
    let longest = MARK.len().max(CURSOR.len()) - 1;
    let candidates = bytes.len().saturating_sub(longest)..bytes.len();
    let may_be = |at: &usize| MARK.starts_with(&bytes[*at..]) || CURSOR.starts_with(&bytes[*at..]);
    candidates.into_iter().find(may_be).map_or(&[], |at| &bytes[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found when an answer comes in these pieces.
    fn read(pieces: &[&[u8]]) -> Result<Vec<String>> {
        let (search, mut found, mut cut) = (Search::new(), Vec::new(), Vec::new());
        for piece in pieces {
            let bytes = [&cut, *piece].concat();
            let take = |what: Found<'_>| {
                found.push(match what {
                    Found::Message(number) => number.to_string(),
                    Found::Cursor(cursor) => String::from_utf8_lossy(cursor).into_owned(),
                });
                Ok(())
            };
            cut = search.search(&bytes, take)?.to_vec();
        }
        assert!(cut.is_empty(), "{}", cut.escape_ascii());
        Ok(found)
    }

    #[test]
    fn an_answer_cut_at_any_byte_is_the_same_answer() {
        assert_eq!(payload(7).len(), PAYLOAD);
        let answer =
            format!(r#"{{"messages":["{}","{}"],"cursor":"ab","at":1}}"#, payload(7), payload(12_345_678));
        let bytes = answer.as_bytes();
        for at in 0..=bytes.len() {
            assert_eq!(read(&[&bytes[..at], &bytes[at..]]).unwrap(), ["7", "12345678", "ab"], "at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&single).unwrap(), ["7", "12345678", "ab"]);
        assert!(read(&[br#"{"messages":[]}"#]).unwrap().is_empty());
    }

    #[test]
    fn nothing_is_kept_of_a_piece_that_cuts_nothing() {
        let piece = format!("{}\"", payload(1));
        let kept = Search::new().search(piece.as_bytes(), |_| Ok(())).unwrap();
        assert_eq!(kept, b"\"");
        assert_eq!(Search::new().search(b"{\"messages\":[]", |_| Ok(())).unwrap(), b"");
    }

    #[test]
    fn a_message_that_was_changed_is_an_error() {
        assert!(read(&[payload(7).replace("..", ".,").as_bytes()]).is_err());
        assert!(read(&[payload(7).replace("00000007", "0000000x").as_bytes()]).is_err());
    }
}
