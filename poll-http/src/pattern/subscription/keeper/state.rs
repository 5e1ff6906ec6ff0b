//! What a subscription at work is made of, and what is said to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::StatusCode;
use poll_core::{ChannelName, Charge};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::dialect::durable_streams::subscriptions::{
    AttemptId, Claim, Sent, Subscription, SubscriptionId, Turn,
};
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::trace_context::TraceContext;
use crate::pattern::subscription::keys::Keys;
use crate::pattern::subscription::news::Mailbox;
use crate::pattern::subscription::outside::Outside;
use crate::pattern::subscription::place::Place;

/// How often another server may be first before a request is refused.
pub(super) const MOST_TRIES: usize = 32;
/// What a subscription costs beside its streams, and a stream beside its name.
pub(in crate::pattern::subscription) const SUBSCRIPTION_BYTES: u64 = 4_096;
pub(in crate::pattern::subscription) const STREAM_BYTES: u64 = 256;

/// What is said to a subscription, and where the answer goes.
pub(in crate::pattern::subscription) struct Command {
    pub(in crate::pattern::subscription) what: What,
    pub(in crate::pattern::subscription) reply: oneshot::Sender<Result<Reply, Refusal>>,
}

/// What is said to a subscription.
pub(crate) enum What {
    /// Say whether it is still there.
    Stand,
    /// Show it, with this status.
    Show(StatusCode),
    /// It has these streams as well.
    Name(BTreeSet<Box<str>>),
    /// It does not need this one.
    Unname(ChannelName),
    Claim(Claim),
    Turn {
        speech: Speech,
        token: Box<str>,
        turn: Turn,
    },
    /// It is deleted, and this task ends.
    End,
}

/// What a worker says with the token of its wake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    /// A webhook's receiver.
    Callback,
    Ack,
    Release,
}

/// A subscription at work.
pub(in crate::pattern::subscription) struct Keeper {
    pub(super) outside: Outside,
    pub(super) keys: Keys,
    pub(super) id: SubscriptionId,
    pub(super) subscription: Subscription,
    pub(super) place: Place,
    /// What was kept last.
    pub(super) kept: Vec<u8>,
    pub(super) line: Line,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) charge: Charge,
    /// The webhook that is on its way.
    pub(super) delivery: JoinSet<(AttemptId, Sent)>,
    pub(super) scan: Scan,
    /// The trace of what came last, which webhooks carry on.
    pub(super) trace: Option<TraceContext>,
}

/// Whether all streams are to be looked through for those that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scan {
    Due,
    Done,
}

/// Whether other servers leave the next step to this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pattern::subscription) enum Line {
    /// It changed the subscription last, or is alone.
    First,
    Later,
}

/// Whether the task goes on.
#[derive(PartialEq, Eq)]
pub(super) enum Next {
    Go,
    End,
}

/// Whether an attempt follows at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Attempt,
    Nothing,
}

/// Why a step was not taken.
pub(super) enum Untaken {
    /// Another server took one before; it is to be decided again.
    Outdated,
    /// The subscription is gone.
    Gone,
    Refused(Refusal),
}

impl From<Refusal> for Untaken {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
