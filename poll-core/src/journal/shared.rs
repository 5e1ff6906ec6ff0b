//! What a journal has to do that several servers write to and read from.
//!
//! Such a log is followed, not written: numbers, ids and times are given out where the log is, and there is one way in
//! which messages become visible on a server, [`Host::follow`](super::Host::follow), whether they came from an
//! announcement, from the reply to the server's own publish, or from a read. It takes messages in the order of their
//! numbers, drops what is known and refuses a hole.
//!
//! A publish needs nothing of the channel in memory, so channels without readers on this server cost it nothing.

use super::archive::{Archive, Reply};
use super::host::Host;
use super::shared_lives::SharedLives;
use super::shared_publish::{PublishReply, SharedPublish};
use crate::types::ChannelName;
pub use crate::types::{Followed, Run};

/// A log that several servers share.
///
/// Replies may be called on any thread, but neither they nor the methods of [`Host`] while the journal holds a lock that
/// its own methods take: both call back into the journal.
///
/// What a journal has to take care of, because only it knows the log:
///
/// - A [load](Archive::load) installs the channel before its reply returns. What was announced, or found by a comparison
///   with the log, while the load was on its way has to be [followed](super::Host::follow) after that.
/// - Nothing of an incarnation that is known to be over may be followed, or be the answer to a load, however late it
///   arrives: a channel without messages takes on any incarnation.
/// - After a connection was lost, all channels [in memory](super::Host::in_memory) and those that are being loaded have
///   to be compared with the log: waiters are woken by nothing else.
pub trait SharedJournal: Archive + 'static {
    /// Publishes: checks the key, gives out numbers, ids and times, stores and announces, in one step. Answers once the
    /// log has it and, if the channel is in memory here, `Host::follow` has shown it.
    fn publish(&self, channel: &ChannelName, publish: SharedPublish, reply: PublishReply);

    /// Answers once everything that was published to the channel before this call, on whatever server, is visible here,
    /// provided that the channel is in memory. One that is not will be loaded, and that is its check. Answers with an
    /// error, and soon, if the log cannot be asked.
    fn check(&self, channel: &ChannelName, reply: Reply<()>);

    /// Begins a check like [`check`](Self::check) that nothing waits for: what it finds is followed, and that wakes the
    /// channel's waiters. All that are asked for before one begins are that one.
    fn refresh(&self, channel: &ChannelName);

    /// Promises that no later message of the channel, on whatever server, has a time up to the end of `millis`, in
    /// milliseconds since the Unix epoch. Answers with the newest millisecond, that one or an earlier, for which this
    /// holds and up to which everything is visible here if the channel is in memory. A channel that does not exist is
    /// promised nothing: its answer is the millisecond up to which the log's clock will give it no message.
    fn seal(&self, channel: &ChannelName, millis: u64, reply: Reply<u64>);

    /// What the log does for channels with a life of their own; `None` if it keeps none.
    fn lives(&self) -> Option<&dyn SharedLives> {
        None
    }

    /// Called once, before anything else, by the store that follows the log.
    fn attach(&self, host: Host);
}
