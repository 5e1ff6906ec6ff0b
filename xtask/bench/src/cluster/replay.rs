//! A client that sends Redis the same command again and again, as redis-benchmark does.
//!
//! redis-benchmark takes its arguments from the command line, and these hold zero bytes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use memchr::memchr_iter;

/// If nothing arrives for so long, it is lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many commands are in flight, and on how many connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub(super) connections: usize,
    /// On each.
    pub(super) commands: usize,
}

/// Sends the command at least so many times, and gives how often it did. The next ones are sent once all in flight are
/// answered. All answers are alike in length.
pub(super) fn run(redis: SocketAddr, command: &[u8], times: u64, in_flight: InFlight) -> Result<u64> {
    let InFlight { connections, commands } = in_flight;
    let mut streams = (0..connections).map(|_| connect(redis)).collect::<Result<Vec<_>>>()?;
    let mut answer = vec![0; 64 << 10];
    // The first answer shows how long one is.
    let first = streams.first_mut().context("there is a connection")?;
    first.write_all(command)?;
    let length = first.read(&mut answer).context("no answer")?;
    ensure!(answer[0] != b'-', "Redis refuses: {}", String::from_utf8_lossy(&answer[..length]));
    let (many, mut sent) = (command.repeat(commands), 1);
    while sent < times {
        streams.iter_mut().try_for_each(|stream| stream.write_all(&many))?;
        for stream in &mut streams {
            stream.read_exact(&mut answer[..length * commands]).context("no answer")?;
        }
        sent += (connections * commands) as u64;
    }
    Ok(sent)
}

/// A connection that subscribes to what is announced, and reads it until dropped.
pub(super) struct Subscriber(TcpStream);

impl Subscriber {
    /// Subscribes to every channel that begins so. Reads in a thread of its own.
    pub(super) fn to(redis: SocketAddr, channel: &[u8]) -> Result<Self> {
        let mut stream = connect(redis)?;
        let head = format!("*2\r\n$9\r\nSUBSCRIBE\r\n${}\r\n", channel.len());
        stream.write_all(&[head.as_bytes(), channel, b"\r\n"].concat())?;
        let mut answer = [0; 1024];
        let taken = stream.read(&mut answer)?;
        ensure!(memchr_iter(b'\n', &answer[..taken]).count() >= 3, "no subscription");
        let mut reader = stream.try_clone()?;
        reader.set_read_timeout(None)?;
        std::thread::spawn(move || {
            let mut piece = vec![0; 64 << 10];
            while reader.read(&mut piece).is_ok_and(|taken| taken > 0) {}
        });
        Ok(Self(stream))
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // Its thread ends with it; an error means that it has ended already.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}

fn connect(redis: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(redis).context("cannot connect to Redis")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}
