//! A reader that follows its rules through whatever happens to the server, and writes down all that it was given.
//!
//! A server that goes away is borne: the reader drops its connection, keeps its bookkeeping, and asks again. Anything
//! else that goes wrong is a fault. What the account is worth is judged by its owner.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::gone::is_gone;
use super::place::{Place, Seen};
use super::reader::{Pattern, Reader};

/// Longer than any question here takes by far.
const SILENCE: Duration = Duration::from_secs(30);
/// How long the last message of a channel is waited for once it is known.
const QUIET: Duration = Duration::from_secs(15);
/// Pause before the next question to a server that has gone, in tenths of a millisecond.
const PAUSE: std::ops::Range<u64> = 100..600;
/// Faults after which a reader gives up.
const FAULTS: usize = 20;

/// The last token of each channel, once nothing more is published.
pub(super) type Ends = Option<Arc<HashMap<String, String>>>;

/// What a reader was given.
pub(super) struct Account {
    pub(super) pattern: Pattern,
    pub(super) channel: String,
    pub(super) seen: Vec<Seen>,
    /// Questions.
    pub(super) asked: u64,
    /// Questions that the server went away from.
    pub(super) gone: u64,
    /// What no reader should see.
    pub(super) faults: Vec<String>,
}

/// Reads until the channel's last message was seen, or nothing comes any more.
pub(super) async fn follow(
    pattern: Pattern,
    address: SocketAddr,
    mut place: Place,
    ends: watch::Receiver<Ends>,
) -> Account {
    let mut reader = Reader::new(pattern, address);
    let channel = place.channel.clone();
    let mut account = Account { pattern, channel, seen: Vec::new(), asked: 0, gone: 0, faults: Vec::new() };
    let mut news = Instant::now();
    loop {
        place.question += 1;
        account.asked += 1;
        let fault = match timeout(SILENCE, reader.ask(&mut place)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) if is_gone(&error) => {
                account.gone += 1;
                reader.hang_up();
                sleep(place.aim.wait(PAUSE)).await;
                None
            }
            Ok(Err(error)) => Some(format!("{error:#}")),
            Err(_) => Some(format!("no end of a question within {SILENCE:?}")),
        };
        if let Some(fault) = fault {
            account.faults.push(format!("{pattern} of {}: {fault}", place.channel));
            reader.hang_up();
            sleep(place.aim.wait(PAUSE)).await;
        }
        if !place.seen.is_empty() {
            news = Instant::now();
        }
        account.seen.append(&mut place.seen);
        let end = ends.borrow().as_ref().map(|ends| ends.get(&place.channel).cloned());
        let Some(last) = end else {
            if account.faults.len() >= FAULTS {
                return account;
            }
            // Whoever has given its last before the end was known has news no older than that.
            continue;
        };
        let has_all = last.is_none_or(|last| account.seen.iter().rev().any(|seen| seen.token == last));
        if has_all || news.elapsed() > QUIET || account.faults.len() >= FAULTS {
            return account;
        }
    }
}
