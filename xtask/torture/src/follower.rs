//! A reader that follows its rules through whatever happens to the server, and writes down all that it was given.
//!
//! When the server goes away the reader drops its connection, keeps its bookkeeping, and asks again. Anything else that
//! goes wrong is a fault.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::checker::Log;
use crate::client::is_gone;
use crate::fixture::name;
use crate::pattern::Pattern;
use crate::position::{Position, Seen};
use crate::reader::Reader;
use crate::route::Route;
use crate::tally::Tally;

/// Longer than any question takes.
const SILENCE: Duration = Duration::from_secs(45);
/// How long the last message of a channel is waited for once it is known.
const QUIET: Duration = Duration::from_secs(15);
/// Pause before the next question to a server that has gone, in tenths of a millisecond.
const PAUSE: std::ops::Range<u64> = 100..600;
/// Faults after which a reader gives up.
const FAULTS: usize = 20;

/// The columns of a table of readers; whether a cut question is a fault is for the course to say.
pub const COLUMNS: &[&str] =
    &["readers", "questions", "empty", "given", "cut", "lost", "doubled", "disorder", "phantom"];

/// The last token of each server's channels, once nothing more is published.
pub(super) type Ends = Option<Arc<HashMap<(SocketAddr, String), String>>>;

/// Whether the course itself ends connections.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cuts {
    /// It does.
    Expected,
    /// It does not: a request that was cut is a fault.
    Faults,
}

/// What a reader was given.
pub struct Account {
    /// How it asked.
    pub pattern: Pattern,
    /// Where it asked.
    pub address: SocketAddr,
    /// What it read.
    pub channel: String,
    /// What it was given, in that order.
    pub seen: Vec<Seen>,
    /// For each message when its question began, and when it was seen.
    pub times: Vec<(Instant, Instant)>,
    /// How many had been seen at each reset, or when messages were said to be missing.
    pub resets: Vec<usize>,
    /// How many messages each answer said were missing, in the dialects that say so by a header: by how many messages had
    /// been seen before it.
    pub missed: HashMap<usize, u64>,
    /// How many questions it asked.
    pub questions: u64,
    /// Questions that gave no message, and those from which the server went away.
    empty: u64,
    gone: u64,
    /// What the first of these said.
    first_cut: Option<String>,
    /// What went wrong.
    pub faults: Vec<String>,
}

impl Account {
    /// Judges what was given against the channel's log.
    pub fn judge(mut self, log: &Log, cuts: Cuts, tally: &mut Tally) {
        tally.add(&name(&self.pattern), log.judge_reader(&self.seen));
        if cuts == Cuts::Faults {
            self.faults.extend(self.first_cut.take());
        }
        self.count(tally);
    }

    /// Counts what has nothing to do with the log.
    pub fn count(self, tally: &mut Tally) {
        let row = name(&self.pattern);
        tally.add(
            &row,
            [("readers", 1), ("questions", self.questions), ("empty", self.empty), ("cut", self.gone)],
        );
        tally.faults.extend(self.faults);
    }
}

/// Reads until the channel's last message was seen, or nothing comes any more. A reader that knows several addresses
/// goes to the next after a failure and after half of its questions.
pub(super) async fn follow(
    mut reader: Reader,
    route: Route,
    mut position: Position,
    ends: watch::Receiver<Ends>,
) -> Account {
    let (pattern, address, mut turn) = (reader.pattern(), route.first(), 0);
    position.way = route.at(turn).way;
    let key = (address, position.channel.clone());
    let (mut news, mut faults, mut empty) = (Instant::now(), Vec::new(), 0);
    let (mut gone, mut first_cut) = (0, None);
    loop {
        let before = position.seen.len();
        let fault = match timeout(SILENCE, reader.ask(&mut position)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) if is_gone(&error) => {
                gone += 1;
                first_cut.get_or_insert_with(|| told(&format!("{error:#}"), pattern, &position));
                Some(None)
            }
            Ok(Err(error)) => Some(Some(format!("{error:#}"))),
            Err(_) => Some(Some(format!("no end of a question within {SILENCE:?}"))),
        };
        if route.has_turns() && (fault.is_some() || position.aim.coin()) {
            turn += 1;
            reader.turn_to(route.at(turn).address);
            position.way = route.at(turn).way;
        }
        if let Some(fault) = fault {
            faults.extend(fault.map(|fault| told(&fault, pattern, &position)));
            reader.hang_up();
            sleep(position.aim.wait(PAUSE)).await;
        }
        if position.seen.len() == before {
            empty += 1;
        } else {
            news = Instant::now();
        }
        let end = ends.borrow().as_ref().map(|ends| ends.get(&key).cloned());
        let is_over = end.is_some_and(|last| {
            let has_all = last.is_none_or(|last| position.seen.iter().rev().any(|seen| seen.token == last));
            has_all || news.elapsed() > QUIET
        });
        if is_over || faults.len() >= FAULTS {
            let Position { channel, seen, times, resets, missed, questions, .. } = position;
            return Account {
                pattern,
                address,
                channel,
                seen,
                times,
                resets,
                missed,
                questions,
                empty,
                gone,
                first_cut,
                faults,
            };
        }
    }
}

/// A fault, and which question met it.
fn told(fault: &str, pattern: Pattern, position: &Position) -> String {
    format!("{pattern:?} of {}, question {}: {fault}", position.channel, position.questions)
}
