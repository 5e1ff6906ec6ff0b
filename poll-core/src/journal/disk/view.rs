//! A channel as readers see it: the log and the database in one view, at one instant.
//!
//! Not here: what is asked for, and by whom ([`reader`](super::reader), [`listing`](super::listing)).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use redb::{AccessGuard, ReadOnlyTable, ReadTransaction, ReadableDatabase};
use uuid::Uuid;

use super::codec::{RowError, decode_head, decode_key, decode_message};
use super::damage::Kind;
use super::fault::{guarded, is_damage, journal_error};
use super::format::{self, CHANNELS, KEYS, MESSAGES, NAMES, Result, TOTALS};
use super::lives;
use super::log::recent::{Part, Recent};
use super::shared::Shared;
use super::stored_channel::{self, StoredChannel, next_readable, next_row, unless_damaged};
use super::tables;
use super::weight::{payload_len, weight};
use crate::journal::{KeptKey, Landmark, Loaded, Located, Piece, Stretch};
use crate::life::{Life, Producer, ProducerId};
use crate::types::{ChannelName, Ending, Epoch, JournalError, Message, Seq, Timestamp};

/// What one load brings into memory at most: as much as one answer holds, so that a reader that was away finds what it missed,
/// and a channel that few read costs little…
const MESSAGES_LOADED: u64 = 1_000;
const BYTES_LOADED: u64 = 1 << 20;
/// … and no more than this share of the memory for all channels.
const SHARE: u64 = 8;

/// Damaged messages that one read skips; the next one continues after them.
const SKIPPED: u64 = 4_096;

/// Runs `work` on a view of a channel; `look` takes what is needed of the log.
pub(super) fn with<L, T>(
    shared: &Shared,
    name: &ChannelName,
    mut look: impl FnMut(&Part) -> L,
    work: impl FnOnce(&View<'_, L>) -> Result<T>,
) -> std::result::Result<T, JournalError> {
    let look = |recent: &Recent| recent.look(name, |part| InLog::of(part, &mut look));
    on_snapshot(shared, Some(name), look, |txn, log| work(&View::of(shared, name, txn, log)?))
}

/// Runs `work` on the database, if it is open, and on what `look` took of the log; for one channel, if a name is given. After
/// a failed read the indexer opens the file again, and the health says so before this returns. Damage is counted, and concerns
/// this read alone.
pub(super) fn on_snapshot<L, T>(
    shared: &Shared,
    name: Option<&ChannelName>,
    look: impl FnOnce(&Recent) -> L,
    work: impl FnOnce(&ReadTransaction, L) -> Result<T>,
) -> std::result::Result<T, JournalError> {
    let open = loop {
        let open = shared.database();
        if open.database.is_some() {
            break open;
        }
        drop(open);
        // The database is in place before the health says that it can be read.
        shared.health.borrow().check_readable()?;
    };
    let (generation, Some(database)) = (open.generation, open.database.as_ref()) else {
        return Err(JournalError::Unavailable("it is away".to_owned()));
    };
    let unreadable = &shared.file.unreadable;
    let read = || {
        // Once the database is in place, the log has what a crash left in it. What leaves it from here on is in the database by
        // the time that is read.
        let log = look(&shared.recent);
        guarded(|| work(&database.begin_read()?, log))
    };
    let done = name.map_or(Ok(()), |name| unreadable.check(name)).and_then(|()| read());
    drop(open);
    done.map_err(|error| {
        let told = journal_error(&error);
        match name {
            Some(name) if is_damage(&error) => shared.note_damage(name, &error.to_string()),
            None if is_damage(&error) => shared.note_damaged_tables(&error.to_string()),
            _ => {
                unreadable.attribute(name, &error);
                shared.read_failed(generation, error);
            }
        }
        told
    })
}

/// One channel as it is at one instant: in the database, in the log, or in both.
pub(super) struct View<'a, L> {
    shared: &'a Shared,
    name: &'a ChannelName,
    txn: &'a ReadTransaction,
    database: Option<InDatabase>,
    /// `None` if there is no such channel.
    epoch: Option<Epoch>,
    /// The epoch in which it goes on, if damage hides which numbers were given out, and the log does not tell either.
    next_epoch: Option<Epoch>,
    newest: (Seq, Timestamp),
    is_ended: bool,
    life: Option<Bytes>,
    /// The channel's number in the database, if that has this incarnation.
    id: Option<u64>,
    /// The newest number that the database knows of, if damage hides others after it that are given out again, in another
    /// epoch.
    known_to: Option<Seq>,
    /// Where a purge left off, or what retention by number left of a memtable begins: everything before this is gone.
    purged: Option<(Seq, Timestamp)>,
    /// What the database has not, the older part first.
    log: Vec<InLog<L>>,
}

