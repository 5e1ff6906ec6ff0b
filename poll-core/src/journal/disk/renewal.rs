//! What a damaged channel that begins anew takes along: whether it was closed, its life, its producers and its keys, as far as
//! they can be read. Its messages stay under its old number, where nothing finds them; readers are told that they missed them.

use redb::{ReadOnlyTable, ReadTransaction};

use super::codec::{Row, decode_key, encode_key};
use super::commit_state::CommitState;
use super::fault::guarded;
use super::format::{CHANNELS, KEYS, LIVES, Result};
use super::lives;
use super::stored_channel::{next_row, unless_damaged};
use super::tables::Tables;
use super::weight::key_row_weight;
use crate::journal::KeptKey;
use crate::life::{Life, Producer, ProducerId};
use crate::types::{ChannelName, Seq, Timestamp};

/// What can be read of a channel beside its messages.
#[derive(Default)]
pub(super) struct Remains {
    is_closed: bool,
    life: Option<Life>,
    producers: Vec<(ProducerId, Producer)>,
    keys: Vec<KeptKey>,
    /// Some of it is damaged.
    is_damaged: bool,
}

impl Remains {
    /// Reads what is left of the channel with this name and number. Each part that is damaged counts as empty; if the number
    /// turns out to be another channel's, so does everything.
    pub(super) fn read(txn: &ReadTransaction, name: &ChannelName, id: u64) -> Result<Self> {
        let mut remains = Self::default();
        let found = remains.part(|| Ok(Some(row(&txn.open_table(CHANNELS)?, id)?)))?;
        match found {
            Some(Some(row)) if row.name == *name => remains.is_closed = row.ended,
            Some(_) => return Ok(remains),
            // It is damaged, which says nothing about the rest.
            None => {}
        }
        remains.life = remains.part(|| {
            let row = txn.open_table(LIVES)?.get(id)?;
            row.map(|row| lives::life(id, row.value())).transpose()
        })?;
        remains.producers = remains.part(|| Ok(lives::producers(txn, id)?.into_iter().collect()))?;
        remains.keys = remains.part(|| keys(&txn.open_table(KEYS)?, id))?;
        Ok(remains)
    }

    /// What `read` finds; nothing where that is damaged.
    fn part<T: Default>(&mut self, read: impl FnOnce() -> Result<T>) -> Result<T> {
        let found = unless_damaged(guarded(read))?;
        self.is_damaged |= found.is_none();
        Ok(found.unwrap_or_default())
    }
}

fn row(channels: &ReadOnlyTable<u64, &'static [u8]>, id: u64) -> Result<Option<Row>> {
    Ok(channels.get(id)?.map(|row| Row::decode(id, row.value())).transpose()?)
}

fn keys(table: &ReadOnlyTable<(u64, u64, u64), &'static [u8]>, id: u64) -> Result<Vec<KeptKey>> {
    let (mut keys, mut rows) = (Vec::new(), table.range((id, 0, 0)..=(id, u64::MAX, u64::MAX))?);
    while let Some((position, row)) = next_row(&mut rows)? {
        keys.extend(decode_key(position.value(), row.value()));
    }
    Ok(keys)
}

impl CommitState {
    /// Gives a channel that has begun anew what is left of it under its old number. What the log has of it comes after message
    /// `after`: keys of later messages are those of hidden ones, whose numbers are given out again.
    pub(super) fn take_along(
        &mut self,
        tables: &mut Tables<'_>,
        name: &ChannelName,
        old: u64,
        after: Seq,
    ) -> Result<()> {
        if self.bare.contains(name) {
            return Ok(());
        }
        let remains = tables.read_before().and_then(|before| Remains::read(&before, name, old));
        // redb may fail from then on. If the commit fails, the next attempt does not ask again.
        if remains.as_ref().map_or(true, |remains| remains.is_damaged) {
            self.bare.insert(name.clone());
        }
        let remains = remains?;
        let now = self.environment.now();
        let Some(channel) = self.cache.get_mut(name) else { return Ok(()) };
        let id = channel.id;
        channel.row.ended = remains.is_closed;
        if channel.row.newest_at == Timestamp::ZERO {
            // When it was used last is not known.
            channel.row.newest_at = now;
        }
        if let Some(life) = &remains.life {
            channel.bounds = Some(life.bounds);
            lives::put_life(tables, &mut self.totals, id, life)?;
        }
        for (producer, state) in &remains.producers {
            lives::put_producer(tables, &mut self.totals, id, producer, *state)?;
        }
        for kept in remains.keys.iter().filter(|kept| kept.numbers.last() <= after) {
            let row = encode_key(id, kept);
            let position = (id, kept.taken.as_micros(), kept.numbers.after.get());
            tables.keys.insert(position, row.as_slice())?;
            channel.keyed += 1;
            self.totals.overhead_mut().keys += key_row_weight(&row);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use redb::{Database, ReadableDatabase};

    use super::*;
    use crate::journal::disk::codec::Totals;

    #[test]
    fn what_another_channel_has_is_not_taken_along() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let database = Database::create(file.path()).unwrap();
        let (own, other) = (ChannelName::parse("own").unwrap(), ChannelName::parse("other").unwrap());
        let txn = database.begin_write().unwrap();
        let mut tables = Tables::open(&txn, &database).unwrap();
        let row = Row { ended: true, ..Row::begin(own.clone(), 1, 0) };
        tables.channels.insert(7, row.encode(7).as_slice()).unwrap();
        lives::put_life(&mut tables, &mut Totals::default(), 7, &Life::default()).unwrap();
        drop(tables);
        txn.commit().unwrap();
        let txn = database.begin_read().unwrap();
        for (name, id, is_there) in [(&own, 7, true), (&other, 7, false), (&own, 8, false)] {
            let Remains { is_closed, life, is_damaged, .. } = Remains::read(&txn, name, id).unwrap();
            assert_eq!((is_closed, life.is_some(), is_damaged), (is_there, is_there, false), "{name:?} {id}");
        }
    }
}
