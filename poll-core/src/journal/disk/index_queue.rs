//! What waits for the indexer: a sealed segment, and what retention and readers ask for.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use redb::Error;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::fault::unavailable;
use super::log::recent::Memtable;
use crate::journal::Reply;
use crate::sync::Mutex;
use crate::types::{JournalError, Timestamp};

/// A segment of the log that is complete, or those that a crash left.
#[derive(Debug, Clone)]
pub(super) struct Sealed {
    /// Their numbers.
    pub(super) segments: RangeInclusive<u64>,
    pub(super) memtable: Arc<Memtable>,
}

/// What the indexer does next.
#[derive(Default)]
pub(super) struct IndexWork {
    pub(super) sealed: Option<Sealed>,
    /// Why the log was not sealed although it was asked for.
    pub(super) unsealed: Option<JournalError>,
    /// Delete what retention no longer covers as of this time.
    pub(super) sweep: Option<Timestamp>,
    /// Make room for another channel.
    pub(super) room: Vec<(Timestamp, Reply<bool>)>,
    /// A read of the database of this generation failed.
    pub(super) failed_read: Option<(u64, Error)>,
    /// Answered once no segment is left to move.
    pub(super) settling: Vec<Reply<()>>,
    /// The writer has ended; nothing more comes.
    pub(super) closing: Option<Closing>,
}

/// How the writer ended, and the replies to those that wait for the journal to be closed.
pub(super) struct Closing {
    /// Whether the log has everything that readers were shown.
    pub(super) written: Result<(), JournalError>,
    pub(super) replies: Vec<Reply<()>>,
}

impl Default for Closing {
    fn default() -> Self {
        Self { written: Ok(()), replies: Vec::new() }
    }
}

#[derive(Default)]
pub(super) struct IndexQueue {
    state: Mutex<State>,
    /// Wakes the indexer. A notification that comes while it is busy is kept.
    notify: Notify,
}

#[derive(Default)]
struct State {
    /// What has come since the indexer looked.
    work: Option<IndexWork>,
    /// The indexer has ended.
    ended: bool,
}

impl IndexQueue {
    /// A segment is complete. There is at most one at a time.
    pub(super) fn seal(&self, sealed: Sealed) {
        self.add(sealed, |work, sealed| work.sealed = Some(sealed));
    }

    /// The log cannot be sealed now.
    pub(super) fn not_sealed(&self, why: JournalError) {
        self.add(why, |work, why| work.unsealed = Some(why));
    }

    /// Answers once no segment is left to move.
    pub(super) fn settle(&self, reply: Reply<()>) {
        if let Some(reply) = self.add(reply, |work, reply| work.settling.push(reply)) {
            reply(Err(unavailable("it is closed")));
        }
    }

    pub(super) fn sweep(&self, now: Timestamp) {
        self.add(now, |work, now| work.sweep = work.sweep.max(Some(now)));
    }

    /// Asks for room for another channel.
    pub(super) fn make_room(&self, now: Timestamp, reply: Reply<bool>) {
        if let Some((_, reply)) = self.add((now, reply), |work, request| work.room.push(request)) {
            reply(Err(unavailable("it is closed")));
        }
    }

    pub(super) fn read_failed(&self, generation: u64, error: Error) {
        self.add((generation, error), |work, failed| {
            let is_late = work.failed_read.as_ref().is_some_and(|(newest, _)| *newest > failed.0);
            if !is_late {
                work.failed_read = Some(failed);
            }
        });
    }

    /// Nothing more comes.
    pub(super) fn close(&self, closing: Closing) {
        if let Some(closing) = self.add(closing, |work, closing| work.closing = Some(closing)) {
            closing.replies.into_iter().for_each(|reply| reply(closing.written.clone()));
        }
    }

    /// Adds to what there is to do; returns what it was given if the indexer has ended.
    fn add<T>(&self, what: T, add: impl FnOnce(&mut IndexWork, T)) -> Option<T> {
        let mut state = self.state.lock();
        if state.ended {
            return Some(what);
        }
        add(state.work.get_or_insert_default(), what);
        drop(state);
        self.notify.notify_one();
        None
    }

    /// Waits for work.
    pub(super) async fn next(&self) -> IndexWork {
        loop {
            if let Some(work) = self.state.lock().work.take() {
                return work;
            }
            self.notify.notified().await;
        }
    }

    /// Waits for work as long as `pause`; what is returned may be empty.
    pub(super) async fn next_within(&self, pause: Duration) -> IndexWork {
        // If the time is up, there is simply nothing to do.
        timeout(pause, self.next()).await.unwrap_or_default()
    }

    /// Takes whatever there is, and nothing more later.
    pub(super) fn end(&self) -> IndexWork {
        let mut state = self.state.lock();
        state.ended = true;
        state.work.take().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_after_the_end_is_refused_and_does_not_wait_forever() {
        let queue = IndexQueue::default();
        drop(queue.end());
        let (sender, answer) = std::sync::mpsc::channel();
        queue.settle(Box::new(move |settled| sender.send(settled).unwrap()));
        assert_eq!(answer.try_recv().unwrap(), Err(unavailable("it is closed")));
    }

    #[test]
    fn a_late_report_of_an_earlier_database_hides_no_other() {
        let queue = IndexQueue::default();
        queue.read_failed(2, Error::DatabaseClosed);
        queue.read_failed(1, Error::DatabaseClosed);
        assert!(matches!(queue.end().failed_read, Some((2, _))));
    }
}
