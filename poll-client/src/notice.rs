//! What a client says about its connection, apart from what it returns: that it retries, and that it is through again.
//!
//! Subscriptions hide failures that they retry. A program with a screen wants to show them.

use std::time::Duration;

use crate::error::Error;

/// Something about the connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice<'a> {
    /// A request failed, and another will be made.
    Retrying {
        /// Why it failed.
        error: &'a Error,
        /// The wait before the next.
        wait: Duration,
    },
    /// The first answer after failures.
    Recovered,
}

/// Gets the notices. Called where the client is at work, so it should return soon.
pub(crate) type Observer = Box<dyn Fn(&Notice<'_>) + Send + Sync>;
