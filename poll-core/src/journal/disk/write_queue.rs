//! What waits for the writer: publishes of all channels in the order in which they came, and commands.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use super::options::Durability;
use crate::journal::{Append, Minted, Reply, WriteBehind};
use crate::sync::{Mutex, MutexGuard};
use crate::types::JournalError;

/// The limit on one commit. Larger ones gain nothing, and make the first publisher wait.
const BATCH: usize = 4_096;
const BATCH_BYTES: u64 = 8 << 20;

/// A publish to be committed.
pub(super) struct PendingAppend {
    pub(super) append: Append<Minted>,
    /// Told of the commit if the publish is visible already; otherwise its publisher waits.
    write_behind: Option<WriteBehind>,
    pub(super) bytes: u64,
}

impl PendingAppend {
    /// A publish whose publisher waits for the commit.
    pub(super) fn waiting(append: Append<Minted>, bytes: u64) -> Self {
        Self { append, write_behind: None, bytes }
    }

    /// A publish that is visible before its commit, which is tried again until it succeeds.
    pub(super) fn visible(append: &Append<Minted>, bytes: u64) -> Self {
        Self { append: append.copy(), write_behind: Some(append.write_behind()), bytes }
    }

    pub(super) fn is_visible(&self) -> bool {
        self.write_behind.is_some()
    }

    /// It is kept.
    pub(super) fn kept(self) {
        match self.write_behind {
            Some(write_behind) => write_behind.kept(),
            None => self.append.kept(),
        }
    }

    /// It could not be kept. Comes back if it is visible already, to be tried again.
    pub(super) fn failed(self, why: JournalError) -> Option<Self> {
        if self.is_visible() {
            return Some(self);
        }
        self.append.failed(why);
        None
    }
}

/// Something for the writer to do besides committing publishes.
pub(super) enum Command {
    /// Check that the files can still be used.
    Verify,
    /// Seal the active segment, if there is something in it, and answer once it is in the database.
    Seal(Option<Reply<()>>),
    /// Close the journal.
    Close(Reply<()>),
}

/// What commands since the last batch ask for, besides to close.
#[derive(Default)]
pub(super) struct Commands {
    pub(super) verify: bool,
    pub(super) seal: bool,
    pub(super) settling: Vec<Reply<()>>,
}

/// What the writer does next.
pub(super) struct Work {
    pub(super) entries: Vec<PendingAppend>,
    pub(super) commands: Commands,
    /// No more work will come.
    pub(super) closed: bool,
}

#[derive(Default)]
pub(super) struct WriteQueue {
    state: Mutex<State>,
    /// Wakes the writer. A notification that comes while it is busy is kept.
    notify: Notify,
}

/// Reservation for one more publish.
pub(super) struct Reservation<'a> {
    queue: &'a WriteQueue,
    state: MutexGuard<'a, State>,
}

#[derive(Default)]
struct State {
    entries: VecDeque<PendingAppend>,
    bytes: u64,
    /// When the first entry has to be committed.
    due: Option<Instant>,
    commands: Commands,
    /// Answered when the journal is closed.
    closing: Vec<Reply<()>>,
    /// Accepts no more publishes.
    closed: bool,
    /// Accepts nothing more.
    ended: bool,
}

