//! What a request's answer may depend on of the connection it came by.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::message::connection_record::{ConnectionRecord, Security};

/// Facts about the connection that a request came by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The other end of the socket, which may be a proxy.
    pub peer: SocketAddr,
    /// What TLS established; `None` where the connection is not encrypted.
    pub secured: Option<Arc<Secured>>,
    /// Version of this request.
    pub protocol: Protocol,
    /// Whether this peer takes pushes.
    pub push: PushPolicy,
    /// Whether this request may be sent a 103 (RFC 8297).
    pub early_hints: EarlyHints,
    /// How much the peer leaves unread of earlier answers.
    pub unread: Unread,
    /// What operators see of it; `None` where nothing is listed.
    pub record: Option<ConnectionRecord>,
}

impl ConnectionInfo {
    /// A request came by it.
    pub(crate) fn note_request(&self) {
        if let Some(record) = &self.record {
            record.request(self.protocol.name());
        }
    }

    /// How the server itself was reached: in front of a proxy it may have been another.
    pub(crate) fn scheme(&self) -> Scheme {
        if self.secured.is_some() { Scheme::Https } else { Scheme::Http }
    }
}

/// The scheme of a connection's URLs (RFC 9110, section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// The other end of a connection, as the acceptor knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address, which may be a proxy's.
    pub address: SocketAddr,
    /// What TLS established; `None` where the connection is not encrypted.
    pub secured: Option<Arc<Secured>>,
    /// What operators see of the connection; `None` where nothing is listed.
    pub record: Option<ConnectionRecord>,
}

impl From<SocketAddr> for Peer {
    /// The peer of a connection that is not encrypted, and not listed.
    fn from(address: SocketAddr) -> Self {
        Self { address, secured: None, record: None }
    }
}

impl Peer {
    /// Its connection begins to speak HTTP.
    pub(crate) fn begin(&self) {
        if let Some(record) = &self.record {
            let security = if self.secured.is_some() { Security::Tls } else { Security::Plain };
            record.begin(security, self.secured.as_ref().and_then(|secured| secured.client.clone()));
        }
    }
}

/// What the handshake of a TLS connection established (RFC 8446).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secured {
    /// The subject of the client's certificate, where one was demanded. It names the client of the limits, in place of
    /// `X-Client-ID`, and gives no right by itself.
    pub client: Option<Arc<str>>,
}

/// Version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0: no chunks, so a body of unknown length ends with the connection.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    /// As it is usually written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// Whether the peer takes PUSH_PROMISE (RFC 9113, section 8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushPolicy {
    /// Its settings allow push; a single one may still not fit.
    Possible,
    /// HTTP/1, or switched off by its settings.
    Off,
}

/// Whether a peer takes what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It does, or what it leaves is not worth a word. In HTTP/1 an answer waits for the one before.
    Little,
    /// Earlier answers hold as much as one connection may: it is to be given nothing large.
    TooMuch,
}

/// Whether informational answers may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyHints {
    /// They may.
    Informational,
    /// HTTP/1.0, or not switched on for HTTP/1.1.
    None,
}
