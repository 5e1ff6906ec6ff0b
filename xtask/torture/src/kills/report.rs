//! What the kills came to: a row a way of publishing, a row a pattern, and the verdict.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::ledger::{Log, Publishing, Reading};
use super::reign::Blows;
use super::writer::{Door, Written};
use crate::follower::Account;
use crate::reader::Pattern;

/// Faults that are told in full.
const TOLD: usize = 10;

pub(super) struct Report {
    doors: BTreeMap<Door, Published>,
    patterns: BTreeMap<Pattern, Read>,
    blows: Blows,
    /// Messages in the log.
    kept: u64,
    took: Duration,
    faults: Vec<String>,
}

#[derive(Default)]
struct Published {
    publishers: u64,
    sum: Publishing,
    gone: u64,
    repeated: u64,
}

#[derive(Default)]
struct Read {
    readers: u64,
    sum: Reading,
    asked: u64,
    gone: u64,
}

impl Report {
    pub(super) fn new(
        logs: &BTreeMap<String, Log>,
        written: &[Written],
        accounts: &[Account],
        blows: Blows,
        took: Duration,
    ) -> Self {
        let kept = logs.values().map(Log::length).sum();
        let mut report =
            Self { doors: BTreeMap::new(), patterns: BTreeMap::new(), blows, kept, took, faults: Vec::new() };
        let nothing = Log::default();
        for written in written {
            let log = logs.get(&written.channel).unwrap_or(&nothing);
            report.add_writer(written, log.judge_publisher(&written.sent));
        }
        for account in accounts {
            let log = logs.get(&account.channel).unwrap_or(&nothing);
            report.add_reader(account, log.judge_reader(&account.seen));
        }
        report
    }

    fn add_writer(&mut self, written: &Written, found: Publishing) {
        let row = self.doors.entry(written.door).or_default();
        row.publishers += 1;
        row.gone += written.gone;
        row.repeated += written.repeated;
        row.sum.sent += found.sent;
        row.sum.acknowledged += found.acknowledged;
        row.sum.kept_unsaid += found.kept_unsaid;
        row.sum.lost += found.lost;
        row.sum.doubled += found.doubled;
        row.sum.disordered += found.disordered;
        row.sum.moved += found.moved;
        self.faults.extend(written.faults.iter().cloned());
    }

    fn add_reader(&mut self, account: &Account, found: Reading) {
        let row = self.patterns.entry(account.pattern).or_default();
        row.readers += 1;
        row.asked += account.asked;
        row.gone += account.gone;
        row.sum.given += found.given;
        row.sum.phantom += found.phantom;
        row.sum.verdict.lost += found.verdict.lost;
        row.sum.verdict.doubled += found.verdict.doubled;
        row.sum.verdict.disordered += found.verdict.disordered;
        self.faults.extend(account.faults.iter().cloned());
    }

    /// Fails if anything was lost, doubled, out of order or otherwise wrong.
    pub(super) fn verdict(&self) -> Result<()> {
        let doors = self.doors.iter().filter(|(_, row)| {
            let sum = &row.sum;
            sum.lost + sum.doubled + sum.disordered + sum.moved > 0
        });
        let patterns =
            self.patterns.iter().filter(|(_, row)| !row.sum.verdict.is_clean() || row.sum.phantom > 0);
        let broken: Vec<String> =
            doors.map(|(door, _)| door.to_string()).chain(patterns.map(|(one, _)| one.to_string())).collect();
        ensure!(broken.is_empty(), "messages were lost, doubled or out of order: {}", broken.join(", "));
        ensure!(self.faults.is_empty(), "{} faults, the first: {}", self.faults.len(), self.faults[0]);
        ensure!(self.kept > 0, "nothing was published");
        Ok(())
    }

    fn write_blows(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blows = &self.blows;
        let kills = blows.kills();
        writeln!(
            f,
            "{kills} kills in {:.0} s: {} while serving, {} while starting ({} before it listened), {} in a drain ({} more \
             had ended by themselves); {} clean stops",
            self.took.as_secs_f64(),
            blows.serving,
            blows.starting,
            blows.unborn,
            blows.draining - blows.outrun,
            blows.outrun,
            blows.clean
        )?;
        let slowest = blows.starts.iter().max().copied().unwrap_or_default();
        let sum: Duration = blows.starts.iter().sum();
        let mean = sum.checked_div(u32::try_from(blows.starts.len()).unwrap_or(1)).unwrap_or_default();
        writeln!(
            f,
            "{} starts to listening: mean {} ms, slowest {} ms; {} messages in the log at the end",
            blows.starts.len(),
            mean.as_millis(),
            slowest.as_millis(),
            self.kept
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_blows(f)?;
        writeln!(
            f,
            "{:<20}{:>4}{:>8}{:>8}{:>8}{:>8}{:>8}{:>7}{:>8}{:>9}{:>7}",
            "published by",
            "",
            "sent",
            "acked",
            "unsaid",
            "cut",
            "again",
            "lost",
            "doubled",
            "disorder",
            "moved"
        )?;
        for (door, row) in &self.doors {
            let Published { publishers, sum, gone, repeated } = row;
            writeln!(
                f,
                "{door:<20}{publishers:>4}{:>8}{:>8}{:>8}{gone:>8}{repeated:>8}{:>7}{:>8}{:>9}{:>7}",
                sum.sent, sum.acknowledged, sum.kept_unsaid, sum.lost, sum.doubled, sum.disordered, sum.moved
            )?;
        }
        writeln!(
            f,
            "{:<20}{:>4}{:>8}{:>8}{:>8}{:>7}{:>8}{:>9}{:>8}",
            "read by", "", "given", "asked", "cut", "lost", "doubled", "disorder", "phantom"
        )?;
        for (pattern, row) in &self.patterns {
            let Read { readers, sum, asked, gone } = row;
            writeln!(
                f,
                "{pattern:<20}{readers:>4}{:>8}{asked:>8}{gone:>8}{:>7}{:>8}{:>9}{:>8}",
                sum.given, sum.verdict.lost, sum.verdict.doubled, sum.verdict.disordered, sum.phantom
            )?;
        }
        for fault in self.faults.iter().take(TOLD) {
            writeln!(f, "fault: {fault}")?;
        }
        write!(
            f,
            "unsaid: kept, though the server died before it could say so; again: told by the key of an earlier attempt; cut: \
             attempts and questions that the server went away from; phantom: given and not in the log"
        )
    }
}
