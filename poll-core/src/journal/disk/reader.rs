//! The threads that read the file, so that no worker waits for the disk: they load channels and keys, and find older messages.

use std::sync::Arc;

use redb::{ReadOnlyTable, ReadTransaction, ReadableDatabase};
use uuid::Uuid;

use super::codec::{Fault, decode_head, decode_key, decode_message};
use super::damage::Kind;
use super::fault::{guarded, is_damage, journal_error};
use super::format::{self, CHANNELS, KEYS, MESSAGES, NAMES, Result, TOTALS};
use super::log::recent::Part;
use super::read_queue::ReadRequest;
use super::shared::Shared;
use super::stored_channel::{self, StoredChannel, Torn, passing_damage};
use super::tables;
use crate::journal::{KeptKey, Landmark, Loaded, Located, Piece, Stretch};
use crate::types::{ChannelName, Ending, Epoch, JournalError, Limit, Message, Seq, Timestamp};

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
            let cutoff = shared.retention().cutoff(now);
            let look = |part: &Part| LogTail::of(part, cutoff);
            reply(with(shared, &name, look, |view| view.load(cutoff)));
        }
        ReadRequest::Keys(name, now, reply) => {
            let look = |part: &Part| part.keys.clone();
            reply(with(shared, &name, look, |view| view.keys(now)));
        }
        ReadRequest::Messages(stretch, reply) => {
            let look = |part: &Part| part.from(stretch.after.next(), stretch.limit.messages);
            reply(with(shared, &stretch.channel, look, |view| view.read(&stretch)));
        }
        ReadRequest::Locate(name, epoch, landmark, reply) => {
            let look = |part: &Part| part.first_unseen(|message| landmark.covers(message.at, message.id));
            reply(with(shared, &name, look, |view| view.locate(epoch, landmark)));
        }
    }
}

/// Runs `work` on a view of a channel, if the database is open; `look` takes what is needed of the log. After a failed read
/// the indexer opens the file again, and the health says so before this returns. Damage is the business of this channel
/// alone.
fn with<L, T>(
    shared: &Shared,
    name: &ChannelName,
    mut look: impl FnMut(&Part) -> L,
    work: impl FnOnce(&View<'_, L>) -> Result<T>,
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
    // The log first: what leaves it in between is in the database by then.
    let log = shared.recent.look(name, |part| InLog::of(part, &mut look));
    let read = || guarded(|| work(&View::of(shared, name, database.begin_read()?, log)?));
    let done = unreadable.check(name).and_then(|()| read());
    drop(open);
    done.map_err(|error| {
        let told = journal_error(&error);
        if is_damage(&error) {
            shared.note_damage(name, &error.to_string());
        } else {
            unreadable.blame(Some(name), &error);
            shared.suspect(generation, error);
        }
        told
    })
}

/// One channel as it is at one instant: in the database, in the log, or in both.
struct View<'a, L> {
    shared: &'a Shared,
    name: &'a ChannelName,
    txn: ReadTransaction,
    database: Option<InDatabase>,
    /// What the database has not, the older part first.
    log: Vec<InLog<L>>,
}

/// The table of messages.
type Messages = ReadOnlyTable<(u64, u64), &'static [u8]>;

/// What the database has of a channel.
struct InDatabase {
    stored: StoredChannel,
    epoch: Epoch,
    messages: Messages,
}

/// What a segment of the log has of a channel.
struct InLog<L> {
    epoch: Epoch,
    /// The number and time of its oldest message; those after the newest if it has none.
    first: (Seq, Timestamp),
    newest: (Seq, Timestamp),
    ending: Ending,
    found: L,
}

/// What a load needs of a segment.
struct LogTail {
    /// The number and time of the first message that is not too old.
    young: (Seq, Option<Timestamp>),
    newest: Vec<Arc<Message>>,
}

