//! The connection beside the load, HTTP/1.1 and blocking: it publishes, and asks how many wait.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::message;

/// What a server under full load may take for one answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The gauge of those who wait in long polls.
const WAITERS: &str = "poll_waiters{pattern=\"long\"} ";

/// A connection of its own.
pub(super) struct Control {
    address: SocketAddr,
    socket: BufReader<TcpStream>,
}

impl Control {
    pub(super) fn open(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address).context("cannot connect")?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { address, socket: BufReader::new(socket) })
    }

    /// How many long polls wait on the server.
    pub(super) fn waiting(&mut self) -> Result<u64> {
        self.ask(&format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", self.address))?;
        let text = self.answer(200)?;
        let line = text.lines().find_map(|line| line.strip_prefix(WAITERS));
        line.and_then(|number| number.parse().ok()).context("/metrics does not say how many wait")
    }

    /// Sends off a publish; [`published`](Self::published) takes its answer, so that none is waited for before those
    /// who get the message are read.
    pub(super) fn publish(&mut self, channel: &str, number: u32) -> Result<()> {
        let body = message::payload(number);
        self.ask(&format!(
            "POST /api/message?channel={channel} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        ))
    }

    pub(super) fn published(&mut self) -> Result<()> {
        self.answer(201).map(|_| ())
    }

    fn ask(&mut self, request: &str) -> Result<()> {
        self.socket.get_mut().write_all(request.as_bytes()).context("cannot write a request")
    }

    /// The body of the next answer.
    fn answer(&mut self, status: u16) -> Result<String> {
        let head = self.lines()?;
        let first = head.first().map(String::as_str).unwrap_or_default();
        ensure!(first.starts_with(&format!("HTTP/1.1 {status} ")), "`{first}` where {status} was due");
        let field = |line: &String| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        };
        let length = head.iter().find_map(field).context("an answer does not say how long it is")?;
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body).context("cannot read an answer's body")?;
        String::from_utf8(body).context("an answer is not text")
    }

    /// The lines of a head.
    fn lines(&mut self) -> Result<Vec<String>> {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            let read = self.socket.read_line(&mut line).context("cannot read an answer")?;
            ensure!(read > 0, "the server closed the connection");
            let line = line.trim_end();
            if line.is_empty() {
                return Ok(head);
            }
            head.push(line.to_owned());
        }
    }
}
