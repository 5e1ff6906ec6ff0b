//! What one reader was given, told in a line, for the diagnosis of a round that failed.

use std::fmt::Write as _;

use crate::checker::Log;
use crate::position::Seen;

/// Spans and messages that are told.
const SPANS: usize = 24;
const MESSAGES: usize = 12;

/// The spans of numbers that it was given of each incarnation, with its resets between them.
pub(super) fn of(seen: &[Seen], resets: &[usize], log: &Log) -> String {
    if seen.iter().all(|seen| seen.epoch.is_none()) {
        return of_unnumbered(seen, log);
    }
    let (mut text, mut at) = (String::new(), 0);
    let follows = |one: &Seen, next: &Seen| one.epoch == next.epoch && one.seq.map(|seq| seq + 1) == next.seq;
    for span in seen.chunk_by(follows).take(SPANS) {
        if resets.contains(&at) {
            text.push_str(" reset");
        }
        let [first, last] =
            [span.first(), span.last()].map(|seen| seen.and_then(|seen| seen.seq).unwrap_or(0));
        let epoch = span[0].epoch.unwrap_or_default();
        // A string takes whatever is written.
        let _ = write!(text, " {epoch:016x}:{first}–{last}");
        at += span.len();
    }
    text
}

/// The first messages that it was not given, those before and after them, and those that it was given twice.
fn of_unnumbered(seen: &[Seen], log: &Log) -> String {
    let mut text = String::new();
    let times = |token: &str| seen.iter().filter(|seen| seen.token == token).count();
    let wrong = log.tokens().into_iter().enumerate().filter(|(_, token)| times(token) != 1);
    for (place, token) in wrong.take(MESSAGES) {
        let _ = write!(text, " {}:{token} {} times,", place + 1, times(token));
    }
    let numbers: Vec<String> = seen
        .iter()
        .map(|seen| log.numbers_of(&seen.token).first().map_or_else(|| "?".to_owned(), ToString::to_string))
        .collect();
    let is_odd = |pair: &&[String]| {
        pair[0].parse::<u64>().map(|one| (one + 1).to_string()).ok() != Some(pair[1].clone())
    };
    for pair in numbers.windows(2).filter(is_odd).take(SPANS) {
        let _ = write!(text, " {}→{}", pair[0], pair[1]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_with_resets_between_them() {
        let seen = |epoch, seq| Seen { seq: Some(seq), epoch: Some(epoch), token: String::new() };
        let told = of(&[seen(1, 1), seen(1, 2), seen(2, 1)], &[2], &Log::default());
        assert_eq!(told, " 0000000000000001:1–2 reset 0000000000000002:1–1");
        let log = ["a", "b", "c"].map(str::to_owned).into_iter().collect();
        let seen = |token: &str| Seen { seq: None, epoch: None, token: token.to_owned() };
        assert_eq!(of(&["a", "c"].map(seen), &[], &log), " 2:b 0 times, 1→3");
    }
}
