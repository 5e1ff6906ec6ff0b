//! What goes: messages over their channel's number, over their age, or over the bytes of all; keys out of
//! their window; channels that hold nothing, where another needs the room.
//!
//! Rows are deleted in slices that ride on other commits, so nobody waits for a great cleaning. The store above
//! applies the bounds of number and age by itself, to the message: what is deleted here was evicted there.
//! Only the bound on all bytes is decided here, and the store is told.

use std::ops::RangeBounds;

use redb::{Database, ReadableDatabase, ReadableTable};

use super::commit::{Done, Known, Ledger, Tables};
use super::fault::guarded;
use super::format::{self, CHANNELS, KEYS, MESSAGES, Result, Row, Totals, Weight};
use super::queue::Entry;
use super::stored_channel::{Place, passing_damage};
use crate::journal::Host;
use crate::types::{ChannelName, Seq, Timestamp};

/// Messages deleted with one commit, beside twice as many as it brings.
const SLICE: u64 = 4_096;
/// Messages deleted at once while looking whether that is enough.
const STEP: u64 = 32;
/// What the file may take up beyond twice the bytes that are retained: half of it for pages that the last commits freed.
const SPARE: u64 = 32 << 20;
/// Channels looked at with one sweep.
const VISITS: usize = 512;
/// Channels looked at to find one that was unused for long, and how often one commit does that.
const SAMPLE: usize = 16;
const VICTIMS: usize = 8;

/// What is to be deleted with the next commit, beside what that makes superfluous itself.
#[derive(Default)]
pub(super) struct Chores {
    old: Vec<Old>,
    forget: Vec<ChannelName>,
}

/// What is too old in a channel.
struct Old {
    name: ChannelName,
    /// Messages before this number.
    messages: u64,
    /// Keys taken before this time.
    keys: u64,
}

/// Comes round to all channels, then rests.
#[derive(Default)]
pub(super) struct Sweeper {
    next: u64,
    rested: Option<Timestamp>,
}

impl Chores {
    pub(super) fn is_empty(&self) -> bool {
        self.old.is_empty() && self.forget.is_empty()
    }

    /// A channel that can be forgotten, if one of some is; the store has agreed.
    pub(super) fn forget_one(
        &mut self,
        database: &Database,
        ledger: &mut Ledger,
        now: Timestamp,
        host: &Host,
    ) -> Result<bool> {
        let retention = ledger.retention;
        let unused = now.before(retention.idempotency.max(retention.age));
        let txn = database.begin_read()?;
        let (channels, messages) = (txn.open_table(CHANNELS)?, txn.open_table(MESSAGES)?);
        let keys = txn.open_table(KEYS)?;
        let mut sample = Vec::new();
        for _ in 0..SAMPLE {
            let place = match ledger.pick(&channels, &messages)? {
                Picked::Nothing => return Ok(false),
                Picked::Damaged => continue,
                Picked::Channel(place) => place,
            };
            let id = place.id;
            let empty = place.oldest.0 > place.row.newest
                || retention.age().is_some_and(|age| place.row.newest_at < now.before(age));
            let key = keys.range((id, 0, 0)..=(id, u64::MAX, u64::MAX))?.next_back().transpose()?;
            let window = now.before(retention.idempotency).as_micros();
            let keyless = key.is_none_or(|(key, _)| key.value().1 < window);
            if empty && keyless && place.row.newest_at < unused {
                sample.push(place.row);
            }
        }
        sample.sort_by_key(|row| row.newest_at);
        let found = sample.into_iter().find(|row| host.agrees_to_forget(&row.name, now, unused));
        let found = found.map(|row| self.forget.push(row.name));
        Ok(found.is_some())
    }
}

impl Ledger {
    /// Looks at the next channels for what is too old. Where that fails, the next look begins behind it.
    pub(super) fn look_through(
        &mut self,
        database: &Database,
        now: Timestamp,
        chores: &mut Chores,
    ) -> Result<()> {
        self.at = None;
        let from = self.sweeper.next;
        let looked = guarded(|| self.look(database, now, chores));
        if looked.is_err() {
            self.sweeper.next = self.sweeper.next.max(from.saturating_add(1));
        }
        looked
    }

