//! The verdict where something was taken from the disk below the server: messages may be lost, but not silently.
//!
//! An acknowledged message may be missing if its channel reports that many as missed, or began a new epoch. After a sync that
//! lied before a crash, what was written later cannot be known, and a bit flipped in the last commit looks like a torn write;
//! whatever was acknowledged earlier must be kept or its loss reported all the same. No message is duplicated, out of order,
//! or other than published. A reader is given everything that is left, or told what it was not given.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, bail, ensure};
use tokio::time::Instant;
use xtask_torture::checker::{Sent, Told};
use xtask_torture::follower::Account;
use xtask_torture::population::{Population, Whole, read_back_in_parts};
use xtask_torture::publisher::Published;

use super::operations;
use crate::disk::Harm;
use crate::network::ADDRESS;
use crate::trace;

/// A channel as it is at the end.
struct Remains<'a> {
    whole: &'a Whole,
    /// How many messages it reports as missed.
    missed: u64,
    published: HashSet<&'a str>,
}

/// Whether some channel is known to have begun a new epoch. Damage to the log makes all channels do so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Others {
    Anew,
    AsTheyWere,
}

/// Judges all publishers and readers; returns how many operations there were.
pub(super) async fn judge(mut population: Population, harm: Harm) -> Result<u64> {
    let published = population.stop().await;
    let mut wholes = HashMap::new();
    for Published { channel, .. } in &published {
        if !wholes.contains_key(channel) {
            match read_back_in_parts(ADDRESS, channel).await {
                Ok(whole) => drop(wholes.insert(channel.clone(), whole)),
                // Its loss is reported, by an error.
                Err(error) if is_damage(&format!("{error:#}")) => {}
                Err(error) => bail!("{channel} cannot be read back: {error:#}"),
            }
        }
    }
    let last = wholes
        .iter()
        .filter_map(|(channel, (whole, _))| Some(((ADDRESS, channel.clone()), whole.log.last.clone()?)));
    let accounts = population.end(last.collect()).await;
    let operations = operations::count(&published, &accounts);
    let mut channels = wholes.iter();
    let some_is_anew =
        channels.any(|(channel, (whole, _))| is_anew(&sent_to(&published, channel), whole.epoch));
    let others = if some_is_anew { Others::Anew } else { Others::AsTheyWere };
    for (channel, (whole, missed)) in &wholes {
        let of_it = || published.iter().filter(|one| one.channel == *channel);
        let tokens = of_it().flat_map(|one| &one.sent).map(|sent| sent.token.as_str()).collect();
        let remains = Remains { whole, missed: *missed, published: tokens };
        trace::log(|| format!("{channel}: {} messages, {missed} missed", whole.log.length));
        for one in of_it() {
            ensure!(one.faults.is_empty(), "{:?}", one.faults);
            ensure!(!one.is_damaged, "{channel} was refused as damaged, and can be read");
            remains.judge_publisher(&one.sent)?;
        }
        remains.judge_losses(&sent_to(&published, channel), harm, others)?;
        for account in accounts.iter().filter(|account| account.channel == *channel) {
            remains.judge_reader(account)?;
        }
    }
    Ok(operations)
}

fn sent_to<'a>(published: &'a [Published], channel: &str) -> Vec<&'a Sent> {
    published.iter().filter(|one| one.channel == channel).flat_map(|one| &one.sent).collect()
}

/// The epoch of its channel in which a message was acknowledged, if its dialect tells that.
fn epoch_of(sent: &Sent) -> Option<u64> {
    match sent.told {
        Told::Kept(Some(place)) => Some(place.epoch),
        _ => None,
    }
}

/// Whether messages were acknowledged in an earlier epoch than the channel's last.
fn is_anew(sent: &[&Sent], last: u64) -> bool {
    sent.iter().copied().filter_map(epoch_of).any(|epoch| epoch != last)
}

/// Whether a fault only reports damage.
fn is_damage(fault: &str) -> bool {
    fault.contains("status 500") || fault.contains("status 410")
}

