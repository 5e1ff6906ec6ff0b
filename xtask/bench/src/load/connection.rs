//! One connection of the load: a socket that does not block, and what is known of who uses it.
//!
//! Kept small, as there are thousands. Reads and writes; what the bytes mean is said in the parent.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Socket, Type};

/// How long a server may take to accept.
const CONNECT: Duration = Duration::from_secs(20);
/// Loopback addresses to connect from, should the ports of one run short.
const SOURCES: u8 = 16;

/// A connection and its user.
pub(crate) struct Line {
    stream: TcpStream,
    pub(super) role: Role,
    pub(super) topic: usize,
    pub(super) due: Due,
    /// What came of an answer that is not whole yet.
    pub(super) partial: Vec<u8>,
}

/// What a connection is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Long poll: asks on as soon as it is answered.
    Waiter,
    /// Reads an answer without end.
    Reader(Head),
    /// Short poll: asks as long as there are questions left.
    Asker(Again),
    /// Publishes when told to; so many publishes are not acknowledged yet.
    Publisher(u32),
}

/// Whether a reader has seen its answer's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    Due,
    Seen,
}

/// What a short poll asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// What its first answer led to, and expects nothing new.
    Next,
    /// From the beginning.
    First,
}

/// The numbers that a connection is to be given: the next one, and how far apart they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    pub(crate) next: u32,
    pub(crate) step: u32,
}

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    Bytes(usize),
    NothingNow,
}

impl Line {
    pub(super) fn open(address: SocketAddr, role: Role, topic: usize, due: Due) -> Result<Self> {
        let stream = connect(address)?;
        stream.set_tcp_nodelay(true)?;
        // Closing resets: thousands of sockets in TIME_WAIT would eat the ports of the next round.
        stream.set_linger(Some(Duration::ZERO))?;
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream.into());
        Ok(Self { stream, role, topic, due, partial: Vec::new() })
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> Result<()> {
        registry.register(&mut self.stream, token, Interest::READABLE).context("cannot watch a connection")
    }

    /// Writes a request whole.
    pub(super) fn write(&mut self, request: &[u8]) -> Result<()> {
        let written = self.stream.write(request).context("cannot write a request")?;
        // Few requests are under way whenever one is written, and the send buffer is far larger than all of them.
        anyhow::ensure!(written == request.len(), "the socket took only a part of a request");
        Ok(())
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<Got> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(read) => return Ok(Got::Bytes(read)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Got::NothingNow),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot read an answer"),
            }
        }
    }
}

/// Connects, from another address of the loopback network if the ports of the first are used up.
fn connect(address: SocketAddr) -> Result<Socket> {
    let mut source = 0;
    loop {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if source > 0 {
            socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, source + 1), 0)).into())?;
        }
        match socket.connect_timeout(&address.into(), CONNECT) {
            Ok(()) => return Ok(socket),
            Err(error)
                if error.kind() == ErrorKind::AddrNotAvailable
                    && source < SOURCES
                    && address.ip().is_loopback() =>
            {
                source += 1;
            }
            Err(error) => return Err(error).with_context(|| format!("cannot connect to {address}")),
        }
    }
}