impl LogTail {
    fn of(part: &Part, cutoff: Timestamp) -> Self {
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
        Self {
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
        txn: ReadTransaction,
        mut log: Vec<InLog<L>>,
    ) -> Result<Self> {
        let mut database = find(&txn, name)?;
        if let Some(InDatabase { stored, epoch, .. }) = &database {
            let (row, life) = (&stored.row, *epoch);
            log.retain(|part| {
                let is_new = part.newest.0.get() > row.newest || (part.ending == Ending::Close && !row.ended);
                is_new || part.epoch != life
            });
            for &(first, last) in &stored.damaged {
                note(shared, name, stored.id, first, last);
            }
            if stored.torn == Torn::Yes {
                let line = || format!("channel {:?}: messages at one end", name.as_str());
                shared.damages.note(Kind::Channel, stored.id, (0, 0), line);
            }
            // Retention by number has left nothing of it, or it is another life.
            let outlived =
                log.first().is_some_and(|part| part.epoch != life || part.first.0.get() > row.newest + 1);
            if outlived {
                database = None;
            }
        }
        Ok(Self { shared, name, txn, database, log })
    }

    /// `None` if there is no such channel.
    fn epoch(&self) -> Option<Epoch> {
        let in_log = self.log.last().map(|part| part.epoch);
        in_log.or(self.database.as_ref().map(|database| database.epoch))
    }

    fn oldest(&self) -> (Seq, Timestamp) {
        match (&self.database, self.log.first()) {
            (Some(InDatabase { stored, .. }), first) => {
                let is_empty = stored.oldest.0 > stored.row.newest;
                let first = first.filter(|_| is_empty).map(|part| part.first);
                first.unwrap_or((Seq::new(stored.oldest.0), stored.oldest.1))
            }
            (None, first) => first.map_or((Seq::ZERO, Timestamp::ZERO), |part| part.first),
        }
    }

    fn newest(&self) -> (Seq, Timestamp) {
        let stored =
            |database: &InDatabase| (Seq::new(database.stored.row.newest), database.stored.row.newest_at);
        let stored = self.database.as_ref().map_or((Seq::ZERO, Timestamp::ZERO), stored);
        // A segment that only closes the channel has no time.
        self.log.iter().fold(stored, |(_, at), part| (part.newest.0, at.max(part.newest.1)))
    }

    fn is_ended(&self) -> bool {
        self.log.iter().any(|part| part.ending == Ending::Close)
            || self.database.as_ref().is_some_and(|database| database.stored.row.ended)
    }

    /// The first message that `seen` does not cover, given what was found of that in the log.
    fn first_unseen(
        &self,
        seen: impl Fn(Timestamp, Uuid) -> bool,
        in_log: impl Fn(&L) -> (Seq, Option<Timestamp>),
    ) -> Result<(Seq, Option<Timestamp>)> {
        if let Some(InDatabase { stored, messages, .. }) = &self.database {
            let (first, at) = stored.first_unseen(messages, seen)?;
            if first <= stored.row.newest {
                return Ok((Seq::new(first), at));
            }
        }
        let found = self.log.iter().map(|part| in_log(&part.found)).find(|(_, at)| at.is_some());
        Ok(found.unwrap_or((self.newest().0.next(), None)))
    }
}

impl View<'_, LogTail> {
    fn load(&self, cutoff: Timestamp) -> Result<Option<Loaded>> {
        let Some(epoch) = self.epoch() else { return Ok(None) };
        let (mut oldest, newest) = (self.oldest(), self.newest());
        if oldest.1 < cutoff {
            let (first, at) = self.first_unseen(|at, _| at < cutoff, |tail| tail.young)?;
            oldest = (first, at.unwrap_or(newest.1));
        }
        // What is over the number is deleted in slices: some of it may still be there.
        let most = self.shared.retention().messages().try_into().unwrap_or(u64::MAX);
        oldest.0 = oldest.0.max(Seq::new(newest.0.get().saturating_sub(most) + 1));
        let whole = self.database.as_ref().map(|database| database.stored.whole);
        let whole =
            whole.filter(|whole| self.log.is_empty() && *whole < newest.0.get() && oldest.0 <= newest.0);
        let damaged = whole.map(|whole| (oldest.0.max(Seq::new(whole + 1)), newest.0));
        let (ended, tail) = (self.is_ended(), self.tail(oldest.0)?);
        Ok(Some(Loaded { life: None, epoch, oldest, newest, ended, tail, damaged }))
    }

