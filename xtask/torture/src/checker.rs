//! The checker: what publishers were told and readers were given, held against a channel's log.
//!
//! Pure: tokens in, counts out. A *token* names one message.

use std::collections::HashMap;
use std::time::Instant;

use crate::position::Seen;
use crate::tally::Counts;
use xtask::history::History;

/// A channel's log: every token and its numbers, from 1.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Log {
    numbers: HashMap<String, Vec<u64>>,
    /// The newest message's token.
    pub last: Option<String>,
    /// The newest message's number.
    pub length: u64,
}

/// What a publisher was told of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is kept, in this place if the dialect tells places.
    Kept(Option<Place>),
    /// It is not kept.
    Refused,
    /// Nothing, since the server died or left, or that the outcome is unknown.
    Nothing,
}

/// A message's place: its number in one incarnation of its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The incarnation.
    pub epoch: u64,
    /// The number in it.
    pub seq: u64,
}

/// One message that a publisher sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// What it is called.
    pub token: String,
    /// What its publisher was told.
    pub told: Told,
    /// When it was told.
    pub at: Instant,
}

impl Log {
    /// Adds the next message.
    pub fn push(&mut self, token: String) {
        self.length += 1;
        self.numbers.entry(token.clone()).or_default().push(self.length);
        self.last = Some(token);
    }

    /// Passes over the next number, whose message is damaged.
    pub fn skip(&mut self) {
        self.length += 1;
    }

    /// All tokens, in their order.
    pub fn tokens(&self) -> Vec<&str> {
        let mut all: Vec<(u64, &str)> = self
            .numbers
            .iter()
            .flat_map(|(token, numbers)| numbers.iter().map(move |number| (*number, token.as_str())))
            .collect();
        all.sort_unstable();
        all.into_iter().map(|(_, token)| token).collect()
    }

    /// Every number under which a token is there.
    pub fn numbers_of(&self, token: &str) -> &[u64] {
        self.numbers.get(token).map_or(&[], Vec::as_slice)
    }

    /// Judges what one publisher sent, in that order. *unsaid*: never answered and in the log all the same, which is
    /// allowed, also behind later ones; *moved*: in the log under another number than the acknowledged one; *lied*: in the
    /// log though it was refused.
    pub fn judge_publisher<'a>(&self, sent: impl IntoIterator<Item = &'a Sent>) -> Counts<9> {
        let (mut all, mut acknowledged, mut refused, mut unsaid, mut lost) = (0, 0, 0, 0, 0);
        let (mut doubled, mut disorder, mut moved, mut lied, mut newest) = (0, 0, 0, 0, 0);
        for sent in sent {
            all += 1;
            let numbers = self.numbers_of(&sent.token);
            doubled += (numbers.len() as u64).saturating_sub(1);
            match (sent.told, numbers.first()) {
                (Told::Kept(_), None) => lost += 1,
                (Told::Kept(Some(place)), Some(&number)) if place.seq != number => moved += 1,
                (Told::Nothing, Some(_)) => unsaid += 1,
                (Told::Refused, Some(_)) => lied += 1,
                _ => {}
            }
            let is_kept = matches!(sent.told, Told::Kept(_));
            acknowledged += u64::from(is_kept);
            refused += u64::from(sent.told == Told::Refused);
            if let Some(&number) = numbers.first().filter(|_| is_kept) {
                disorder += u64::from(number < newest);
                newest = newest.max(number);
            }
        }
        [
            ("sent", all),
            ("acknowledged", acknowledged),
            ("refused", refused),
            ("unsaid", unsaid),
            ("lost", lost),
            ("doubled", doubled),
            ("disorder", disorder),
            ("moved", moved),
            ("lied", lied),
        ]
    }

    /// Judges what one reader was given, in that order. *phantom*: not in the log, or under another number.
    pub fn judge_reader<'a>(&self, seen: impl IntoIterator<Item = &'a Seen>) -> Counts<5> {
        let (mut history, mut given, mut phantom) = (History::default(), 0, 0);
        for seen in seen {
            given += 1;
            let numbers = self.numbers_of(&seen.token);
            match (seen.seq, numbers.first()) {
                (Some(seq), _) if numbers.contains(&seq) => history.saw(seq),
                (None, Some(&number)) => history.saw(number),
                _ => phantom += 1,
            }
        }
        let verdict = history.verdict(self.length);
        [
            ("given", given),
            ("lost", verdict.lost),
            ("doubled", verdict.doubled),
            ("disorder", verdict.disordered),
            ("phantom", phantom),
        ]
    }
}