    fn look(&mut self, database: &Database, now: Timestamp, chores: &mut Chores) -> Result<()> {
        let retention = self.retention;
        let round = (retention.age.min(retention.idempotency) / 32).max(std::time::Duration::from_secs(1));
        let rests = |rested: Timestamp| rested <= now && now.since(rested) < round;
        if self.sweeper.next == 0 && self.sweeper.rested.is_some_and(rests) {
            return Ok(());
        }
        let cutoff = retention.age().map(|age| now.before(age));
        let window = now.before(retention.idempotency).as_micros();
        let txn = database.begin_read()?;
        let (channels, messages) = (txn.open_table(CHANNELS)?, txn.open_table(MESSAGES)?);
        let keys = txn.open_table(KEYS)?;
        let mut budget = SLICE;
        let mut visited = 0;
        for channel in channels.range(self.sweeper.next..)?.take(VISITS) {
            let (id, row) = channel?;
            let id = id.value();
            visited += 1;
            self.sweeper.next = id + 1;
            // What is damaged takes nothing of other channels with it, and stays.
            let decoded = Row::decode(id, row.value()).map_err(Into::into);
            let Some(row) = passing_damage(decoded.map(Some))?.filter(|row| !self.spares(&row.name)) else {
                continue;
            };
            self.at = Some(row.name.clone());
            let Some(place) = passing_damage(Place::of(&messages, id, row).map(Some))? else { continue };
            let expired = match cutoff.filter(|&cutoff| place.oldest.1 < cutoff) {
                Some(cutoff) if place.oldest.0 <= place.row.newest => {
                    place.first_unseen(&messages, |at, _| at < cutoff)?.0
                }
                _ => place.oldest.0,
            };
            let upto = expired.min(place.oldest.0 + budget);
            budget -= upto - place.oldest.0;
            let key = keys.range((id, 0, 0)..(id, window, 0))?.next().transpose()?;
            if upto > place.oldest.0 || key.is_some() {
                chores.old.push(Old { name: place.row.name, messages: upto, keys: window });
            }
            if budget == 0 {
                self.sweeper.next = id;
                return Ok(());
            }
        }
        if visited < VISITS {
            (self.sweeper.next, self.sweeper.rested) = (0, Some(now));
        }
        Ok(())
    }

    /// Deletes what is over the bounds on number and bytes, as far as one commit goes.
    pub(super) fn keep_bounds(
        &mut self,
        tables: &mut Tables<'_>,
        entries: &[Entry],
        done: &mut Done,
    ) -> Result<()> {
        let most = self.retention.messages;
        // A channel gives in slices, so that not every publish touches both ends of it.
        let slice = (most / 8).clamp(1, 64);
        let own = done.touched.clone();
        for name in &own {
            self.at = Some(name.clone());
            let Some(known) = self.known.get_mut(name) else { continue };
            let excess = known.len().saturating_sub(most);
            if most > 0 && excess >= slice {
                let upto = known.oldest + excess.min(SLICE);
                self.totals.freed(known.delete(tables, upto)?);
            }
            if known.keyed > self.retention.keys / 4 + 16 {
                self.totals.freed_keys(known.delete_keys(tables, self.retention.keys)?);
            }
        }
        let bounds = self.byte_bounds();
        if bounds.hold(&self.totals) {
            return Ok(());
        }
        let brought: usize = entries.iter().map(|entry| entry.append.messages().len()).sum();
        let mut budget = SLICE + 2 * brought as u64;
        // The publisher's own channel gives first, down to what was published just now.
        for name in &own {
            self.at = Some(name.clone());
            self.give(tables, name, bounds, &mut budget, done)?;
        }
        for _ in 0..VICTIMS {
            if bounds.hold(&self.totals) || budget == 0 {
                break;
            }
            self.at = None;
            if let Some(victim) = self.long_unused(tables, &own)? {
                self.at = Some(victim.clone());
                self.touch(tables, &victim, done)?;
                self.give(tables, &victim, bounds, &mut budget, done)?;
            }
        }
        Ok(())
    }

    pub(super) fn do_chores(
        &mut self,
        tables: &mut Tables<'_>,
        chores: &Chores,
        done: &mut Done,
    ) -> Result<()> {
        for old in &chores.old {
            if self.spares(&old.name) {
                continue;
            }
            self.at = Some(old.name.clone());
            let Some(known) = self.touch(tables, &old.name, done)? else { continue };
            let (id, upto) = (known.id, old.messages.min(known.row.newest + 1));
            let freed = known.delete(tables, upto)?;
            self.totals.freed(freed);
            self.totals.freed_keys(delete_keys(tables, (id, 0, 0)..(id, old.keys, 0), usize::MAX)?);
        }
        for name in &chores.forget {
            if self.spares(name) {
                continue;
            }
            self.at = Some(name.clone());
            let Some(known) = self.touch(tables, name, done)? else { continue };
            let (id, end) = (known.id, known.row.newest + 1);
            let freed = known.delete(tables, end)?;
            self.totals.freed(freed);
            self.totals.freed_keys(delete_keys(tables, (id, 0, 0)..=(id, u64::MAX, u64::MAX), usize::MAX)?);
            tables.channels.remove(id)?;
            tables.names.remove(name.as_str())?;
            self.known.remove(name);
            self.totals.channels = self.totals.channels.saturating_sub(1);
            self.totals.freed_channel(name);
            done.forgotten += 1;
        }
        Ok(())
    }

    fn byte_bounds(&self) -> ByteBounds {
        let bytes = self.retention.bytes();
        ByteBounds { bytes, pages: most_pages(self.watch.length(), bytes) }
    }