impl Remains<'_> {
    fn judge_publisher(&self, sent: &[Sent]) -> Result<()> {
        let log = &self.whole.log;
        let mut newest = 0;
        for Sent { token, told, .. } in sent {
            let numbers = log.numbers_of(token);
            ensure!(numbers.len() < 2, "{token} is doubled");
            let Some(&number) = numbers.first() else { continue };
            ensure!(*told != Told::Refused, "{token} was refused, and is there");
            if let Told::Kept(place) = told {
                let moved = place.filter(|place| place.epoch == self.whole.epoch && place.seq != number);
                ensure!(moved.is_none(), "{token} is number {number}, and was acknowledged as {moved:?}");
                ensure!(number > newest, "{token} is out of order");
                newest = number;
            }
        }
        Ok(())
    }

    /// An acknowledged message that is missing must be reported, if the loss can be known.
    fn judge_losses(&self, sent: &[&Sent], harm: Harm, others: Others) -> Result<()> {
        let can_be_known = |at: std::time::Instant| match harm {
            Harm::None | Harm::Flipped => true,
            Harm::FlippedBeforeRead => false,
            Harm::Lost(since) => Instant::from_std(at) < since,
        };
        let is_lost = |sent: &Sent| {
            matches!(sent.told, Told::Kept(_)) && self.whole.log.numbers_of(&sent.token).is_empty()
        };
        let gone: Vec<&Sent> =
            sent.iter().copied().filter(|sent| is_lost(sent) && can_be_known(sent.at)).collect();
        // Before the first publisher that is told an epoch, the channel may have had another one.
        let first = sent.iter().filter(|sent| epoch_of(sent).is_some()).map(|sent| sent.at).min();
        let is_before = |gone: &&Sent| first.is_none_or(|first| gone.at < first);
        let is_anew =
            is_anew(sent, self.whole.epoch) || (others == Others::Anew && gone.iter().all(is_before));
        let tokens: Vec<&str> = gone.iter().map(|sent| sent.token.as_str()).collect();
        ensure!(
            is_anew || tokens.len() as u64 <= self.missed,
            "{tokens:?} are gone, and {} are said to be missing",
            self.missed
        );
        Ok(())
    }

    fn judge_reader(&self, account: &Account) -> Result<()> {
        let who = format!("a reader ({:?}) of {}", account.pattern, account.channel);
        let faults: Vec<&String> = account.faults.iter().filter(|fault| !is_damage(fault)).collect();
        ensure!(faults.is_empty(), "{who}: {faults:?}");
        let was_failed = !account.faults.is_empty();
        // The newest given since the last notice; the newest given that is now lost.
        let (mut newest, mut gone) = (0, None);
        // The newest given before the last notice; how many more may be missing among the messages of the same answer,
        // which golongpoll gives in whole milliseconds.
        let (mut before, mut missing) = (0, 0);
        for (index, seen) in account.seen.iter().enumerate() {
            let is_told = account.resets.contains(&index);
            if is_told {
                (before, newest) = (newest, 0);
            }
            if let Some(told) = account.missed.get(&index).filter(|_| account.pattern.is_golongpoll()) {
                missing = *told;
            }
            // A different number: it was lost after the reader had it, which a reset reported, and published again.
            let is_same = |number: &&u64| {
                seen.seq.is_none_or(|seq| seq == **number)
                    || account.resets.iter().all(|reset| *reset <= index)
            };
            let Some(&number) = self.whole.log.numbers_of(&seen.token).first().filter(is_same) else {
                ensure!(self.published.contains(seen.token.as_str()), "{who} was given {}", seen.token);
                gone = gone.max(Some(seen.seq.unwrap_or(u64::MAX)));
                if account.pattern.is_golongpoll() {
                    // Its client names an event or a time that the channel does not know any more, and may be given others
                    // again.
                    newest = 0;
                }
                continue;
            };
            ensure!(number > newest, "{who} was given {number} after {newest}");
            let gap = match (is_told, before) {
                (true, 0) => 0,
                (true, before) => number.saturating_sub(before + 1),
                (false, _) => number - newest - 1,
            };
            let is_whole = gap <= missing || is_told || was_failed || gone >= Some(number - 1);
            ensure!(is_whole, "{who} was given {number} after {newest}, and told of {missing} missing");
            (newest, missing) = (number, missing.saturating_sub(gap));
        }
        let length = self.whole.log.length;
        let is_whole = newest == length
            || was_failed
            || gone >= Some(length)
            || account.resets.contains(&account.seen.len());
        ensure!(is_whole, "{who} was given {newest} of {length} messages");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant as At};

    use xtask_torture::checker::{Log, Place};

    use super::*;

    fn sent(token: &str, told: Told, at: At) -> Sent {
        Sent { token: token.to_owned(), told, at }
    }

    /// Judges a channel that has only the message `kept` left, in its second epoch.
    fn judge(sent: &[Sent], others: Others) -> Result<()> {
        let mut log = Log::default();
        log.push("kept".to_owned());
        let whole = Whole { epoch: 2, log };
        let remains = Remains { whole: &whole, missed: 0, published: HashSet::new() };
        remains.judge_losses(&sent.iter().collect::<Vec<_>>(), Harm::Flipped, others)
    }

    #[test]
    fn what_is_gone_is_told_by_a_new_epoch() {
        let (early, late) = (At::now(), At::now() + Duration::from_secs(1));
        let place = |epoch| Told::Kept(Some(Place { epoch, seq: 1 }));
        let (kept, unplaced) = (sent("kept", place(2), late), sent("gone", Told::Kept(None), early));
        assert!(judge(&[sent("gone", place(1), early), kept.clone()], Others::AsTheyWere).is_ok());
        // Its publisher was told no epoch: only the other channels show that there was another one.
        assert!(judge(&[unplaced.clone(), kept.clone()], Others::Anew).is_ok());
        assert!(judge(&[unplaced, kept.clone()], Others::AsTheyWere).is_err());
        // It was acknowledged in the current epoch.
        assert!(judge(&[sent("gone", place(2), early), kept.clone()], Others::Anew).is_err());
        assert!(
            judge(&[kept, sent("gone", Told::Kept(None), late + Duration::from_secs(1))], Others::Anew)
                .is_err()
        );
    }
}
