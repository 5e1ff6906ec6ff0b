//! The verdict on a channel whose log may have lost something below the servers.
//!
//! A channel's life is a row of *incarnations*, one for each epoch. Without a loss there is one, and everything is judged
//! by the torture's checker against it. Where Redis may lose something, the last incarnation is judged so, and the ones
//! before it by what readers and publishers know of them: each reader was given each from its first message on and
//! without a hole, was told of every change, and all agree on what stood where.
//!
//! Pure: tokens and places in, counts out.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::checker::{Log, Place, Sent, Told};
use crate::population::Whole;
use crate::position::Seen;
use crate::tally::Counts;
use xtask::history::History;

/// What Redis itself may lose by a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Nothing: a channel has one incarnation, and a reset is a fault.
    Nothing,
    /// Messages that were not acknowledged.
    Unacknowledged,
    /// What was acknowledged so shortly before the fault, and during it.
    Newest(Duration),
    Everything,
}

/// A fault's effect on what must be kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) loss: Loss,
    /// When the fault began.
    pub(super) struck: Instant,
}

/// What all publishers and readers of a channel say stood where.
#[derive(Debug, Default)]
pub(super) struct Common<'a> {
    places: HashMap<(u64, u64), &'a str>,
    published: HashSet<&'a str>,
    /// Places that two say different things of.
    pub(super) forks: Vec<String>,
}

impl<'a> Common<'a> {
    pub(super) fn published(&mut self, sent: &'a [Sent]) {
        for sent in sent {
            self.published.insert(&sent.token);
            if let Told::Kept(Some(Place { epoch, seq })) = sent.told {
                self.note(epoch, seq, &sent.token);
            }
        }
    }

    pub(super) fn seen(&mut self, seen: &'a [Seen]) {
        for seen in seen {
            if let (Some(epoch), Some(seq)) = (seen.epoch, seen.seq) {
                self.note(epoch, seq, &seen.token);
            }
        }
    }

    fn note(&mut self, epoch: u64, seq: u64, token: &'a str) {
        let known = *self.places.entry((epoch, seq)).or_insert(token);
        if known != token {
            self.forks.push(format!("message {seq} of epoch {epoch:016x} is {known} and {token}"));
        }
    }
}

/// Judges one publisher. *taken*: acknowledged, and lost by Redis as it may.
pub(super) fn judge_publisher(whole: &Whole, sent: &[Sent], terms: Terms) -> (Counts<9>, Counts<1>) {
    let is_taken = |sent: &&Sent| {
        let Told::Kept(place) = sent.told else { return false };
        let is_there = !whole.log.numbers_of(&sent.token).is_empty();
        // What was acknowledged in the last incarnation is in it.
        let is_old = place.is_none_or(|place| place.epoch != whole.epoch);
        // Its number in another incarnation says nothing of its number in this one.
        is_old
            && match (is_there, terms.loss) {
                (true, _) | (false, Loss::Nothing | Loss::Unacknowledged) => false,
                (false, Loss::Newest(before)) => sent.at + before >= terms.struck,
                (false, Loss::Everything) => true,
            }
    };
    let taken = sent.iter().filter(is_taken).count() as u64;
    let judged: Vec<Sent> =
        sent.iter().filter(|sent| !is_taken(sent)).map(|sent| settled(sent, whole)).collect();
    (whole.log.judge_publisher(&judged), [("taken", taken)])
}

/// A place in another incarnation is none in this one.
fn settled(sent: &Sent, whole: &Whole) -> Sent {
    let told = match sent.told {
        Told::Kept(Some(place)) if place.epoch != whole.epoch => Told::Kept(None),
        told => told,
    };
    Sent { told, ..sent.clone() }
}

