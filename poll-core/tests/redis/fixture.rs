//! What tests share that are not of Redis alone.

use poll_core::{ChannelName, Timestamp};

/// When time begins in the model of lives.
pub(crate) const NOON: Timestamp = Timestamp::from_millis(1_800_000_000_000);

pub(crate) fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}