/// The table of messages.
type Messages = ReadOnlyTable<(u64, u64), &'static [u8]>;

/// What the database has of a channel.
struct InDatabase {
    stored: StoredChannel,
    epoch: Epoch,
    next_epoch: Option<Epoch>,
    messages: Messages,
}

/// What a memtable has of a channel.
struct InLog<L> {
    epoch: Epoch,
    /// The number and time of its oldest message; those after the newest if it has none.
    first: (Seq, Timestamp),
    newest: (Seq, Timestamp),
    ending: Ending,
    /// The incarnation that was there before is over.
    cleared: bool,
    gone: bool,
    purged: Seq,
    life: Option<Arc<Life>>,
    found: L,
}

/// What a load needs of a memtable.
pub(super) struct LogTail {
    /// The number and time of the first message that is not too old.
    young: (Seq, Option<Timestamp>),
    newest: Vec<Arc<Message>>,
}

impl LogTail {
    pub(super) fn of(part: &Part, cutoff: Timestamp) -> Self {
        let most = part.newest.get().saturating_sub(MESSAGES_LOADED);
        Self {
            young: part.first_unseen(|message| message.at < cutoff),
            newest: part.from(Seq::new(most + 1), usize::MAX),
        }
    }
}

impl<L> InLog<L> {
    fn of(part: &Part, look: &mut impl FnMut(&Part) -> L) -> Self {
        let at = part.messages.front().map_or(part.newest_at, |message| message.at);
        let life = part.life.as_deref();
        Self {
            cleared: life.is_some_and(|life| life.cleared),
            gone: life.is_some_and(|life| life.gone),
            purged: life.map_or(Seq::ZERO, |life| life.purged),
            life: life.and_then(|life| life.life.clone()),
            epoch: part.epoch,
            first: (part.first(), at),
            newest: (part.newest, part.newest_at),
            ending: part.ending,
            found: look(part),
        }
    }
}

impl<'a, L> View<'a, L> {
    fn of(
        shared: &'a Shared,
        name: &'a ChannelName,
        txn: &'a ReadTransaction,
        mut log: Vec<InLog<L>>,
    ) -> Result<Self> {
        let mut database = find(txn, name)?;
        let mut goes_on = false;
        if let (Some(database), Some(last)) = (&mut database, log.last())
            && let Some(next) = database.next_epoch.take_if(|next| *next == last.epoch)
        {
            (database.epoch, goes_on) = (next, true);
        }
        // What was removed counts no longer, neither in the database nor in an earlier memtable.
        if let Some(last) = log.iter().rposition(|part| part.cleared) {
            log.drain(..last);
            let is_indexed = |database: &InDatabase| !log[0].gone && database.epoch == log[0].epoch;
            database = database.filter(is_indexed);
            log.retain(|part| !part.gone);
        }
        let next_epoch = database.as_ref().and_then(|database| database.next_epoch);
        let next_epoch = next_epoch.filter(|_| log.is_empty());
        let in_database = |database: &InDatabase| (database.stored.id, database.epoch);
        let (id, stored_epoch) = database.as_ref().map(in_database).unzip();
        let epoch = log.last().map(|part| part.epoch).or(stored_epoch);
        let id = id.filter(|_| stored_epoch == epoch);
        let begins_anew = database.as_ref().filter(|_| goes_on || next_epoch.is_some());
        let known_to = begins_anew.map(|database| Seq::new(database.stored.row.newest));
        let newest = newest(database.as_ref(), &log);
        let is_ended = log.iter().any(|part| part.ending == Ending::Close)
            || database.as_ref().is_some_and(|database| database.stored.row.ended);
        let life = match log.iter().rev().find_map(|part| part.life.as_ref()) {
            Some(life) => Some(life.to_bytes().into()),
            None => id.map(|id| lives::read(txn, id)).transpose()?.flatten(),
        };
        if let Some(InDatabase { stored, epoch, .. }) = &database {
            let (row, epoch) = (&stored.row, *epoch);
            log.retain(|part| {
                let is_new = part.newest.0.get() > row.newest || (part.ending == Ending::Close && !row.ended);
                is_new || part.epoch != epoch || part.purged > Seq::ZERO
            });
            for &(first, last) in &stored.damaged {
                note(shared, name, stored.id, first, last);
            }
            if stored.unreachable.is_some() {
                let line = || format!("channel {:?}: messages at one end", name.as_str());
                shared.damages.note(Kind::Channel, stored.id, (0, 0), line);
            }
            // Retention by number has left nothing of it, or it is of another epoch.
            let outlived =
                log.first().is_some_and(|part| part.epoch != epoch || part.first.0.get() > row.newest + 1);
            let purged = log.iter().any(|part| part.purged.get() >= row.newest && part.purged > Seq::ZERO);
            if outlived || purged {
                database = None;
            }
        }
        let is_purged = |part: &InLog<L>| part.purged > Seq::ZERO;
        let is_outgrown = |before: &InLog<L>, part: &InLog<L>| part.first.0 > before.newest.0.next();
        let purged = (0..log.len())
            .rfind(|&at| is_purged(&log[at]) || (at > 0 && is_outgrown(&log[at - 1], &log[at])))
            .map(|at| log[at].first);
        Ok(Self {
            shared,
            name,
            txn,
            database,
            epoch,
            next_epoch,
            newest,
            is_ended,
            life,
            id,
            known_to,
            purged,
            log,
        })
    }