/// Judges one reader. *taken*: given, and lost by Redis since; *untold*: changes of incarnation without a reset; *false*:
/// resets without a change; *back*: returns to an incarnation that was over.
pub(super) fn judge_reader(
    whole: &Whole,
    seen: &[Seen],
    resets: &[usize],
    common: &Common<'_>,
    terms: Terms,
) -> (Counts<5>, Counts<4>) {
    if seen.iter().all(|seen| seen.epoch.is_none()) {
        return judge_unnumbered(&whole.log, seen, resets, common, terms);
    }
    let epochs: Vec<u64> = seen.iter().filter_map(|seen| seen.epoch).collect();
    let (mut last, mut taken, mut untold, mut back) = (Vec::new(), 0, 0, 0);
    let (mut lost, mut doubled, mut disordered) = (0, 0, 0);
    let mut over: HashSet<u64> = HashSet::new();
    let mut first = 0;
    for part in seen.chunk_by(|one, next| one.epoch == next.epoch) {
        let epoch = part[0].epoch.unwrap_or_default();
        untold += u64::from(first > 0 && !resets.contains(&first));
        back += u64::from(!over.insert(epoch));
        if epoch == whole.epoch {
            last.extend(part);
        } else {
            let mut history = History::default();
            part.iter().filter_map(|seen| seen.seq).for_each(|seq| history.saw(seq));
            let verdict = history.verdict(history.newest());
            (lost, doubled) = (lost + verdict.lost, doubled + verdict.doubled);
            disordered += verdict.disordered;
            taken += part.len() as u64;
        }
        first += part.len();
    }
    let is_false = |at: &&usize| {
        let changes = **at > 0 && **at < epochs.len() && epochs[**at - 1] != epochs[**at];
        let is_inside = **at > 0 && **at < epochs.len();
        terms.loss == Loss::Nothing || (is_inside && !changes)
    };
    let false_resets = resets.iter().filter(is_false).count() as u64;
    let mut counts = whole.log.judge_reader(last);
    for (name, count) in &mut counts {
        *count += match *name {
            "given" => taken,
            "lost" => lost,
            "doubled" => doubled,
            "disorder" => disordered,
            _ => 0,
        };
    }
    (counts, [("taken", taken), ("untold", untold), ("false", false_resets), ("back", back)])
}

