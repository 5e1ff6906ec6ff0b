//! Why a connection ended other than cleanly.

use std::io;

/// Why a connection did not end cleanly. For logs only: the peer is gone.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectionError {
    /// Before the protocol was known.
    Preface(io::Error),
    /// In HTTP/1.1, on the fast path.
    Fast(io::Error),
    /// In HTTP/1, under hyper.
    Http1(hyper::Error),
    /// In HTTP/2.
    Http2(h2::Error),
    /// An HTTP/2 peer did not answer a PING, or never sent its settings.
    Silent,
    /// An HTTP/2 peer sent too many control frames.
    ControlFrames,
    /// An HTTP/2 peer shrank the windows that it had opened, and reads nothing.
    Stuck,
}

impl std::fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Preface(_) => "the connection broke before its first request",
            Self::Fast(_) | Self::Http1(_) => "the HTTP/1 connection broke off",
            Self::Http2(_) => "the HTTP/2 connection broke off",
            Self::Silent => "the HTTP/2 peer fell silent",
            Self::ControlFrames => "the HTTP/2 peer sent too many control frames",
            Self::Stuck => "the HTTP/2 peer shrank its windows",
        })
    }
}

impl std::error::Error for ConnectionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Preface(error) | Self::Fast(error) => Some(error),
            Self::Http1(error) => Some(error),
            Self::Http2(error) => Some(error),
            Self::Silent | Self::ControlFrames | Self::Stuck => None,
        }
    }
}
