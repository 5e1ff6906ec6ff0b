//! What workers hand to the journal's thread. They never wait for it.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::ask::{Ask, Check, Question};
use super::publish_queue::PendingPublish;
use crate::journal::Reply;
use crate::journal::redis::log::partition::Partition;
use crate::sync::Mutex;
use crate::types::JournalError;

/// The requests that the journal's thread has not looked at.
pub(crate) struct Inbox {
    /// `None` once the journal has ended.
    requests: Mutex<Option<Requests>>,
    wake: Notify,
    /// Which partitions to look at, a bit each. Taken at the next tick: readers that wait anyway ask for it, and a look for
    /// each would cost more than their waiting.
    refreshes: [AtomicU64; Partition::COUNT / 64],
}

#[derive(Default)]
pub(crate) struct Requests {
    pub(crate) publishes: Vec<PendingPublish>,
    pub(crate) questions: Vec<Question>,
    pub(crate) checks: Vec<Check>,
    /// To be answered when the journal is closed.
    pub(crate) closes: Vec<Reply<()>>,
    /// The last handle of the journal was dropped.
    pub(crate) is_dropped: bool,
}

pub(crate) enum Request {
    Publish(PendingPublish),
    Question(Question),
    Check(Check),
    Close(Reply<()>),
}

impl Inbox {
    pub(crate) fn new() -> Self {
        let refreshes = Default::default();
        Self { requests: Mutex::new(Some(Requests::default())), wake: Notify::new(), refreshes }
    }

    /// Adds a request; returns it if the journal has ended.
    pub(crate) fn add(&self, request: Request) -> Option<Request> {
        {
            let mut requests = self.requests.lock();
            let Some(requests) = requests.as_mut() else { return Some(request) };
            match request {
                Request::Publish(publish) => requests.publishes.push(publish),
                Request::Question(question) => requests.questions.push(question),
                Request::Check(check) => requests.checks.push(check),
                Request::Close(reply) => requests.closes.push(reply),
            }
        }
        self.wake.notify_one();
        None
    }

    /// Asks for a look at a partition, at the next tick.
    pub(crate) fn refresh(&self, partition: Partition) {
        let (word, bit) = (partition.index() / 64, 1 << (partition.index() % 64));
        self.refreshes[word].fetch_or(bit, Ordering::Relaxed);
    }

    /// Takes the partitions to look at.
    pub(crate) fn take_refreshes(&self) -> impl Iterator<Item = Partition> + use<> {
        let words = self.refreshes.each_ref().map(|word| word.swap(0, Ordering::Relaxed));
        Partition::all()
            .filter(move |partition| words[partition.index() / 64] & 1 << (partition.index() % 64) != 0)
    }

    /// The last handle of the journal was dropped.
    pub(crate) fn abandon(&self) {
        if let Some(requests) = self.requests.lock().as_mut() {
            requests.is_dropped = true;
        }
        self.wake.notify_one();
    }

    /// Waits until there are requests, and takes them.
    pub(crate) async fn take(&self) -> Requests {
        self.wake.notified().await;
        self.requests.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The journal ends: there are no more requests than these.
    pub(crate) fn end(&self) -> Requests {
        self.requests.lock().take().unwrap_or_default()
    }
}

impl Request {
    /// It will not be done.
    pub(crate) fn fail(self, error: &JournalError) {
        match self {
            Self::Publish(publish) => (publish.reply)(Err(error.clone().into())),
            Self::Question(question) => Ask::new(question).fail(error),
            Self::Check(check) => (check.reply)(Err(error.clone())),
            // There is nothing left to close.
            Self::Close(reply) => reply(Ok(())),
        }
    }
}

impl Requests {
    /// None of them will be done.
    pub(crate) fn fail(self, error: &JournalError) {
        let publishes = self.publishes.into_iter().map(Request::Publish);
        let questions = self.questions.into_iter().map(Request::Question);
        let checks = self.checks.into_iter().map(Request::Check);
        let closes = self.closes.into_iter().map(Request::Close);
        publishes.chain(questions).chain(checks).chain(closes).for_each(|request| request.fail(error));
    }
}
