//! What waits to be read from the file.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::journal::{KeptKey, Landmark, Listing, Loaded, Located, Piece, Reply, Selection, Stretch};
use crate::life::{Producer, ProducerId};
use crate::types::{ChannelName, Epoch, JournalError, Timestamp};

/// Something to read, and where the answer goes.
pub(super) enum ReadRequest {
    Load(ChannelName, Timestamp, Reply<Option<Loaded>>),
    Keys(ChannelName, Timestamp, Reply<Vec<KeptKey>>),
    Messages(Stretch, Reply<Option<Piece>>),
    Locate(ChannelName, Epoch, Landmark, Reply<Option<Located>>),
    Producers(ChannelName, Reply<Vec<(ProducerId, Producer)>>),
    Forks(ChannelName, Reply<bool>),
    Lapsed(Timestamp, Reply<Vec<ChannelName>>),
    List(Selection, Timestamp, Reply<Listing>),
}

impl ReadRequest {
    fn fail(self, why: &JournalError) {
        match self {
            Self::Load(_, _, reply) => reply(Err(why.clone())),
            Self::Keys(_, _, reply) => reply(Err(why.clone())),
            Self::Messages(_, reply) => reply(Err(why.clone())),
            Self::Locate(_, _, _, reply) => reply(Err(why.clone())),
            Self::Producers(_, reply) => reply(Err(why.clone())),
            Self::Forks(_, reply) => reply(Err(why.clone())),
            Self::Lapsed(_, reply) => reply(Err(why.clone())),
            Self::List(_, _, reply) => reply(Err(why.clone())),
        }
    }
}

/// The queue of all readers.
#[derive(Default)]
pub(super) struct ReadQueue {
    state: Mutex<State>,
    /// Wakes one reader, or keeps the notification for the next that comes.
    notify: Notify,
}

#[derive(Default)]
struct State {
    requests: VecDeque<ReadRequest>,
    closed: bool,
}

impl ReadQueue {
    pub(super) fn push(&self, request: ReadRequest) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return request.fail(&closed());
        }
        state.requests.push_back(request);
        drop(state);
        self.notify.notify_one();
    }

    /// Accepts nothing more, and fails what is still waiting.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let left = std::mem::take(&mut state.requests);
        drop(state);
        self.notify.notify_waiters();
        left.into_iter().for_each(|request| request.fail(&closed()));
    }

    /// The next request; `None` once the queue is closed.
    pub(super) async fn next(&self) -> Option<ReadRequest> {
        loop {
            // Made before the look, it hears of whatever happens after it.
            let notified = self.notify.notified();
            {
                let mut state = self.lock();
                let next = state.requests.pop_front();
                if next.is_some() || state.closed {
                    return next;
                }
            }
            notified.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closed() -> JournalError {
    JournalError::Unavailable("it is closed".to_owned())
}
