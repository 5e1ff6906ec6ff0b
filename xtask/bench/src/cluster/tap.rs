//! A wire between a server and its Redis that can be listened to: finds one publish as it is sent.
//!
//! The command holds bytes that only the server can make, so it is taken from the wire and not built.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::{Context as _, Result};
use memchr::memmem::find;

/// How long a publish may take to come by.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a publish says of itself, as an element of its array.
const PUBLISH: &[u8] = b"\r\n$7\r\npublish\r\n";

pub(super) struct Tap {
    pub(super) address: SocketAddr,
    heard: Receiver<Vec<u8>>,
}

impl Tap {
    /// Listens for servers, and passes everything on to Redis and back until this program ends.
    pub(super) fn before(redis: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let (tell, heard) = channel();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A connection that fails shows at its ends.
                let _ = join(&client, redis, &tell);
            }
        });
        Ok(Self { address, heard })
    }

    /// The next publish that comes by, from its first byte to its last.
    pub(super) fn publish(&self) -> Result<Vec<u8>> {
        self.heard.recv_timeout(PATIENCE).context("no publish came by")
    }
}

fn join(client: &TcpStream, redis: SocketAddr, tell: &Sender<Vec<u8>>) -> Result<()> {
    let server = TcpStream::connect(redis)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (to_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let (from_client, from_server) = (client.try_clone()?, server);
    let tell = tell.clone();
    std::thread::spawn(move || pass(from_client, to_server, |bytes| note(bytes, &tell)));
    std::thread::spawn(move || pass(from_server, to_client, |_| ()));
    Ok(())
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut look: impl FnMut(&[u8])) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(taken) = from.read(&mut piece) {
        if taken == 0 || to.write_all(&piece[..taken]).is_err() {
            break;
        }
        look(&piece[..taken]);
    }
    // The other direction ends with this one.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// A publish that is the last of its piece; a pipeline of one is.
fn note(bytes: &[u8], tell: &Sender<Vec<u8>>) {
    if let Some(command) = publish_in(bytes) {
        // The listener may be gone once it has enough.
        let _ = tell.send(command.to_owned());
    }
}

/// The command that publishes, if these bytes hold it whole.
fn publish_in(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let length = length_of(rest)?;
        let (command, after) = rest.split_at_checked(length)?;
        if find(command, PUBLISH).is_some() {
            return Some(command);
        }
        rest = after;
    }
    None
}

/// How long the command at the beginning is: an array of strings (the Redis serialization protocol).
fn length_of(bytes: &[u8]) -> Option<usize> {
    let (count, mut at) = header(bytes, 0, b'*')?;
    for _ in 0..count {
        let (length, behind) = header(bytes, at, b'$')?;
        at = behind + length + 2;
    }
    Some(at)
}

/// The number behind a mark, and where it ends.
fn header(bytes: &[u8], at: usize, mark: u8) -> Option<(usize, usize)> {
    let line = bytes.get(at..)?.strip_prefix(&[mark])?;
    let end = find(line, b"\r\n")?;
    let number = std::str::from_utf8(&line[..end]).ok()?.parse().ok()?;
    Some((number, at + 1 + end + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_is_found_whole_among_others() {
        let publish = b"*3\r\n$7\r\nEVALSHA\r\n$7\r\npublish\r\n$2\r\n\0\r\r\n";
        let bytes = [&b"*1\r\n$4\r\nPING\r\n"[..], publish, b"*1\r\n$4\r\nPING\r\n"].concat();
        assert_eq!(publish_in(&bytes), Some(&publish[..]));
        assert_eq!(publish_in(&bytes[..bytes.len() - 20]), None);
        assert_eq!(publish_in(b"*1\r\n$4\r\nPING\r\n"), None);
    }
}
