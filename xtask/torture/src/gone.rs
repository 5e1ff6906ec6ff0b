//! The one failure that a reader of a server that may die must expect: the server went away, or said that it does.
//!
//! Anything else that a server does wrong is an error of another kind, and a finding.

use std::fmt;

/// The server closed, refused or reset the connection, or told that it cannot serve now.
#[derive(Debug)]
pub(super) struct Gone(pub(super) String);

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Gone {}

/// Whether the server went away, rather than did something wrong.
pub(super) fn is_gone(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<Gone>()
            || cause.is::<std::io::Error>()
            // A protocol error that our own side found is no end of the server's.
            || cause.downcast_ref::<h2::Error>().is_some_and(|error| error.is_io() || error.is_remote())
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn only_a_server_that_left_is_gone() {
        let refused = Err::<(), _>(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        assert!(is_gone(&refused.context("cannot connect").unwrap_err()));
        assert!(is_gone(&anyhow::Error::new(Gone("drains".into())).context("question 1")));
        assert!(!is_gone(&anyhow::anyhow!("a message has the payload of another")));
    }
}