/// A dialect without numbers goes on by time, so a loss shows as nothing but messages that are in no log any more.
fn judge_unnumbered(
    log: &Log,
    seen: &[Seen],
    resets: &[usize],
    common: &Common<'_>,
    terms: Terms,
) -> (Counts<5>, Counts<4>) {
    let is_taken = |seen: &&Seen| {
        terms.loss != Loss::Nothing
            && log.numbers_of(&seen.token).is_empty()
            && common.published.contains(seen.token.as_str())
    };
    let taken: Vec<&Seen> = seen.iter().filter(is_taken).collect();
    let once: HashSet<&str> = taken.iter().map(|seen| seen.token.as_str()).collect();
    let mut counts = log.judge_reader(seen.iter().filter(|seen| !is_taken(seen)));
    for (name, count) in &mut counts {
        *count += match *name {
            "given" => taken.len() as u64,
            "doubled" => (taken.len() - once.len()) as u64,
            _ => 0,
        };
    }
    let false_resets = if terms.loss == Loss::Nothing { resets.len() as u64 } else { 0 };
    (counts, [("taken", taken.len() as u64), ("untold", 0), ("false", false_resets), ("back", 0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: u64 = 1;
    const NEW: u64 = 2;

    fn whole(tokens: &[&str]) -> Whole {
        Whole { epoch: NEW, log: tokens.iter().map(ToString::to_string).collect() }
    }

    fn seen(epoch: u64, seq: u64, token: &str) -> Seen {
        Seen { seq: Some(seq), epoch: Some(epoch), token: token.to_owned() }
    }

    fn terms(loss: Loss) -> Terms {
        Terms { loss, struck: Instant::now() }
    }

    /// The columns that are not zero.
    fn found<const N: usize, const M: usize>(counts: (Counts<N>, Counts<M>)) -> Vec<(&'static str, u64)> {
        let all = counts.0.into_iter().chain(counts.1);
        all.filter(|(name, count)| *count > 0 && *name != "given" && *name != "sent").collect()
    }

    fn judge(seen: &[Seen], resets: &[usize], loss: Loss) -> Vec<(&'static str, u64)> {
        let sent = [Sent { token: "x".to_owned(), told: Told::Nothing, at: Instant::now() }];
        let mut common = Common::default();
        common.published(&sent);
        found(judge_reader(&whole(&["a", "b"]), seen, resets, &common, terms(loss)))
    }

    #[test]
    fn a_reader_of_one_incarnation_is_judged_as_ever() {
        let all = [seen(NEW, 1, "a"), seen(NEW, 2, "b")];
        assert!(judge(&all, &[], Loss::Nothing).is_empty());
        assert_eq!(judge(&all[..1], &[], Loss::Nothing), [("lost", 1)]);
        assert_eq!(judge(&all, &[1], Loss::Everything), [("false", 1)]);
        assert_eq!(judge(&all, &[0], Loss::Nothing), [("false", 1)]);
    }

    #[test]
    fn a_change_of_incarnation_must_be_told_and_begins_anew() {
        let both = [seen(OLD, 1, "a"), seen(OLD, 2, "x"), seen(NEW, 1, "a"), seen(NEW, 2, "b")];
        assert_eq!(judge(&both, &[2], Loss::Everything), [("taken", 2)]);
        assert_eq!(judge(&both, &[], Loss::Everything), [("taken", 2), ("untold", 1)]);
        assert_eq!(judge(&both[..2], &[], Loss::Everything), [("lost", 2), ("taken", 2)]);
        let hole = [seen(OLD, 2, "x"), seen(NEW, 1, "a"), seen(NEW, 2, "b")];
        assert_eq!(judge(&hole, &[1], Loss::Everything), [("lost", 1), ("taken", 1)]);
        let back = [seen(NEW, 1, "a"), seen(OLD, 1, "a"), seen(NEW, 1, "a"), seen(NEW, 2, "b")];
        let counts = judge(&back, &[1, 2], Loss::Everything);
        assert_eq!(counts, [("doubled", 1), ("taken", 1), ("back", 1)]);
    }

    #[test]
    fn a_reader_without_numbers_may_have_been_given_what_is_lost_since() {
        let unnumbered = |token: &str| Seen { seq: None, epoch: None, token: token.to_owned() };
        let given = ["a", "x", "b"].map(unnumbered);
        assert_eq!(judge(&given, &[], Loss::Everything), [("taken", 1)]);
        assert_eq!(judge(&given, &[], Loss::Nothing), [("phantom", 1)]);
        let twice = ["a", "x", "x", "b"].map(unnumbered);
        assert_eq!(judge(&twice, &[], Loss::Everything), [("doubled", 1), ("taken", 2)]);
        assert_eq!(judge(&["a", "y", "b"].map(unnumbered), &[], Loss::Everything), [("phantom", 1)]);
    }

    #[test]
    fn only_what_redis_may_lose_is_taken() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let kept = |epoch, seq| Told::Kept(Some(Place { epoch, seq }));
        let judge = |told, at, loss| {
            let sent = [Sent { token: "x".to_owned(), told, at }];
            found(judge_publisher(&whole(&["a"]), &sent, Terms { loss, struck: now }))
        };
        let acknowledged = ("acknowledged", 1);
        assert_eq!(judge(kept(OLD, 1), now, Loss::Everything), [("taken", 1)]);
        assert_eq!(judge(kept(NEW, 1), now, Loss::Everything), [acknowledged, ("lost", 1)]);
        assert_eq!(judge(kept(OLD, 1), now, Loss::Unacknowledged), [acknowledged, ("lost", 1)]);
        assert_eq!(judge(kept(OLD, 1), now, Loss::Newest(second)), [("taken", 1)]);
        assert_eq!(judge(kept(OLD, 1), now - 2 * second, Loss::Newest(second)), [acknowledged, ("lost", 1)]);
        // Kept, under another number of another incarnation.
        let sent = [Sent { token: "a".to_owned(), told: kept(OLD, 9), at: now }];
        assert_eq!(found(judge_publisher(&whole(&["a"]), &sent, terms(Loss::Everything))), [acknowledged]);
    }

    #[test]
    fn two_logs_that_disagree_are_a_fork() {
        let (one, two) = ([seen(OLD, 1, "a")], [seen(OLD, 1, "b")]);
        let mut common = Common::default();
        common.seen(&one);
        common.seen(&one);
        assert!(common.forks.is_empty());
        common.seen(&two);
        assert_eq!(common.forks.len(), 1);
    }
}
