//! The channels that belong to presence.

use poll_core::{ChannelName, ChannelNameError};

/// The start of the names of channels on which joins and leaves are published. Only the server writes there.
const PREFIX: &str = "presence/";

/// The channel of the records that servers write. It cannot be that of another channel's joins and leaves, because no name is
/// empty. Clients cannot read it.
pub(super) const RECORDS: &str = PREFIX;

/// Where joins and leaves of a channel are published.
///
/// # Errors
/// When the name is too long.
pub(super) fn told_on(channel: &ChannelName) -> Result<ChannelName, ChannelNameError> {
    ChannelName::parse(&format!("{PREFIX}{}", channel.as_str()))
}

/// Whether only the server may publish on a channel.
pub(crate) fn is_reserved(channel: &ChannelName) -> bool {
    channel.as_str().starts_with(PREFIX)
}

/// Whether a channel is the one of the records.
pub(crate) fn is_records(channel: &ChannelName) -> bool {
    channel.as_str() == RECORDS
}
