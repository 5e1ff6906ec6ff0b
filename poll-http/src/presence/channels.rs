//! The channels that belong to presence.

use poll_core::{ChannelName, ChannelNameError};

/// What the names of the channels begin with on which joins and leaves are published. Only the server writes there.
const PREFIX: &str = "presence/";

/// The channel of the records. It tells of no channel, because none has an empty name; clients cannot read it.
pub(super) const JOURNAL: &str = PREFIX;

/// Where joins and leaves of a channel are published.
///
/// # Errors
/// When the name is too long.
pub(super) fn told_on(channel: &ChannelName) -> Result<ChannelName, ChannelNameError> {
    ChannelName::parse(&format!("{PREFIX}{}", channel.as_str()))
}

/// Whether only the server publishes there.
pub(crate) fn is_reserved(channel: &ChannelName) -> bool {
    channel.as_str().starts_with(PREFIX)
}

/// Whether it is the channel of the records.
pub(crate) fn is_journal(channel: &ChannelName) -> bool {
    channel.as_str() == JOURNAL
}
