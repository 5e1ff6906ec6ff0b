//! Who judges tokens, from the configuration, and how that changes while the server runs.
//!
//! | file | what it does |
//! | --- | --- |
//! | `keeper` | replaces the authority and the limits: after a reload, and when a set of keys has changed |
//! | `asking` | between requests that wait for a key and the keeper that fetches it |
//! | `key_set` | fetches a set of keys |
//! | `command` | `poll-server token`, which prints a signed link's token |
//!
//! Not here: judging (poll-http), and what is configured (`config.rs`).

mod asking;
mod command;
mod keeper;
mod key_set;

pub use self::command::TokenCommand;
pub(crate) use self::command::command;
pub(crate) use self::keeper::{Keeper, keep};
