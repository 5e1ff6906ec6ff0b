//! Answers that are given once no lock is held: they call back into the store, and that calls back into the journal.

use crate::journal::{Outcome, PublishReply, Reply};
use crate::types::{JournalError, PublishError};

/// A publisher whose publish is kept, and what it is told once that is visible.
pub(crate) struct Publisher {
    pub(crate) reply: PublishReply,
    pub(crate) outcome: Outcome,
}

/// A check or a seal that waits until something is visible.
pub(crate) enum Waiting {
    Check(Reply<()>),
    /// With the millisecond that is sealed.
    Seal(Reply<u64>, u64),
    /// A publisher whose publish was kept before.
    Repeated(Publisher),
}

/// A later generation began, because Redis had lost something.
pub(crate) fn replaced() -> JournalError {
    JournalError::OutcomeUnknown("Redis lost something meanwhile".to_owned())
}

/// Answers that are to be given.
#[derive(Default)]
#[must_use = "they have to be given"]
pub(crate) struct Answers(Vec<Answer>);

enum Answer {
    Publish(PublishReply, Result<Outcome, PublishError>),
    Other(Box<dyn FnOnce() + Send>),
}

impl Answers {
    pub(crate) fn publish(&mut self, reply: PublishReply, answer: Result<Outcome, PublishError>) {
        self.0.push(Answer::Publish(reply, answer));
    }

    pub(crate) fn visible(&mut self, Publisher { reply, outcome }: Publisher) {
        self.publish(reply, Ok(outcome));
    }

    /// A publisher whose publish may be lost with the generation that it was kept in.
    pub(crate) fn doubtful(&mut self, Publisher { reply, .. }: Publisher) {
        self.publish(reply, Err(replaced().into()));
    }

    pub(crate) fn waited(&mut self, waiting: Waiting) {
        match waiting {
            Waiting::Check(reply) => self.reply(reply, Ok(())),
            Waiting::Seal(reply, millis) => self.reply(reply, Ok(millis)),
            Waiting::Repeated(publisher) => self.visible(publisher),
        }
    }

    pub(crate) fn reply<T: Send + 'static>(&mut self, reply: Reply<T>, answer: Result<T, JournalError>) {
        self.push(move || reply(answer));
    }

    pub(crate) fn push(&mut self, answer: impl FnOnce() + Send + 'static) {
        self.0.push(Answer::Other(Box::new(answer)));
    }

    /// Gives them. No lock of the journal may be held.
    pub(crate) fn give(self) {
        for answer in self.0 {
            match answer {
                Answer::Publish(reply, answer) => reply(answer),
                Answer::Other(give) => give(),
            }
        }
    }
}