    /// Whether it is the channel's epoch.
    fn is_in(&self, epoch: Epoch) -> bool {
        self.epoch == Some(epoch) || self.next_epoch == Some(epoch)
    }

    fn oldest(&self) -> (Seq, Timestamp) {
        let oldest = match (&self.database, self.log.first()) {
            (Some(InDatabase { stored, .. }), first) => {
                let is_empty = stored.oldest.0 > stored.row.newest;
                let first = first.filter(|_| is_empty).map(|part| part.first);
                first.unwrap_or((Seq::new(stored.oldest.0), stored.oldest.1))
            }
            (None, first) => first.map_or((Seq::ZERO, Timestamp::ZERO), |part| part.first),
        };
        self.purged.filter(|purged| purged.0 > oldest.0).unwrap_or(oldest)
    }

    /// The first message that `seen` does not cover, given what was found of that in the log.
    fn first_unseen(
        &self,
        seen: impl Fn(Timestamp, Uuid) -> bool,
        in_log: impl Fn(&L) -> (Seq, Option<Timestamp>),
    ) -> Result<(Seq, Option<Timestamp>)> {
        if let Some(InDatabase { stored, messages, .. }) = &self.database {
            let (first, at) = stored.first_unseen(messages, seen)?;
            // What cannot be read at its end is covered if something after it is.
            let goes_on = |part: &InLog<L>| at.is_none() && in_log(&part.found).0 > part.first.0;
            if first <= stored.row.newest && !self.log.iter().any(goes_on) {
                let next = || self.log.iter().find_map(|part| in_log(&part.found).1);
                return Ok((Seq::new(first), at.or_else(next)));
            }
        }
        let found = self.log.iter().map(|part| in_log(&part.found)).find(|(_, at)| at.is_some());
        let found = found.unwrap_or((self.newest.0.next(), None));
        let purged = self.purged.filter(|purged| found.1.is_some() && purged.0 > found.0);
        Ok(purged.map_or(found, |(first, at)| (first, Some(at))))
    }
}

