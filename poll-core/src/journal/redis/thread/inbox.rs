//! What workers hand to the journal's thread. They never wait for it.

use std::collections::BTreeSet;

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
}

#[derive(Default)]
pub(crate) struct Requests {
    pub(crate) publishes: Vec<PendingPublish>,
    pub(crate) questions: Vec<Question>,
    pub(crate) checks: Vec<Check>,
    /// Partitions to look at.
    pub(crate) refreshes: BTreeSet<Partition>,
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
        Self { requests: Mutex::new(Some(Requests::default())), wake: Notify::new() }
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

    /// Asks for a look at a partition, unless that is asked for already.
    pub(crate) fn refresh(&self, partition: Partition) {
        let is_new = match self.requests.lock().as_mut() {
            Some(requests) => requests.refreshes.insert(partition),
            None => false,
        };
        if is_new {
            self.wake.notify_one();
        }
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
