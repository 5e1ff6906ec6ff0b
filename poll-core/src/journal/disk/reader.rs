//! The threads that read the file, so that no worker waits for the disk: they load channels and keys, and find older messages.

use std::sync::Arc;

use redb::{ReadOnlyTable, ReadTransaction, ReadableDatabase};

use super::codec::{Fault, decode_head, decode_key, decode_message};
use super::damage::Kind;
use super::fault::{guarded, is_damage, journal_error};
use super::format::{self, CHANNELS, KEYS, MESSAGES, NAMES, Result, TOTALS};
use super::read_queue::ReadRequest;
use super::shared::Shared;
use super::stored_channel::{self, StoredChannel, Torn, passing_damage};
use super::tables;
use crate::journal::{KeptKey, Landmark, Loaded, Located, Piece, Stretch};
use crate::types::{ChannelName, Epoch, JournalError, Limit, Message, Retention, Seq, Timestamp};

/// What one load brings into memory at most: as much as one answer holds, so that a reader who was away finds what it missed,
/// and a channel that few read costs little…
const MESSAGES_LOADED: u64 = 1_000;
const BYTES_LOADED: u64 = 1 << 20;
/// … and no more than this share of the memory for all channels.
const SHARE: u64 = 8;

/// Damaged messages that one read skips; the next one continues after them.
const SKIPPED: u64 = 4_096;

/// Reads until the queue is closed.
pub(super) async fn run(shared: Arc<Shared>) {
    while let Some(request) = shared.reads.next().await {
        read(&shared, request);
    }
}

fn read(shared: &Shared, request: ReadRequest) {
    match request {
        ReadRequest::Load(name, now, reply) => {
            // The channel must not be forgotten before it is in memory.
            let _gate = shared.forget_lock.read();
            reply(with(shared, &name, |view| view.load(now)));
        }
        ReadRequest::Keys(name, now, reply) => reply(with(shared, &name, |view| view.keys(now))),
        ReadRequest::Messages(stretch, reply) => {
            reply(with(shared, &stretch.channel, |view| view.read(&stretch)));
        }
        ReadRequest::Locate(name, epoch, landmark, reply) => {
            reply(with(shared, &name, |view| view.locate(epoch, landmark)));
        }
    }
}

/// Runs `work` on a view of the database, if it is open. After a failed read the writer opens the file again, and the health
/// says so before this returns. Damage is the business of this channel alone.
fn with<T>(
    shared: &Shared,
    name: &ChannelName,
    work: impl FnOnce(&View<'_>) -> Result<T>,
) -> std::result::Result<T, JournalError> {
    let open = loop {
        let open = shared.database();
        if open.database.is_some() {
            break open;
        }
        drop(open);
        // The database is put in stored before the health says that it can be read.
        shared.health.borrow().check_readable()?;
    };
    let (generation, Some(database)) = (open.generation, open.database.as_ref()) else {
        return Err(JournalError::Unavailable("it is away".to_owned()));
    };
    let unreadable = &shared.file.unreadable;
    let read = || guarded(|| work(&View { txn: database.begin_read()?, shared, name }));
    let done = unreadable.check(name).and_then(|()| read());
    drop(open);
    done.map_err(|error| {
        let told = journal_error(&error);
        if is_damage(&error) {
            let line = || format!("channel {:?}: {error}", name.as_str());
            shared.damages.note(Kind::Name, name.shard(usize::MAX) as u64, (0, 0), line);
        } else {
            unreadable.blame(Some(name), &error);
            shared.suspect(generation, error);
        }
        told
    })
}

/// One channel as it is at one instant.
struct View<'a> {
    txn: ReadTransaction,
    shared: &'a Shared,
    name: &'a ChannelName,
}

/// The table of messages.
type Messages = ReadOnlyTable<(u64, u64), &'static [u8]>;