impl View<'_, LogTail> {
    pub(super) fn load(&self, cutoff: Timestamp) -> Result<Option<Loaded>> {
        let Some(mut loaded) = self.summary(cutoff)? else { return Ok(None) };
        loaded.tail = self.tail(loaded.oldest.0)?;
        Ok(Some(loaded))
    }

    /// The channel without its messages.
    pub(super) fn summary(&self, cutoff: Timestamp) -> Result<Option<Loaded>> {
        let Some(epoch) = self.next_epoch.or(self.epoch) else { return Ok(None) };
        let (mut oldest, newest) = (self.oldest(), self.newest);
        let life = self.life.as_deref().map(Life::from_bytes).transpose();
        let life = life.map_err(|error| format::damaged(&error.to_string()))?;
        // Of a channel with bounds of its own the store asks what is too old.
        if oldest.1 < cutoff && life.is_none() {
            let (first, at) = self.first_unseen(|at, _| at < cutoff, |tail| tail.young)?;
            oldest = (first, at.unwrap_or(newest.1));
        }
        // What is over the number is deleted in slices: some of it may still be there.
        let bounds = life.map(|life| life.bounds).unwrap_or_default();
        let most = bounds.messages(&self.shared.retention()) as u64;
        oldest.0 = oldest.0.max(Seq::new(newest.0.get().saturating_sub(most) + 1));
        let whole = self.database.as_ref().map(|database| database.stored.whole);
        let whole =
            whole.filter(|whole| self.log.is_empty() && *whole < newest.0.get() && oldest.0 <= newest.0);
        let damaged = whole.map(|whole| (oldest.0.max(Seq::new(whole + 1)), newest.0));
        let (ended, tail, life) = (self.is_ended, Vec::new(), self.life.clone());
        Ok(Some(Loaded { epoch, oldest, newest, ended, life, tail, damaged }))
    }

    /// What the messages from `oldest` on weigh, reckoned from the newest `most` of them.
    pub(super) fn weigh(&self, oldest: Seq, most: usize) -> Result<u64> {
        let (mut bytes, mut weighed) = (0, 0);
        let in_log = self.log.iter().rev().flat_map(|part| part.found.newest.iter().rev());
        for message in in_log.take_while(|message| message.seq >= oldest).take(most) {
            bytes += message.weight();
            weighed += 1;
        }
        if let Some(InDatabase { stored, messages, .. }) = &self.database {
            let (id, newest) = (stored.id, stored.row.newest);
            // What is in both was weighed in the log.
            let in_log = self.log.first().map_or(newest, |part| newest.min(part.first.0.previous().get()));
            let mut rows = if oldest.get() <= in_log {
                Some(messages.range((id, oldest.get())..=(id, in_log))?.rev())
            } else {
                None
            };
            while weighed < most
                && let Some(rows) = &mut rows
                && let Some((_, row)) = next_readable(rows)?
            {
                bytes += weight(row.value());
                weighed += 1;
            }
        }
        let messages = (self.newest.0.get() + 1).saturating_sub(oldest.get());
        if weighed == 0 || messages <= weighed as u64 {
            return Ok(bytes);
        }
        Ok((u128::from(bytes) * u128::from(messages) / weighed as u128) as u64)
    }

    /// The newest messages, oldest first, as far as they can be read one behind the other and one load may bring them into
    /// memory.
    fn tail(&self, oldest: Seq) -> Result<Vec<Arc<Message>>> {
        let most = (self.shared.options.tail.bytes / SHARE).min(BYTES_LOADED);
        let mut tail = Gathered { messages: Vec::new(), bytes: 0, most: (MESSAGES_LOADED, most) };
        for message in self.log.iter().rev().flat_map(|part| part.found.newest.iter().rev()) {
            if message.seq < oldest || !tail.take(message.weight(), || Some(Arc::clone(message))) {
                return Ok(tail.oldest_first());
            }
        }
        if let Some(InDatabase { stored, messages, .. }) = &self.database {
            let (id, mut expected) = (stored.id, stored.row.newest);
            let last = (id, expected.max(oldest.get()));
            let mut range = messages.range((id, oldest.get())..=last)?.rev();
            while let Some((key, row)) = next_readable(&mut range)? {
                let decode = || whole(id, expected, &key, &row);
                if !tail.take(weight(row.value()), decode) {
                    break;
                }
                expected -= 1;
            }
        }
        Ok(tail.oldest_first())
    }
}

/// The number and time of the newest message, retained or not.
fn newest<L>(database: Option<&InDatabase>, log: &[InLog<L>]) -> (Seq, Timestamp) {
    let stored =
        |database: &InDatabase| (Seq::new(database.stored.row.newest), database.stored.row.newest_at);
    let epoch = log.last().map(|part| part.epoch);
    let database = database.filter(|database| epoch.is_none_or(|epoch| epoch == database.epoch));
    let stored = database.map_or((Seq::ZERO, Timestamp::ZERO), stored);
    // A part without messages has no time.
    let newer =
        |(seq, at): (Seq, Timestamp), part: &InLog<L>| (seq.max(part.newest.0), at.max(part.newest.1));
    log.iter().filter(|part| epoch == Some(part.epoch)).fold(stored, newer)
}

