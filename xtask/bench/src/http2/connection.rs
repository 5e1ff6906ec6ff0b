//! One HTTP/2 connection of the load: a socket that never blocks, and what is to be written to it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::frame::Reader;
use super::waiters::{Again, Question, Tally, Waiters};

/// Requests are prepared until so many bytes of them wait for the socket, then written.
const BATCH: usize = 32 * 1024;

/// A connection and its waiters.
pub(super) struct Connection {
    socket: TcpStream,
    reader: Reader,
    waiters: Waiters,
    /// Bytes to be written, of which the first [`written`](Self::written) are.
    out: Vec<u8>,
    written: usize,
    /// Polls that are still to be asked, and for which message.
    unasked: usize,
    next: u32,
}

impl Connection {
    /// Connects, which blocks; nothing after it does.
    pub(super) fn open(
        address: SocketAddr,
        question: Question,
        again: Again,
        registry: &Registry,
        token: Token,
    ) -> Result<Self> {
        let socket = std::net::TcpStream::connect(address).context("cannot connect")?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let mut socket = TcpStream::from_std(socket);
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        let mut out = Vec::new();
        Waiters::greet(&mut out);
        let waiters = Waiters::new(question, again);
        Ok(Self { socket, reader: Reader::default(), waiters, out, written: 0, unasked: 0, next: 1 })
    }

    /// Lets so many more waiters ask, as the socket takes it.
    pub(super) fn ask(&mut self, polls: usize, next: u32) -> Result<()> {
        self.unasked += polls;
        self.next = next;
        self.write()
    }

    /// Reads and writes what the socket gives and takes.
    pub(super) fn turn(&mut self, buffer: &mut [u8], tally: &mut Tally) -> Result<()> {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(read) => {
                    self.take(&buffer[..read], tally)?;
                    // A short read has emptied the socket; what comes later is another event.
                    if read < buffer.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot read"),
            }
        }
        self.write()
    }

    fn take(&mut self, bytes: &[u8], tally: &mut Tally) -> Result<()> {
        let before = tally.delivered;
        let (waiters, out) = (&mut self.waiters, &mut self.out);
        self.reader.read(bytes, |frame| waiters.take(frame, out, tally))?;
        let delivered = tally.delivered - before;
        if delivered > 0 {
            // All of them came with this read.
            let since = u64::try_from(tally.published.elapsed().as_nanos())?;
            tally.latency.record_n(since, delivered)?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        loop {
            while self.unasked > 0 && self.out.len() < BATCH {
                self.waiters.ask(self.next, &mut self.out)?;
                self.unasked -= 1;
            }
            if self.out.is_empty() {
                return Ok(());
            }
            match self.socket.write(&self.out[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot write"),
            }
            if self.written == self.out.len() {
                self.out.clear();
                self.written = 0;
            }
        }
    }
}