impl WriteQueue {
    /// Reserves room for a publish of this size, if it fits within `max` bytes. The queue is locked until the room is used.
    pub(super) fn reserve(&self, bytes: u64, max: u64) -> Option<Reservation<'_>> {
        let state = self.state.lock();
        let is_full = state.closed || (state.bytes + bytes > max && !state.entries.is_empty());
        (!is_full).then_some(Reservation { queue: self, state })
    }

    /// The payload that waits.
    pub(super) fn bytes(&self) -> u64 {
        self.state.lock().bytes
    }

    /// Returns publishes that could not be committed yet to the front.
    pub(super) fn put_back(&self, entries: Vec<PendingAppend>) {
        let mut state = self.state.lock();
        for entry in entries.into_iter().rev() {
            state.bytes += entry.bytes;
            state.entries.push_front(entry);
        }
    }

    /// Sends a command; returns it if the writer has ended.
    pub(super) fn send(&self, command: Command) -> Result<(), Command> {
        let mut state = self.state.lock();
        if state.ended {
            return Err(command);
        }
        match command {
            Command::Verify => state.commands.verify = true,
            Command::Seal(reply) => {
                state.commands.seal = true;
                state.commands.settling.extend(reply);
            }
            Command::Close(reply) => {
                state.closed = true;
                state.closing.push(reply);
            }
        }
        drop(state);
        self.notify.notify_one();
        Ok(())
    }

    /// Accepts no more publishes.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.notify.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    pub(super) async fn closed(&self) {
        while !self.is_closed() {
            self.notify.notified().await;
        }
    }

    /// Accepts nothing more. Returns the publishes that are left, and the replies to give once the journal is closed.
    pub(super) fn end(&self) -> (Vec<PendingAppend>, Vec<Reply<()>>) {
        let mut state = self.state.lock();
        (state.closed, state.ended) = (true, true);
        // Replies that are dropped count as failures.
        let commands = std::mem::take(&mut state.commands);
        let left = (state.drain(), std::mem::take(&mut state.closing));
        drop(state);
        drop(commands);
        left
    }

    /// Waits until there is work; returns a batch of publishes and all commands.
    pub(super) async fn next(&self) -> Work {
        loop {
            let due = match self.next_batch() {
                Ok(work) => return work,
                Err(due) => due,
            };
            let notified = self.notify.notified();
            match due {
                None => notified.await,
                // Either way, the queue is looked at again.
                Some(due) => drop(timeout_at(due, notified).await),
            }
        }
    }

    /// The next batch if there is one to commit or a command to run; else when to look again.
    fn next_batch(&self) -> Result<Work, Option<Instant>> {
        let mut state = self.state.lock();
        let is_over = |due| due <= Instant::now();
        let due = state.is_full() || (!state.entries.is_empty() && state.due.is_none_or(is_over));
        if !due && !state.has_commands() {
            return Err(state.due);
        }
        let entries = if due || state.closed { state.take() } else { Vec::new() };
        Ok(Work { entries, commands: std::mem::take(&mut state.commands), closed: state.closed })
    }

    /// While nothing can be committed: waits for commands, for publishes to refuse, or for as long as `pause`. Publishes that
    /// are visible already stay in the queue.
    pub(super) async fn next_commands(&self, pause: Duration) -> Work {
        let waited = timeout(pause, async {
            while !self.has_commands_or_waiting() {
                self.notify.notified().await;
            }
        });
        // If the time is up, there is simply nothing to do.
        drop(waited.await);
        let mut state = self.state.lock();
        let entries = state.drain_waiting();
        let commands = std::mem::take(&mut state.commands);
        Work { entries, commands, closed: state.closed }
    }

    fn has_commands_or_waiting(&self) -> bool {
        let state = self.state.lock();
        state.has_commands() || state.holds_waiting()
    }

    /// Takes all publishes.
    pub(super) fn drain(&self) -> Vec<PendingAppend> {
        self.state.lock().drain()
    }

    /// Takes all publishes whose publishers wait. `each` is called with them before anything else is queued.
    pub(super) fn drain_waiting(&self, each: impl FnMut(&PendingAppend)) -> Vec<PendingAppend> {
        let mut state = self.state.lock();
        let waiting = state.drain_waiting();
        waiting.iter().for_each(each);
        waiting
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().entries.is_empty()
    }
}

impl Reservation<'_> {
    /// Adds the publish.
    pub(super) fn push(self, entry: PendingAppend, durability: Durability) {
        let Self { queue, mut state } = self;
        state.bytes += entry.bytes;
        state.entries.push_back(entry);
        let mut wake = true;
        if let Durability::Interval(interval) = durability {
            // The writer has to learn when the first is due, and of a full batch; the others can wait.
            wake = state.due.is_none() || state.is_full();
            state.due.get_or_insert_with(|| Instant::now() + interval);
        }
        drop(state);
        if wake {
            queue.notify.notify_one();
        }
    }
}

impl State {
    fn is_full(&self) -> bool {
        self.entries.len() >= BATCH || self.bytes >= BATCH_BYTES
    }

    /// Whether publishers wait for the commit. Depending on the durability, either all do or none.
    fn holds_waiting(&self) -> bool {
        self.entries.back().is_some_and(|entry| !entry.is_visible())
    }

    fn drain_waiting(&mut self) -> Vec<PendingAppend> {
        if self.holds_waiting() { self.drain() } else { Vec::new() }
    }

    fn drain(&mut self) -> Vec<PendingAppend> {
        (self.bytes, self.due) = (0, None);
        std::mem::take(&mut self.entries).into()
    }

    /// Whether there is something to do besides committing.
    fn has_commands(&self) -> bool {
        self.closed || self.commands.verify || self.commands.seal
    }

    fn take(&mut self) -> Vec<PendingAppend> {
        let mut bytes = 0;
        let fits = |entry: &&PendingAppend| {
            let fits = bytes < BATCH_BYTES;
            bytes += entry.bytes;
            fits
        };
        let count = self.entries.iter().take(BATCH).take_while(fits).count();
        let batch: Vec<PendingAppend> = self.entries.drain(..count).collect();
        self.bytes -= batch.iter().map(|entry| entry.bytes).sum::<u64>();
        // What is left keeps the time at which it is due.
        if self.entries.is_empty() {
            self.due = None;
        }
        batch
    }
}
