//! What is asked of a server besides publishing: for the store, for its readers' checks, and for the follower.
//!
//! None of it changes anything that a second time would change again, so what got no answer is asked again.

use redis::Cmd;
use tokio::time::Instant;

use crate::journal::redis::connect::connection::ANSWER;
use crate::journal::redis::log::generation::Mark;
use crate::journal::redis::log::partition::Partition;
use crate::journal::redis::log::script::{
    Call, Known, Lapsed, ListForks, Load, Locate, Look, Names, Newest, Read, Renew, Script, Seal, State,
};
use crate::journal::{Forks, Loaded, Located, Piece, Reply, Survey};
use crate::types::{ChannelName, JournalError, NamePart};

/// One question.
pub(crate) struct Ask {
    pub(crate) question: Question,
    /// When an error is given instead of an answer.
    pub(crate) deadline: Instant,
}

pub(crate) enum Question {
    /// For the store.
    Load(Load, Reply<Option<Loaded>>),
    Read(Read, Reply<Option<Piece>>),
    Locate(Locate, Reply<Option<Located>>),
    Seal(Seal, Reply<u64>),
    /// For a listing: names, and a channel without its messages, which does not bring it into memory.
    Names(Names, Reply<NamePart<u64>>),
    Summary(Load, Reply<Option<Loaded>>),
    Look(Look, Reply<Survey>),
    Forks(ListForks, Reply<Forks>),
    Lapsed(Lapsed, Reply<Vec<ChannelName>>),
    /// For the follower, and for the checks of readers that began before it is asked.
    State(State, Vec<Check>),
    /// The same, for a count of all channels.
    Count(State),
    /// For the follower.
    Renew(Renew, Mark),
    Compare(Newest),
    Follow(Read),
}

/// A reader that waits until everything published before is visible.
pub(crate) struct Check {
    pub(crate) channel: ChannelName,
    pub(crate) reply: Reply<()>,
    /// When an error is given instead of an answer, however often it was asked by then.
    pub(crate) deadline: Instant,
}

impl Check {
    pub(crate) fn new(channel: ChannelName, reply: Reply<()>) -> Self {
        Self { channel, reply, deadline: Instant::now() + ANSWER }
    }
}

impl Ask {
    pub(crate) fn new(question: Question) -> Self {
        Self { question, deadline: Instant::now() + ANSWER }
    }

    /// How far a partition is, for these checks: late as soon as one of them is.
    pub(crate) fn state(partition: Partition, checks: Vec<Check>) -> Self {
        let first = checks.iter().map(|check| check.deadline).min();
        let ask = Self::new(Question::State(State(partition), checks));
        Self { deadline: first.unwrap_or(ask.deadline), ..ask }
    }

    pub(crate) fn partition(&self) -> Partition {
        match &self.question {
            Question::Load(load, _) | Question::Summary(load, _) => Partition::of(&load.channel),
            Question::Names(names, _) => names.partition,
            Question::Read(read, _) | Question::Follow(read) => Partition::of(&read.0.channel),
            Question::Locate(locate, _) => Partition::of(&locate.channel),
            Question::Seal(seal, _) => Partition::of(&seal.channel),
            Question::Look(look, _) => Partition::of(&look.channel),
            Question::Forks(forks, _) => Partition::of(&forks.0),
            Question::Lapsed(lapsed, _) => lapsed.0,
            Question::State(state, _) | Question::Count(state) => state.0,
            Question::Renew(renew, _) => renew.partition,
            Question::Compare(newest) => newest.partition,
        }
    }

    /// Whether it makes sense only once the partition is known to be what it was.
    pub(crate) fn waits_for_partition(&self) -> bool {
        match self.question {
            Question::Load(..)
            | Question::Read(..)
            | Question::Locate(..)
            | Question::Seal(..)
            | Question::Names(..)
            | Question::Summary(..)
            | Question::Look(..)
            | Question::Forks(..)
            | Question::Lapsed(..) => true,
            Question::State(..)
            | Question::Count(_)
            | Question::Renew(..)
            | Question::Compare(_)
            | Question::Follow(_) => false,
        }
    }

    /// Whether a caller of the journal waits for the answer, not only the follower.
    pub(crate) fn has_asker(&self) -> bool {
        match &self.question {
            Question::State(_, checks) => !checks.is_empty(),
            // All else that callers ask is of what the partition holds.
            _ => self.waits_for_partition(),
        }
    }

    /// Whether it is asked every second for as long as there is no answer: by the pulse, or by the follower.
    pub(crate) fn returns(&self) -> bool {
        match &self.question {
            Question::State(_, checks) => checks.is_empty(),
            Question::Renew(..) => true,
            _ => false,
        }
    }

    /// Whether its answer may be large.
    pub(crate) fn is_large(&self) -> bool {
        matches!(self.question, Question::Load(..) | Question::Read(..) | Question::Follow(_))
    }

    pub(crate) fn command(&self, script: &Script, known: Known) -> Cmd {
        match &self.question {
            Question::Load(load, _) | Question::Summary(load, _) => load.command(script, known),
            Question::Names(names, _) => names.command(script, known),
            Question::Read(read, _) | Question::Follow(read) => read.command(script, known),
            Question::Locate(locate, _) => locate.command(script, known),
            Question::Seal(seal, _) => seal.command(script, known),
            Question::Look(look, _) => look.command(script, known),
            Question::Forks(forks, _) => forks.command(script, known),
            Question::Lapsed(lapsed, _) => lapsed.command(script, known),
            Question::State(state, _) | Question::Count(state) => state.command(script, known),
            Question::Renew(renew, found) => renew.command(script, Known { mark: *found, ..known }),
            Question::Compare(newest) => newest.command(script, known),
        }
    }

    /// Gives the caller the error. The follower asks again by itself.
    pub(crate) fn fail(self, error: &JournalError) {
        match self.question {
            Question::Load(_, reply) | Question::Summary(_, reply) => reply(Err(error.clone())),
            Question::Names(_, reply) => reply(Err(error.clone())),
            Question::Read(_, reply) => reply(Err(error.clone())),
            Question::Locate(_, reply) => reply(Err(error.clone())),
            Question::Seal(_, reply) => reply(Err(error.clone())),
            Question::Look(_, reply) => reply(Err(error.clone())),
            Question::Forks(_, reply) => reply(Err(error.clone())),
            Question::Lapsed(_, reply) => reply(Err(error.clone())),
            Question::State(_, checks) => {
                checks.into_iter().for_each(|check| (check.reply)(Err(error.clone())));
            }
            Question::Count(_) | Question::Renew(..) | Question::Compare(_) | Question::Follow(_) => {}
        }
    }
}