    /// The newest messages, oldest first, as far as they can be read one behind the other and one load may bring them into
    /// memory.
    fn tail(&self, oldest: Seq) -> Result<Vec<Arc<Message>>> {
        let most = (self.shared.options.tail.bytes / SHARE).min(BYTES_LOADED);
        let mut tail = Tail { messages: Vec::new(), bytes: 0, most };
        for message in self.log.iter().rev().flat_map(|part| part.found.newest.iter().rev()) {
            if message.seq < oldest || !tail.take(message.weight(), || Some(Arc::clone(message))) {
                return Ok(tail.oldest_first());
            }
        }
        if let Some(InDatabase { stored, messages, .. }) = &self.database {
            let (id, mut expected) = (stored.id, stored.row.newest);
            let last = (id, expected.max(oldest.get()));
            let mut range = messages.range((id, oldest.get())..=last)?.rev();
            while let Some((key, row)) = passing_damage(guarded(|| Ok(range.next().transpose()?)))? {
                let decode = || {
                    let message = decode_message(id, expected, row.value());
                    message.ok().filter(|_| key.value() == (id, expected))
                };
                if !tail.take(format::weight(row.value()), decode) {
                    break;
                }
                expected -= 1;
            }
        }
        Ok(tail.oldest_first())
    }
}

/// The messages of a load, newest first.
struct Tail {
    messages: Vec<Arc<Message>>,
    bytes: u64,
    most: u64,
}

impl Tail {
    /// Takes one more; returns whether there was room for it, and it could be read.
    fn take(&mut self, weight: u64, message: impl FnOnce() -> Option<Arc<Message>>) -> bool {
        self.bytes += weight;
        let is_full = self.bytes > self.most || self.messages.len() as u64 >= MESSAGES_LOADED;
        if is_full && !self.messages.is_empty() {
            return false;
        }
        let message = message();
        let is_whole = message.is_some();
        self.messages.extend(message);
        is_whole
    }

    fn oldest_first(mut self) -> Vec<Arc<Message>> {
        self.messages.reverse();
        self.messages
    }
}

impl View<'_, Vec<KeptKey>> {
    /// The keys of a channel that are within their window and number, oldest first. What is damaged is forgotten early.
    fn keys(&self, now: Timestamp) -> Result<Vec<KeptKey>> {
        let retention = self.shared.retention();
        let cutoff = now.before(retention.idempotency);
        let in_log = self.log.iter().rev().flat_map(|part| part.found.iter().rev());
        let mut keys: Vec<_> =
            in_log.filter(|kept| kept.taken >= cutoff).take(retention.keys).cloned().collect();
        if let Some(InDatabase { stored: StoredChannel { id, .. }, .. }) = &self.database {
            let (id, most) = (*id, retention.keys - keys.len());
            let table = self.txn.open_table(KEYS)?;
            let mut range =
                table.range((id, cutoff.as_micros(), 0)..=(id, u64::MAX, u64::MAX))?.rev().take(most);
            while let Some((key, row)) = passing_damage(guarded(|| Ok(range.next().transpose()?)))? {
                let key = key.value();
                if let Ok(kept) = decode_key(key, row.value()) {
                    keys.push(kept);
                } else {
                    let line = || format!("channel {:?}: an idempotency key", self.name.as_str());
                    self.shared.damages.note(Kind::Keys, id, (key.1, key.1), line);
                }
            }
        }
        keys.reverse();
        Ok(keys)
    }
}