impl View<'_> {
    fn find(&self) -> Result<Option<(StoredChannel, Epoch, Messages)>> {
        let (names, channels) = (self.txn.open_table(NAMES)?, self.txn.open_table(CHANNELS)?);
        let losses = tables::totals(&self.txn.open_table(TOTALS)?)?.losses;
        let messages = self.txn.open_table(MESSAGES)?;
        let Some(stored) = stored_channel::find(&names, &channels, &messages, self.name)? else {
            return Ok(None);
        };
        for &(first, last) in &stored.damaged {
            self.note(stored.id, first, last);
        }
        if stored.torn == Torn::Yes {
            let line = || format!("channel {:?}: messages at one end", self.name.as_str());
            self.shared.damages.note(Kind::Channel, stored.id, (0, 0), line);
        }
        let epoch = stored.row.life(losses);
        Ok(Some((stored, epoch, messages)))
    }

    fn note(&self, id: u64, first: u64, last: u64) {
        let line = || format!("channel {:?}: messages {first} to {last}", self.name.as_str());
        self.shared.damages.note(Kind::Messages, id, (first, last), line);
    }

    fn load(&self, now: Timestamp) -> Result<Option<Loaded>> {
        let retention = self.retention();
        let most = (self.shared.options.tail.bytes / SHARE).min(BYTES_LOADED);
        let Some((stored, epoch, messages)) = self.find()? else { return Ok(None) };
        let (id, newest) = (stored.id, stored.row.newest);
        let mut oldest = stored.oldest;
        if let Some(age) = retention.age() {
            let cutoff = now.before(age);
            if oldest.1 < cutoff {
                let (first, at) = stored.first_unseen(&messages, |at, _| at < cutoff)?;
                oldest = (first, at.unwrap_or(stored.row.newest_at));
            }
        }
        // What is over the number is deleted in slices: some of it may still be there.
        let numbered = newest.saturating_sub(retention.messages().try_into().unwrap_or(u64::MAX)) + 1;
        oldest.0 = oldest.0.max(numbered);
        let damaged = (stored.whole < newest && oldest.0 <= newest)
            .then(|| (Seq::new(oldest.0.max(stored.whole + 1)), Seq::new(newest)));
        Ok(Some(Loaded {
            life: None,
            epoch,
            oldest: (Seq::new(oldest.0), oldest.1),
            newest: (Seq::new(newest), stored.row.newest_at),
            ended: stored.row.ended,
            tail: tail(&messages, id, (oldest.0, newest), most)?,
            damaged,
        }))
    }

    /// The keys of a channel that are within their window and number, oldest first. What is damaged is forgotten early.
    fn keys(&self, now: Timestamp) -> Result<Vec<KeptKey>> {
        let Some((StoredChannel { id, .. }, ..)) = self.find()? else { return Ok(Vec::new()) };
        let retention = self.retention();
        let cutoff = now.before(retention.idempotency).as_micros();
        let table = self.txn.open_table(KEYS)?;
        let mut keys = Vec::new();
        let mut range = table.range((id, cutoff, 0)..=(id, u64::MAX, u64::MAX))?.rev().take(retention.keys);
        while let Some((key, row)) = passing_damage(guarded(|| Ok(range.next().transpose()?)))? {
            let key = key.value();
            if let Ok(kept) = decode_key(key, row.value()) {
                keys.push(kept);
            } else {
                let line = || format!("channel {:?}: an idempotency key", self.name.as_str());
                self.shared.damages.note(Kind::Keys, id, (key.1, key.1), line);
            }
        }
        keys.reverse();
        Ok(keys)
    }

    fn retention(&self) -> Retention {
        self.shared.host.get().map(|host| *host.retention()).unwrap_or_default()
    }

    fn read(&self, stretch: &Stretch) -> Result<Option<Piece>> {
        let Some((stored, epoch, messages)) = self.find()? else { return Ok(None) };
        if epoch != stretch.epoch {
            return Ok(None);
        }
        let (id, newest) = (stored.id, stored.row.newest);
        let first = stretch.after.get() + 1;
        let oldest = (Seq::new(stored.oldest.0), stored.oldest.1);
        if first < stored.oldest.0 || first > newest {
            return Ok(Some(Piece { oldest, messages: Vec::new(), damaged: None }));
        }
        let given = run_from(&messages, id, (first, newest), stretch.limit)?;
        let mut damaged = None;
        if given.is_empty() {
            for seq in first..=newest.min(first.saturating_add(SKIPPED)) {
                match one(&messages, id, seq)? {
                    // The first one is known to be none.
                    Ok(()) if seq > first => break,
                    Ok(()) | Err(Fault::Damaged(_)) => self.note(id, seq, seq),
                    Err(Fault::Lost) => {}
                }
                damaged = Some(Seq::new(seq));
            }
        }
        Ok(Some(Piece { oldest, messages: given, damaged }))
    }

    fn locate(&self, epoch: Epoch, landmark: Landmark) -> Result<Option<Located>> {
        match self.find()? {
            Some((stored, life, messages)) if life == epoch => stored.locate(&messages, landmark).map(Some),
            _ => Ok(None),
        }
    }
}

/// The newest messages of a channel, oldest first, as far as they can be read one behind the other, and weigh no more
/// than `most`.
fn tail(messages: &Messages, id: u64, (oldest, newest): (u64, u64), most: u64) -> Result<Vec<Arc<Message>>> {
    let mut tail = Vec::new();
    let (mut bytes, mut expected) = (0, newest);
    let mut range = messages.range((id, oldest)..=(id, newest.max(oldest)))?.rev();
    while let Some((key, row)) = passing_damage(guarded(|| Ok(range.next().transpose()?)))? {
        bytes += format::weight(row.value());
        if !tail.is_empty() && (bytes > most || tail.len() as u64 >= MESSAGES_LOADED) {
            break;
        }
        let message = decode_message(id, expected, row.value());
        let Some(message) = message.ok().filter(|_| key.value() == (id, expected)) else { break };
        tail.push(message);
        expected -= 1;
    }
    tail.reverse();
    Ok(tail)
}

/// Messages from the first one on, up to one that cannot be read.
fn run_from(
    messages: &Messages,
    id: u64,
    (first, newest): (u64, u64),
    limit: Limit,
) -> Result<Vec<Arc<Message>>> {
    let mut given: Vec<Arc<Message>> = Vec::new();
    let (mut bytes, mut expected) = (0, first);
    let mut range = messages.range((id, first)..=(id, newest))?.take(limit.messages);
    while let Some((key, row)) = passing_damage(guarded(|| Ok(range.next().transpose()?)))? {
        let message = decode_message(id, expected, row.value());
        let Some(message) = message.ok().filter(|_| key.value() == (id, expected)) else { break };
        if !given.is_empty() && bytes + message.payload.len() > limit.bytes {
            break;
        }
        bytes += message.payload.len();
        expected += 1;
        given.push(message);
    }
    Ok(given)
}

/// Whether one message can be read.
fn one(messages: &Messages, id: u64, seq: u64) -> Result<std::result::Result<(), Fault>> {
    let row = passing_damage(guarded(|| {
        let row = messages.get((id, seq))?;
        Ok(row.map(|row| decode_head(id, seq, row.value()).map(drop)))
    }))?;
    Ok(row.unwrap_or(Err(Fault::Damaged("a message"))))
}
