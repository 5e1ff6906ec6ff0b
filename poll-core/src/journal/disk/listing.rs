//! A page of all channels, in the log and in the database, without bringing any of them into memory.
//!
//! Names are merged from both. What a channel's messages weigh is exact up to a number of messages, and beyond that reckoned
//! from the newest, so that a page takes a bounded amount of work.

use std::ops::Bound;

use redb::ReadTransaction;

use super::format::{self, NAMES, Result};
use super::log::recent::{Part, Recent};
use super::shared::Shared;
use super::view::{LogTail, View, on_snapshot, with};
use crate::journal::{ListedChannel, Listing, Selection};
use crate::types::{ChannelName, JournalError, More, NamePart, Timestamp, merge};

/// The messages that one page weighs, over all its channels, and the most of one channel.
const WEIGHED: usize = 200_000;
const WEIGHED_OF_ONE: usize = 1_000;

/// A page. A channel whose own record is damaged counts as damage, and is left out.
pub(super) fn list(
    shared: &Shared,
    selection: &Selection,
    now: Timestamp,
) -> std::result::Result<Listing, JournalError> {
    let look = |recent: &Recent| recent.names(selection);
    let names = on_snapshot(shared, None, look, |txn, in_log| Ok([in_log, names(txn, selection)?]))?;
    let (names, next) = merge(names, selection.limit);
    let mut channels = Vec::with_capacity(names.len());
    let most = (WEIGHED / selection.limit.max(1)).min(WEIGHED_OF_ONE);
    let cutoff = shared.retention().cutoff(now);
    for (name, ()) in names {
        let look = |part: &Part| LogTail::of(part, cutoff);
        let read = |view: &View<'_, LogTail>| {
            let Some(loaded) = view.summary(cutoff)? else { return Ok(None) };
            let bytes = view.weigh(loaded.oldest.0, most)?;
            Ok(Some((loaded, bytes)))
        };
        match with(shared, &name, look, read) {
            Ok(Some((loaded, bytes))) => channels.push(ListedChannel { name, loaded, bytes }),
            Ok(None) | Err(JournalError::Damaged(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Listing { channels, next })
}

/// The names in the database.
fn names(txn: &ReadTransaction, selection: &Selection) -> Result<NamePart<()>> {
    let start = match selection.start() {
        Bound::Unbounded => Bound::Unbounded,
        Bound::Included(name) => Bound::Included(name.as_str()),
        Bound::Excluded(name) => Bound::Excluded(name.as_str()),
    };
    let table = txn.open_table(NAMES)?;
    let mut names = Vec::new();
    for entry in table.range::<&str>((start, Bound::Unbounded))? {
        let (key, _) = entry?;
        if !selection.covers(key.value()) {
            break;
        }
        if names.len() == selection.limit {
            return Ok(NamePart { names, more: More::Yes });
        }
        let name = ChannelName::parse(key.value()).map_err(|_| format::damaged("a channel's name"))?;
        names.push((name, ()));
    }
    Ok(NamePart { names, more: More::No })
}