impl View<'_, Vec<Arc<Message>>> {
    fn read(&self, stretch: &Stretch) -> Result<Option<Piece>> {
        if self.epoch() != Some(stretch.epoch) {
            return Ok(None);
        }
        let (oldest, first) = (self.oldest(), stretch.after.next());
        if first < oldest.0 || first > self.newest().0 {
            return Ok(Some(Piece { oldest, messages: Vec::new(), damaged: None }));
        }
        let mut given = Given { messages: Vec::new(), next: first, bytes: 0, limit: stretch.limit };
        let mut damaged = None;
        if let Some(InDatabase { stored, messages, .. }) = &self.database
            && first.get() <= stored.row.newest
        {
            given.take_rows(messages, stored.id, stored.row.newest)?;
            if given.messages.is_empty() {
                damaged = self.damaged_from(messages, stored, first.get())?;
            }
        }
        if damaged.is_none() {
            let in_log = self.log.iter().flat_map(|part| &part.found);
            let next = given.next;
            for message in in_log.skip_while(|message| message.seq < next) {
                if message.seq != given.next || !given.take(Arc::clone(message)) {
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
                Ok(()) | Err(Fault::Damaged(_)) => note(self.shared, self.name, stored.id, seq, seq),
                Err(Fault::Lost) => {}
            }
            damaged = Some(Seq::new(seq));
        }
        Ok(damaged)
    }
}

impl View<'_, (Seq, Option<Timestamp>)> {
    fn locate(&self, epoch: Epoch, landmark: Landmark) -> Result<Option<Located>> {
        if self.epoch() != Some(epoch) {
            return Ok(None);
        }
        let (first, at) = self.first_unseen(|at, id| landmark.covers(at, id), |unseen| *unseen)?;
        let before = (first > self.oldest().0).then(|| first.previous());
        Ok(Some(Located { before, after: at.map(|at| (first, at)), end: self.newest().0.next() }))
    }
}

fn find(txn: &ReadTransaction, name: &ChannelName) -> Result<Option<InDatabase>> {
    let (names, channels) = (txn.open_table(NAMES)?, txn.open_table(CHANNELS)?);
    let losses = tables::totals(&txn.open_table(TOTALS)?)?.losses;
    let messages = txn.open_table(MESSAGES)?;
    let stored = stored_channel::find(&names, &channels, &messages, name)?;
    Ok(stored.map(|stored| InDatabase { epoch: stored.row.life(losses), stored, messages }))
}

fn note(shared: &Shared, name: &ChannelName, id: u64, first: u64, last: u64) {
    let line = || format!("channel {:?}: messages {first} to {last}", name.as_str());
    shared.damages.note(Kind::Messages, id, (first, last), line);
}

/// The messages of a [`Piece`].
struct Given {
    messages: Vec<Arc<Message>>,
    /// The number that comes next.
    next: Seq,
    bytes: usize,
    limit: Limit,
}

impl Given {
    /// Takes one more; returns whether there was room for it.
    fn take(&mut self, message: Arc<Message>) -> bool {
        let bytes = self.bytes + message.payload.len();
        let is_full = self.messages.len() >= self.limit.messages || bytes > self.limit.bytes;
        if is_full && !self.messages.is_empty() {
            return false;
        }
        (self.bytes, self.next) = (bytes, message.seq.next());
        self.messages.push(message);
        true
    }

    /// Takes rows up to one that cannot be read.
    fn take_rows(&mut self, messages: &Messages, id: u64, newest: u64) -> Result<()> {
        let mut range = messages.range((id, self.next.get())..=(id, newest))?.take(self.limit.messages);
        while let Some((key, row)) = passing_damage(guarded(|| Ok(range.next().transpose()?)))? {
            let expected = self.next.get();
            let message = decode_message(id, expected, row.value());
            let Some(message) = message.ok().filter(|_| key.value() == (id, expected)) else { break };
            if !self.take(message) {
                break;
            }
        }
        Ok(())
    }
}

/// Whether one message can be read.
fn one(messages: &Messages, id: u64, seq: u64) -> Result<std::result::Result<(), Fault>> {
    let row = passing_damage(guarded(|| {
        let row = messages.get((id, seq))?;
        Ok(row.map(|row| decode_head(id, seq, row.value()).map(drop)))
    }))?;
    Ok(row.unwrap_or(Err(Fault::Damaged("a message"))))
}
