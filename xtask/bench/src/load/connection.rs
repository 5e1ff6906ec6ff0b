//! One connection of the load: a non-blocking socket, and what its user is due to receive.
//!
//! Small, because there are thousands. Reads and writes bytes without interpreting them.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mio::{Interest, Registry, Token};
use rustls::ClientConfig;
use socket2::SockRef;

use super::stream::Stream;
use crate::counts::Due;

/// How long a server may take to accept.
const CONNECT: Duration = Duration::from_secs(20);

/// A connection and its user.
pub(super) struct Connection {
    stream: Stream,
    pub(super) role: Role,
    /// The channel's number.
    pub(super) channel: usize,
    pub(super) due: Due,
    /// When the publishes that are not acknowledged yet were sent.
    pub(super) sent: VecDeque<Instant>,
    /// The beginning of an incomplete response.
    pub(super) partial: Vec<u8>,
}

/// What a connection is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Long poll: asks again as soon as it is answered.
    Waiter,
    /// Reads a response without end.
    Reader(StreamHead),
    /// Short poll: asks as long as there are requests left.
    Poller(Repeat),
    /// Publishes when told to.
    Publisher,
}

/// Whether the response's head has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamHead {
    Awaited,
    Seen,
}

/// What a short poll asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// News since its first response, of which there will be none.
    News,
    /// Everything from the beginning.
    All,
}

impl Connection {
    pub(super) fn open(
        address: SocketAddr,
        trust: Option<&Arc<ClientConfig>>,
        role: Role,
        channel: usize,
        due: Due,
    ) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, CONNECT)
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        // Reset on close: thousands of sockets in TIME_WAIT would use up the ports of the next round.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        let stream = match trust {
            None => Stream::plain(stream)?,
            Some(trust) => Stream::secured(stream, trust)?,
        };
        Ok(Self { stream, role, channel, due, sent: VecDeque::new(), partial: Vec::new() })
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> Result<()> {
        registry
            .register(self.stream.socket(), token, Interest::READABLE)
            .context("cannot watch a connection")
    }

    pub(super) fn write(&mut self, request: &[u8]) -> Result<()> {
        let written = self.stream.write(request).context("cannot write a request")?;
        // The send buffer is far larger than the few requests in flight.
        ensure!(written == request.len(), "the socket took only a part of a request");
        Ok(())
    }

    /// How many bytes were read; `None` if there are none now.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(read) => return Ok(Some(read)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot read a response"),
            }
        }
    }
}