/// Producers that changed; `None` for those that are forgotten.
pub(super) type Producers = BTreeMap<ProducerId, Option<Producer>>;

impl View<'_, Producers> {
    pub(super) fn producers(&self) -> Result<Vec<(ProducerId, Producer)>> {
        let mut known = match self.id {
            Some(id) => lives::producers(self.txn, id)?,
            None => BTreeMap::new(),
        };
        for (id, producer) in self.log.iter().flat_map(|part| &part.found) {
            match producer {
                Some(producer) => drop(known.insert(id.clone(), *producer)),
                None => drop(known.remove(id)),
            }
        }
        Ok(known.into_iter().collect())
    }
}

impl View<'_, Vec<KeptKey>> {
    /// The keys of a channel that are within their window and number, oldest first. What is damaged is forgotten early.
    pub(super) fn keys(&self, now: Timestamp) -> Result<Vec<KeptKey>> {
        let retention = self.shared.retention();
        let cutoff = now.before(retention.idempotency);
        let in_log = self.log.iter().rev().flat_map(|part| part.found.iter().rev());
        let mut keys: Vec<_> =
            in_log.filter(|kept| kept.taken >= cutoff).take(retention.keys).cloned().collect();
        // They outlast their messages.
        if let Some(id) = self.id {
            let note = |at| {
                let line = || format!("channel {:?}: an idempotency key", self.name.as_str());
                self.shared.damages.note(Kind::Keys, id, (at, at), line);
            };
            let table = self.txn.open_table(KEYS)?;
            let is_hidden = |kept: &KeptKey| self.known_to.is_some_and(|last| kept.numbers.last() > last);
            let mut read = || {
                let range = (id, cutoff.as_micros(), 0)..=(id, u64::MAX, u64::MAX);
                let mut rows = guarded(|| Ok(table.range(range)?))?.rev();
                while keys.len() < retention.keys
                    && let Some((key, row)) = next_row(&mut rows)?
                {
                    match decode_key(key.value(), row.value()) {
                        // To publish it again brings it back.
                        Ok(kept) if is_hidden(&kept) => {}
                        Ok(kept) => keys.push(kept),
                        Err(_) => note(key.value().1),
                    }
                }
                Ok(())
            };
            if unless_damaged(read())?.is_none() {
                note(0);
            }
        }
        keys.reverse();
        Ok(keys)
    }
}

impl View<'_, Vec<Arc<Message>>> {
    pub(super) fn read(&self, stretch: &Stretch) -> Result<Option<Piece>> {
        if !self.is_in(stretch.epoch) {
            return Ok(None);
        }
        let (oldest, first) = (self.oldest(), stretch.after.next());
        if first < oldest.0 || first > self.newest.0 {
            let is_hidden = self.database.as_ref().is_some_and(|database| database.stored.hides_newest());
            let damaged = (first > self.newest.0 && is_hidden).then_some(first);
            return Ok(Some(Piece { oldest, messages: Vec::new(), damaged }));
        }
        let most = (stretch.limit.messages as u64, stretch.limit.bytes as u64);
        let mut given = Gathered { messages: Vec::new(), bytes: 0, most };
        let mut damaged = None;
        if let Some(InDatabase { stored, messages, .. }) = &self.database
            && first.get() <= stored.row.newest
        {
            let (id, mut expected) = (stored.id, first.get());
            let range = messages.range((id, expected)..=(id, stored.row.newest))?;
            let mut range = range.take(stretch.limit.messages);
            while let Some((key, row)) = next_readable(&mut range)? {
                let decode = || whole(id, expected, &key, &row);
                if !given.take(payload_len(row.value()), decode) {
                    break;
                }
                expected += 1;
            }
            if given.messages.is_empty() {
                damaged = self.damaged_from(messages, stored, first.get())?;
            }
        }
        if damaged.is_none() {
            let in_log = self.log.iter().flat_map(|part| &part.found);
            let next = given.messages.last().map_or(first, |message| message.seq.next());
            let in_log = in_log.skip_while(|message| message.seq < next);
            for (expected, message) in (next.get()..).zip(in_log) {
                let decode = || Some(Arc::clone(message));
                if message.seq.get() != expected || !given.take(message.payload.len() as u64, decode) {
                    break;
                }
            }
        }
        Ok(Some(Piece { oldest, messages: given.messages, damaged }))
    }

    /// The last of the messages from `first` on that cannot be read.
    fn damaged_from(&self, messages: &Messages, stored: &StoredChannel, first: u64) -> Result<Option<Seq>> {
        let mut damaged = None;
        for seq in first..=stored.row.newest.min(first.saturating_add(SKIPPED)) {
            match one(messages, stored.id, seq)? {
                // The first one is known to be none.
                Ok(()) if seq > first => break,
                Ok(()) | Err(RowError::Damaged(_)) => note(self.shared, self.name, stored.id, seq, seq),
                Err(RowError::Lost) => {}
            }
            damaged = Some(Seq::new(seq));
        }
        Ok(damaged)
    }
}