/// A log of these tokens.
impl FromIterator<String> for Log {
    fn from_iter<T: IntoIterator<Item = String>>(tokens: T) -> Self {
        let mut log = Self::default();
        tokens.into_iter().for_each(|token| log.push(token));
        log
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(tokens: &[&str]) -> Log {
        tokens.iter().map(ToString::to_string).collect()
    }

    fn sent(token: &str, told: Told) -> Sent {
        Sent { token: token.to_owned(), told, at: Instant::now() }
    }

    fn seen(seq: Option<u64>, token: &str) -> Seen {
        Seen { seq, epoch: None, token: token.to_owned() }
    }

    /// The columns that are not zero.
    fn found<const N: usize>(counts: Counts<N>) -> Vec<(&'static str, u64)> {
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    #[test]
    fn what_was_acknowledged_must_be_there_once_in_order_and_in_its_place() {
        let kept = Told::Kept(None);
        let judge = |tokens: &[&str], sent: &[Sent]| found(log(tokens).judge_publisher(sent));
        let (one, two) = ([("sent", 1), ("acknowledged", 1)], [("sent", 2), ("acknowledged", 2)]);
        let first = Told::Kept(Some(Place { epoch: 1, seq: 1 }));
        assert_eq!(judge(&["a", "b"], &[sent("a", first), sent("b", kept)]), two);
        assert_eq!(judge(&["b"], &[sent("a", kept), sent("b", kept)]), [two[0], two[1], ("lost", 1)]);
        assert_eq!(judge(&["a", "a"], &[sent("a", kept)]), [one[0], one[1], ("doubled", 1)]);
        assert_eq!(
            judge(&["b", "a"], &[sent("a", kept), sent("b", kept)]),
            [two[0], two[1], ("disorder", 1)]
        );
        assert_eq!(judge(&["x", "a"], &[sent("a", first)]), [one[0], one[1], ("moved", 1)]);
    }

    #[test]
    fn what_was_never_answered_may_be_there_or_not_but_not_twice() {
        let unsaid = [sent("a", Told::Nothing)];
        let judge = |tokens: &[&str]| found(log(tokens).judge_publisher(&unsaid));
        assert_eq!(judge(&[]), [("sent", 1)]);
        assert_eq!(judge(&["a"]), [("sent", 1), ("unsaid", 1)]);
        assert_eq!(judge(&["a", "a"]), [("sent", 1), ("unsaid", 1), ("doubled", 1)]);
        // It may have been on its way until then.
        let late = log(&["b", "a"]).judge_publisher(&[sent("a", Told::Nothing), sent("b", Told::Kept(None))]);
        assert_eq!(found(late), [("sent", 2), ("acknowledged", 1), ("unsaid", 1)]);
    }

    #[test]
    fn what_was_refused_must_not_be_there() {
        let refused = [sent("a", Told::Refused)];
        let judge = |tokens: &[&str]| found(log(tokens).judge_publisher(&refused));
        assert_eq!(judge(&[]), [("sent", 1), ("refused", 1)]);
        assert_eq!(judge(&["a"]), [("sent", 1), ("refused", 1), ("lied", 1)]);
    }

    #[test]
    fn a_reader_must_be_given_the_log_and_nothing_else() {
        let judge = |given: &[Seen]| found(log(&["a", "b", "c"]).judge_reader(given));
        assert_eq!(judge(&[seen(Some(1), "a"), seen(None, "b"), seen(None, "c")]), [("given", 3)]);
        let lossy = judge(&[seen(None, "a"), seen(None, "a"), seen(None, "c")]);
        assert_eq!(lossy, [("given", 3), ("lost", 1), ("doubled", 1)]);
        assert_eq!(judge(&[seen(None, "x")]), [("given", 1), ("lost", 3), ("phantom", 1)]);
        assert_eq!(judge(&[seen(Some(2), "a")]), [("given", 1), ("lost", 3), ("phantom", 1)]);
    }
}
