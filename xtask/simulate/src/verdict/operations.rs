//! What was done in a simulation.

use xtask_torture::checker::Told;
use xtask_torture::follower::Account;
use xtask_torture::publisher::Published;

use crate::trace;

/// How many messages were sent and questions asked; records what came of them.
pub(super) fn count(published: &[Published], accounts: &[Account]) -> u64 {
    for sent in published.iter().flat_map(|one| &one.sent) {
        trace::record(
            "told",
            match sent.told {
                Told::Kept(place) => 2 + place.map_or(0, |place| place.seq),
                Told::Refused => 1,
                Told::Nothing => 0,
            },
        );
    }
    for seen in accounts.iter().flat_map(|account| &account.seen) {
        trace::record("seen", seen.seq.unwrap_or(seen.token.len() as u64));
    }
    let sent: usize = published.iter().map(|one| one.sent.len()).sum();
    sent as u64 + accounts.iter().map(|account| account.questions).sum::<u64>()
}
