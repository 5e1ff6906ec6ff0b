//! The protocol's side of a connection: records in, records out, and no socket.
//!
//! What: drives rustls's connection from state to state (RFC 8446, section 5), and keeps what that leaves: what was
//! decrypted and not read, and what was encrypted and not sent.
//! Not here: reading and writing, and what is charged for what is kept (`stream.rs`).

use std::io;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic,
};
use tokio::io::ReadBuf;

/// See the [module](self).
pub(super) struct Session {
    connection: UnbufferedServerConnection,
    /// Decrypted and not read.
    pub(super) plain: Vec<u8>,
    /// How much of `plain` was read.
    taken: usize,
    /// Encrypted and not sent.
    pub(super) unsent: Vec<u8>,
    pub(super) inbound: Inbound,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Inbound {
    Open,
    /// The peer closed it, with or without a word.
    Ended,
}

/// Where processing records has stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Something was decrypted.
    Plain,
    /// Something was done, and there may be more.
    Going,
    /// More has to be received first; the handshake is not done.
    Handshaking,
    /// The same, and it is done.
    Open,
    /// Both sides have closed.
    Closed,
}

impl Session {
    pub(super) fn new(connection: UnbufferedServerConnection) -> Self {
        Self { connection, plain: Vec::new(), taken: 0, unsent: Vec::new(), inbound: Inbound::Open }
    }

    pub(super) fn connection(&self) -> &UnbufferedServerConnection {
        &self.connection
    }

    /// Processes `records` until something was decrypted, or more is needed. Returns how many of the bytes are done with.
    pub(super) fn process(
        &mut self,
        records: &mut [u8],
        mut decrypted: impl FnMut(&mut Vec<u8>, &[u8]),
    ) -> io::Result<(usize, Stop)> {
        let mut done = 0;
        loop {
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(&mut records[done..]);
            done += discard;
            let state = match state {
                Ok(state) => state,
                Err(error) => {
                    self.take_alert();
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            };
            let plain = &mut self.plain;
            let (more, stop) =
                handle(state, &mut self.unsent, &mut self.inbound, |bytes| decrypted(plain, bytes))?;
            done += more;
            if stop != Stop::Going {
                return Ok((done, stop));
            }
        }
    }

    /// What is said to a peer before it is left: an alert, and what the protocol had to say before it.
    fn take_alert(&mut self) {
        loop {
            // What was received is not looked at again.
            let UnbufferedStatus { state, .. } = self.connection.process_tls_records(&mut []);
            let Ok(state @ ConnectionState::EncodeTlsData(_)) = state else { return };
            if handle(state, &mut self.unsent, &mut self.inbound, |_| {}).is_err() {
                return;
            }
        }
    }

    /// Encrypts `bytes` into `records`, behind whatever the protocol has to say first. Returns their length.
    /// `received` is what was received and not decrypted.
    pub(super) fn encrypt(
        &mut self,
        received: &mut Vec<u8>,
        bytes: &[u8],
        records: &mut [u8],
    ) -> io::Result<usize> {
        self.when_open(received, |traffic| traffic.encrypt(bytes, records).map_err(unencrypted))
    }

    /// Has the word unsent that this is the end (close_notify).
    pub(super) fn close(&mut self, received: &mut Vec<u8>) {
        let mut alert = [0; 64];
        let length =
            self.when_open(received, |traffic| traffic.queue_close_notify(&mut alert).map_err(unencrypted));
        // After a fault there is nothing to say that was not said.
        self.unsent.extend_from_slice(&alert[..length.unwrap_or_default()]);
    }

    /// Gives what was decrypted and not read, as much as fits.
    pub(super) fn read(&mut self, buf: &mut ReadBuf<'_>) {
        let count = buf.remaining().min(self.plain.len() - self.taken);
        buf.put_slice(&self.plain[self.taken..self.taken + count]);
        self.taken += count;
        if self.taken == self.plain.len() {
            (self.plain, self.taken) = (Vec::new(), 0);
        }
    }

    fn when_open<T>(
        &mut self,
        received: &mut Vec<u8>,
        write: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            let UnbufferedStatus { mut discard, state } = self.connection.process_tls_records(received);
            let state = state.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if let ConnectionState::WriteTraffic(mut traffic) = state {
                let written = write(&mut traffic);
                received.drain(..discard);
                return written;
            }
            let plain = &mut self.plain;
            let (more, stop) =
                handle(state, &mut self.unsent, &mut self.inbound, |bytes| plain.extend_from_slice(bytes))?;
            discard += more;
            received.drain(..discard);
            if matches!(stop, Stop::Handshaking | Stop::Closed) {
                return Err(io::ErrorKind::NotConnected.into());
            }
        }
    }
}

/// Does what a state asks for. Returns how many more bytes are done with.
fn handle<Data>(
    state: ConnectionState<'_, '_, Data>,
    unsent: &mut Vec<u8>,
    inbound: &mut Inbound,
    mut decrypted: impl FnMut(&[u8]),
) -> io::Result<(usize, Stop)> {
    let mut done = 0;
    let stop = match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            let mut stop = Stop::Going;
            while let Some(record) = traffic.next_record() {
                let record = record.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                done += record.discard;
                // An empty one is allowed, and means nothing.
                if !record.payload.is_empty() {
                    decrypted(record.payload);
                    stop = Stop::Plain;
                }
            }
            stop
        }
        ConnectionState::EncodeTlsData(mut data) => {
            let begin = unsent.len();
            if let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) =
                data.encode(&mut [])
            {
                unsent.resize(begin + required_size, 0);
                let written = data.encode(&mut unsent[begin..]).map_err(io::Error::other)?;
                unsent.truncate(begin + written);
            }
            Stop::Going
        }
        ConnectionState::TransmitTlsData(data) => {
            // It leaves with what is unsent, in its order.
            data.done();
            Stop::Going
        }
        ConnectionState::PeerClosed => {
            *inbound = Inbound::Ended;
            Stop::Going
        }
        ConnectionState::Closed => Stop::Closed,
        ConnectionState::BlockedHandshake => Stop::Handshaking,
        ConnectionState::WriteTraffic(_) => Stop::Open,
        // Early data is not offered.
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    Ok((done, stop))
}

fn unencrypted(error: EncryptError) -> io::Error {
    // The key has been used as often as is safe, or a bug here.
    io::Error::other(error)
}
