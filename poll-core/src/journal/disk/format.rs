//! The file's tables, and the version of their format.
//!
//! A commit touches as few rows as it can: its messages, and one row of totals. A channel's own row is written
//! when the channel is created, when it ends and when messages are deleted; where the messages are ahead of it, they are
//! right.
//!
//! | table | key | row |
//! | --- | --- | --- |
//! | `format` | `"poll"` | [`VERSION`] |
//! | `totals` | nothing | [`Totals`](super::codec::Totals) |
//! | `names` | channel name | channel number |
//! | `channels` | channel number | [`Row`](super::codec::Row) |
//! | `messages` | channel number, seq | a [message](super::codec::encode_message) |
//! | `keys` | channel number, time taken, seq before the publish | an [idempotency key](super::codec::encode_key) |
//! | `lives` | channel number | a [life](super::lives), for channels that have one |
//! | `producers` | channel number, name | a [producer](super::lives) |
//! | `forks` | name of the source, name of the fork | nothing |
//!
//! Not here: how a row is encoded ([`codec`](super::codec)), and what is retained.

use redb::{Error, TableDefinition};

use super::codec::RowError;

/// The version that this code writes. From version 2 on every row has a checksum, from version 3 on there is a log in front
/// of the file, from version 4 on channels have lives.
pub(super) const VERSION: u64 = 4;
/// The oldest version that it reads, and upgrades.
pub(super) const OLDEST_VERSION: u64 = 1;
/// The key of the version.
pub(super) const POLL: &str = "poll";

pub(super) const FORMAT: TableDefinition<'_, &str, u64> = TableDefinition::new("format");
pub(super) const TOTALS: TableDefinition<'_, (), &[u8]> = TableDefinition::new("totals");
pub(super) const NAMES: TableDefinition<'_, &str, u64> = TableDefinition::new("names");
pub(super) const CHANNELS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("channels");
pub(super) const MESSAGES: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("messages");
pub(super) const KEYS: TableDefinition<'_, (u64, u64, u64), &[u8]> = TableDefinition::new("keys");
pub(super) const LIVES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("lives");
pub(super) const PRODUCERS: TableDefinition<'_, (u64, &str), &[u8]> = TableDefinition::new("producers");
pub(super) const FORKS: TableDefinition<'_, (&str, &str), ()> = TableDefinition::new("forks");

pub(super) type Result<T> = std::result::Result<T, Error>;

impl From<RowError> for Error {
    fn from(error: RowError) -> Self {
        damaged(error.what())
    }
}

pub(super) fn damaged(what: &str) -> Error {
    Error::Corrupted(format!("{what} cannot be read"))
}
