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
use crate::types::ChannelName;

/// What can be read of a channel beside its messages.
#[derive(Default)]
pub(super) struct Remains {
    is_closed: bool,
    life: Option<Life>,
    producers: Vec<(ProducerId, Producer)>,
    keys: Vec<KeptKey>,
}

impl Remains {
    /// Reads what is left of the channel with this number. Each part that is damaged counts as empty.
    pub(super) fn read(txn: &ReadTransaction, id: u64) -> Result<Self> {
        Ok(Self {
            is_closed: whole(|| is_closed(&txn.open_table(CHANNELS)?, id))?,
            life: whole(|| {
                let row = txn.open_table(LIVES)?.get(id)?;
                row.map(|row| lives::life(id, row.value())).transpose()
            })?,
            producers: whole(|| Ok(lives::producers(txn, id)?.into_iter().collect()))?,
            keys: whole(|| keys(&txn.open_table(KEYS)?, id))?,
        })
    }
}

/// What `read` finds; nothing where that is damaged.
fn whole<T: Default>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    Ok(unless_damaged(guarded(read))?.unwrap_or_default())
}

fn is_closed(channels: &ReadOnlyTable<u64, &'static [u8]>, id: u64) -> Result<bool> {
    let Some(row) = channels.get(id)? else { return Ok(false) };
    Ok(Row::decode(id, row.value())?.ended)
}

fn keys(table: &ReadOnlyTable<(u64, u64, u64), &'static [u8]>, id: u64) -> Result<Vec<KeptKey>> {
    let (mut keys, mut rows) = (Vec::new(), table.range((id, 0, 0)..=(id, u64::MAX, u64::MAX))?);
    while let Some((position, row)) = next_row(&mut rows)? {
        keys.extend(decode_key(position.value(), row.value()));
    }
    Ok(keys)
}

impl CommitState {
    /// Gives a channel that has begun anew what is left of it under its old number. What `name` has under its new one begins
    /// at message `first`: keys of messages from there on are those of messages that are hidden, whose numbers are given out
    /// again.
    pub(super) fn take_along(
        &mut self,
        tables: &mut Tables<'_>,
        name: &ChannelName,
        old: u64,
        first: u64,
    ) -> Result<()> {
        // Where the disk cannot read some of it, to ask for more would only fail the commit again.
        if self.bare.contains(name) || self.file.unreadable.check(name).is_err() {
            return Ok(());
        }
        let remains = tables.remains(old)?;
        let Some(channel) = self.cache.get_mut(name) else { return Ok(()) };
        let id = channel.id;
        channel.row.ended = remains.is_closed;
        if let Some(life) = &remains.life {
            channel.bounds = Some(life.bounds);
            lives::put_life(tables, &mut self.totals, id, life)?;
        }
        for (producer, state) in &remains.producers {
            lives::put_producer(tables, &mut self.totals, id, producer, *state)?;
        }
        for kept in remains.keys.iter().filter(|kept| kept.numbers.last().get() < first) {
            let row = encode_key(id, kept);
            let position = (id, kept.taken.as_micros(), kept.numbers.after.get());
            tables.keys.insert(position, row.as_slice())?;
            channel.keyed += 1;
            self.totals.overhead_mut().keys += key_row_weight(&row);
        }
        Ok(())
    }
}
