//! The verdict on a seed, by the torture's checker.
//!
//! Where nothing was taken from the disk below the server, it is the torture's own: everything that was acknowledged is
//! there, once, in its order, and every reader was given it. In quiet times every reader must also be given a message as
//! soon as its publisher hears of it. What holds where something was taken is in `harmed.rs`.

mod harmed;
mod operations;

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::Instant;
use xtask_torture::checker::Told;
use xtask_torture::pattern::Pattern;
use xtask_torture::population::{Cuts, Population, Settled};

use crate::disk::Harm;
use crate::trace;

/// How much later than its publisher a reader may hear of a message when nothing is in the way.
const SOON: Duration = Duration::from_millis(50);
/// How soon a reader asks again for a channel that is not there. One of Durable Streams cannot wait for it to begin.
const AGAIN: Duration = Duration::from_millis(60);

/// The time during which there were no faults.
pub(crate) struct Quiet {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
}

/// Judges all publishers and readers; returns how many operations there were.
pub(crate) async fn judge(population: Population, harm: Harm, quiet: Quiet) -> Result<u64> {
    if harm != Harm::None {
        return harmed::judge(population, harm).await;
    }
    let settled = population.settle().await?;
    let operations = operations::count(&settled.published, &settled.accounts);
    for account in &settled.accounts {
        ensure!(account.resets.is_empty(), "a reader ({:?}) was told a reset", account.pattern);
    }
    ensure_soon(&settled, &quiet)?;
    let (publishers, readers) = settled.judge(Cuts::Expected);
    trace::log(|| format!("\n{publishers}\n{readers}"));
    publishers.verdict("acknowledged")?;
    readers.verdict("given")?;
    Ok(operations)
}

/// Fails if a reader was given a message late.
fn ensure_soon(settled: &Settled, quiet: &Quiet) -> Result<()> {
    let (mut heard, mut begun): (HashMap<&str, Instant>, HashMap<&str, Instant>) = Default::default();
    for one in &settled.published {
        for sent in one.sent.iter().filter(|sent| matches!(sent.told, Told::Kept(_))) {
            let at = Instant::from_std(sent.at);
            begun.entry(&one.channel).and_modify(|begun| *begun = at.min(*begun)).or_insert(at);
            if (quiet.from..quiet.until).contains(&at) {
                heard.insert(&sent.token, at);
            }
        }
    }
    // A short poll does not wait.
    for account in settled.accounts.iter().filter(|account| account.pattern != Pattern::Short) {
        let begun =
            begun.get(account.channel.as_str()).filter(|_| account.pattern == Pattern::DurableStreams);
        for (seen, (_, at)) in account.seen.iter().zip(&account.times) {
            let Some(heard) = heard.get(seen.token.as_str()) else { continue };
            if begun.is_some_and(|begun| *heard < *begun + AGAIN) {
                continue;
            }
            ensure!(
                *at <= *heard + SOON,
                "a reader ({:?}) was given {} {:?} after its publisher heard of it",
                account.pattern,
                seen.token,
                *at - *heard
            );
        }
    }
    Ok(())
}