impl View<'_, (Seq, Option<Timestamp>)> {
    pub(super) fn locate(&self, epoch: Epoch, landmark: Landmark) -> Result<Option<Located>> {
        if !self.is_in(epoch) {
            return Ok(None);
        }
        let (first, at) = self.first_unseen(|at, id| landmark.covers(at, id), |unseen| *unseen)?;
        let before = (first > self.oldest().0).then(|| first.previous());
        Ok(Some(Located { before, after: at.map(|at| (first, at)), end: self.newest.0.next() }))
    }
}

fn find(txn: &ReadTransaction, name: &ChannelName) -> Result<Option<InDatabase>> {
    let (names, channels) = (txn.open_table(NAMES)?, txn.open_table(CHANNELS)?);
    let losses = tables::totals(&txn.open_table(TOTALS)?)?.losses;
    let messages = txn.open_table(MESSAGES)?;
    let stored = stored_channel::find(&names, &channels, &messages, name)?;
    Ok(stored.map(|stored| {
        // Losses are never so many.
        let next_epoch = stored.hides_newest().then(|| stored.row.visible_epoch(losses ^ 1 << 63));
        InDatabase { epoch: stored.row.visible_epoch(losses), next_epoch, stored, messages }
    }))
}

fn note(shared: &Shared, name: &ChannelName, id: u64, first: u64, last: u64) {
    let line = || format!("channel {:?}: messages {first} to {last}", name.as_str());
    shared.damages.note(Kind::Messages, id, (first, last), line);
}

/// Messages that one answer holds.
struct Gathered {
    messages: Vec<Arc<Message>>,
    bytes: u64,
    /// How many messages and bytes there is room for.
    most: (u64, u64),
}

impl Gathered {
    /// Takes one more message of this size; returns whether there was room for it, and it could be read. The first one is
    /// taken whatever its size.
    fn take(&mut self, bytes: u64, message: impl FnOnce() -> Option<Arc<Message>>) -> bool {
        let (count, bytes) = (self.messages.len() as u64, self.bytes + bytes);
        if count > 0 && (count >= self.most.0 || bytes > self.most.1) {
            return false;
        }
        let message = message();
        let is_whole = message.is_some();
        self.messages.extend(message);
        self.bytes = bytes;
        is_whole
    }

    fn oldest_first(mut self) -> Vec<Arc<Message>> {
        self.messages.reverse();
        self.messages
    }
}

/// The message of a row, if it is the expected one and can be read.
fn whole(
    id: u64,
    expected: u64,
    key: &AccessGuard<'_, (u64, u64)>,
    row: &AccessGuard<'_, &'static [u8]>,
) -> Option<Arc<Message>> {
    let message = decode_message(id, expected, row.value());
    message.ok().filter(|_| key.value() == (id, expected))
}

/// Whether one message can be read.
fn one(messages: &Messages, id: u64, seq: u64) -> Result<std::result::Result<(), RowError>> {
    let row = unless_damaged(guarded(|| {
        let row = messages.get((id, seq))?;
        Ok(row.map(|row| decode_head(id, seq, row.value()).map(drop)))
    }))?;
    Ok(row.flatten().unwrap_or(Err(RowError::Damaged("a message"))))
}
