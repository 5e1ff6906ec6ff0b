//! A connection's bytes, with TLS or without. Neither blocks once it is open.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::{ClientConfig, ClientConnection};

use crate::certificate::NAME;

pub(super) enum Stream {
    Plain(mio::net::TcpStream),
    Secured(Box<Secured>),
}

pub(super) struct Secured {
    session: ClientConnection,
    socket: mio::net::TcpStream,
}

impl Stream {
    pub(super) fn plain(socket: TcpStream) -> Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self::Plain(mio::net::TcpStream::from_std(socket)))
    }

    /// After the handshake.
    pub(super) fn secured(mut socket: TcpStream, trust: &Arc<ClientConfig>) -> Result<Self> {
        let mut session = ClientConnection::new(Arc::clone(trust), NAME.try_into()?)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket).context("no TLS")?;
        }
        socket.set_nonblocking(true)?;
        let socket = mio::net::TcpStream::from_std(socket);
        Ok(Self::Secured(Box::new(Secured { session, socket })))
    }

    pub(super) fn socket(&mut self) -> &mut mio::net::TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Secured(secured) => &mut secured.socket,
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Secured(secured) => {
                let written = secured.session.writer().write(bytes)?;
                while secured.session.wants_write() {
                    secured.session.write_tls(&mut secured.socket)?;
                }
                Ok(written)
            }
        }
    }

    /// Less than the buffer holds only where there is no more.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Secured(secured) => secured.read(buffer),
        }
    }
}

impl Secured {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.session.reader().read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    match self.session.read_tls(&mut self.socket) {
                        Ok(0) => break,
                        Ok(_) => {
                            self.session.process_new_packets().map_err(io::Error::other)?;
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock && filled > 0 => break,
                        Err(error) => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}