    /// Deletes of a channel, oldest first, until all together weigh no more than they may.
    fn give(
        &mut self,
        tables: &mut Tables<'_>,
        name: &ChannelName,
        bounds: ByteBounds,
        budget: &mut u64,
        done: &mut Done,
    ) -> Result<()> {
        let losses = self.totals.losses;
        let Some(known) = self.known.get_mut(name) else { return Ok(()) };
        let (first, last) = (known.oldest, known.touched.1);
        while !bounds.hold(&self.totals) && *budget > 0 && known.oldest <= last {
            let upto = (known.oldest + STEP.min(*budget)).min(last + 1);
            *budget -= upto - known.oldest;
            self.totals.freed(known.delete(tables, upto)?);
        }
        if known.oldest > first {
            done.evicted.push((name.clone(), known.row.life(losses), Seq::new(known.oldest)));
        }
        Ok(())
    }

    /// Some channel.
    fn pick(
        &mut self,
        channels: &impl ReadableTable<u64, &'static [u8]>,
        messages: &impl ReadableTable<(u64, u64), &'static [u8]>,
    ) -> Result<Picked> {
        self.at = None;
        let from = rand::random_range(0..self.totals.next.max(1));
        let place = guarded(|| {
            let above = channels.range(from..)?.next().transpose()?;
            let found = match above {
                Some(found) => Some(found),
                None => channels.first()?,
            };
            let Some((id, row)) = found else { return Ok(Picked::Nothing) };
            let row = Row::decode(id.value(), row.value())?;
            if self.spares(&row.name) {
                return Ok(Picked::Damaged);
            }
            self.at = Some(row.name.clone());
            Place::of(messages, id.value(), row).map(Picked::Channel)
        });
        Ok(passing_damage(place.map(Some))?.unwrap_or(Picked::Damaged))
    }

    /// The longest unused of some channels that hold something.
    fn long_unused(&mut self, tables: &Tables<'_>, own: &[ChannelName]) -> Result<Option<ChannelName>> {
        let mut sample = Vec::new();
        for _ in 0..SAMPLE {
            let place = match self.pick(&tables.channels, &tables.messages)? {
                Picked::Nothing => break,
                Picked::Damaged => continue,
                Picked::Channel(place) => place,
            };
            if place.oldest.0 <= place.row.newest && !own.contains(&place.row.name) {
                sample.push((place.row.newest_at, place.row.name));
            }
        }
        Ok(sample.into_iter().min_by_key(|(used, _)| *used).map(|(_, name)| name))
    }
}

impl Known {
    /// Deletes the messages before `upto`; gives what they weighed.
    fn delete(&mut self, tables: &mut Tables<'_>, upto: u64) -> Result<Weight> {
        if upto <= self.oldest {
            return Ok(Weight::default());
        }
        // What came with this commit begins behind what was the newest before.
        let before = self.front..upto.min(self.touched.1 + 1).max(self.front);
        let mut freed = tables.weigh_before(self.id, before.clone())?;
        tables.messages.retain_in((self.id, before.start)..(self.id, before.end), |_, _| false)?;
        for message in tables.messages.extract_from_if((self.id, before.end)..(self.id, upto), |_, _| true)? {
            freed += Weight::of(message?.1.value());
        }
        (self.oldest, self.front, self.stale) = (upto, upto, true);
        Ok(freed)
    }

    /// Deletes the oldest keys, down to `most`; gives what they weighed.
    fn delete_keys(&mut self, tables: &mut Tables<'_>, most: usize) -> Result<u64> {
        let all = (self.id, 0, 0)..=(self.id, u64::MAX, u64::MAX);
        let excess = tables.keys.range(all.clone())?.count().saturating_sub(most);
        self.keyed = 0;
        delete_keys(tables, all, excess)
    }
}

/// Deletes the first `most` of some keys; gives what they weighed.
fn delete_keys(tables: &mut Tables<'_>, keys: impl RangeBounds<(u64, u64, u64)>, most: usize) -> Result<u64> {
    let mut freed = 0;
    for key in tables.keys.extract_from_if(keys, |_, _| true)?.take(most) {
        freed += format::key_weight(key?.1.value());
    }
    Ok(freed)
}

/// How much there may be in all.
#[derive(Clone, Copy)]
struct ByteBounds {
    /// Of what retention counts.
    bytes: u64,
    /// Of pages, so that the file does not grow beyond its bound.
    pages: u64,
}

impl ByteBounds {
    fn hold(self, totals: &Totals) -> bool {
        totals.weight() <= self.bytes && totals.footprint() <= self.pages
    }
}

/// How many bytes of pages may be in use, so that a file of this length does not get longer than twice `bytes` and
/// [`SPARE`]. It grows by doubling, from 4 GiB on by 4 GiB, when no page is free.
fn most_pages(length: u64, bytes: u64) -> u64 {
    const STEP: u64 = 4 << 30;
    let most = bytes.saturating_mul(2).saturating_add(SPARE);
    if most == u64::MAX {
        return most;
    }
    let mut length = length.max(SPARE / 16);
    while length < STEP && length * 2 <= most {
        length *= 2;
    }
    if length >= STEP {
        length += most.saturating_sub(length) / STEP * STEP;
    }
    length.min(most).saturating_sub(SPARE / 2)
}

/// What [`Ledger::pick`] came upon.
enum Picked {
    /// There are no channels.
    Nothing,
    /// One that cannot be read.
    Damaged,
    Channel(Place),
}
