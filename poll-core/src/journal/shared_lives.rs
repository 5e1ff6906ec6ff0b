//! What a shared log does for channels with a life of their own.
//!
//! The rules are asked on the server that an operation came to. What they are asked with is a [`Survey`], and what they decide
//! is a [`SharedChange`], which the log carries out only if the survey still holds: in the same step, and with the messages
//! that belong to it. If it does not hold, the outcome is [`Outdated`](super::Outcome::Outdated), and the rules are asked again.

use super::archive::Reply;
use super::shared_publish::{PublishReply, SharedPublish};
use crate::life::{Change, Producer, ProducerId};
use crate::types::{ChannelName, Epoch, Loaded, Timestamp};

/// A shared log that keeps lives, producers and forks.
pub trait SharedLives: Send + Sync {
    /// How a channel stands in the log now; with a producer, if one is named. Of the channel no messages are brought.
    fn survey(&self, channel: &ChannelName, producer: Option<ProducerId>, reply: Reply<Survey>);

    /// Publishes with a change, if what it was decided from still holds.
    fn change(
        &self,
        channel: &ChannelName,
        publish: SharedPublish,
        change: SharedChange,
        reply: PublishReply,
    );

    /// The forks of a channel, made or being made.
    fn forks(&self, channel: &ChannelName, reply: Reply<Forks>);

    /// Some channels whose time may be over, or that are hidden. Repeated calls give all of them in turn, each to one
    /// server at a time.
    fn lapsed(&self, reply: Reply<Vec<ChannelName>>);
}

/// How a channel stands in the log.
#[derive(Debug, Clone)]
pub struct Survey {
    /// The log's time.
    pub now: Timestamp,
    /// What a change is compared with.
    pub token: SurveyToken,
    /// The channel; `None` if there is none.
    pub channel: Option<Loaded>,
    /// Producers that it remembers: the one that was asked for; all of them if that is new and there is no room for it.
    pub producers: Vec<(ProducerId, Producer)>,
    /// Whether it has forks.
    pub has_forks: bool,
}

/// What a change is compared with; it means something to its journal alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SurveyToken(pub(crate) [u8; 21]);

/// What a [`SharedChange`] is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Everything of the survey.
    Exactly,
    /// Everything but the newest message.
    ButForMessages,
}

/// Whether a change shows in what other servers have in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Only the log has to know.
    Log,
    /// Every server that has the channel in memory loads it again.
    Servers,
}

/// A change of a channel in a shared log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedChange {
    /// From which survey it was decided.
    pub token: SurveyToken,
    /// What has to hold of it.
    pub holds: Holds,
    /// What changes.
    pub change: Change,
    /// How the change's producer was in the survey.
    pub producer_before: Option<Producer>,
    /// Which servers it is announced to.
    pub audience: Audience,
    /// What it changes of the channel's forks.
    pub forks: ForkChange,
    /// The channel is such a fork: it is not born later than this.
    pub fork: Option<(ForkMark, Timestamp)>,
}

/// What a change does to a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ForkChange {
    /// Nothing.
    #[default]
    Same,
    /// This is, or is to be, a fork of it, so it cannot be removed.
    Add(ChannelName, ForkMark),
    /// That is no fork of it any more.
    Remove(ChannelName, ForkMark),
}

/// Which incarnation of a fork is meant, also before it is born.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForkMark(pub(crate) u32);

/// The forks of a channel.
#[derive(Debug, Clone)]
pub struct Forks {
    /// The log's time.
    pub now: Timestamp,
    /// Each, and when it was added.
    pub forks: Vec<(ChannelName, ForkMark, Timestamp)>,
}

impl ForkMark {
    /// A new one, out of random bits.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the low bits of a random number")]
    pub fn random(random: u64) -> Self {
        Self((random as u32).max(1))
    }

    /// That of a channel that is there.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half says which incarnation it is")]
    pub fn of(epoch: Epoch) -> Self {
        Self(epoch.get() as u32)
    }
}
