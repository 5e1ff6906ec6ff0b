//! `cargo xtask bench floor`: what the kernel alone takes. A bare epoll loop that reads a request, knows it by its
//! first bytes, and writes prepared bytes.
//!
//! No server can be much cheaper, so the distance to it is what a server's own work costs. It is no server: it keeps
//! one answer a channel, checks nothing, and wants every request in one piece, as the load writes it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use clap::Args;
use memchr::memmem;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

const LISTENER: Token = Token(usize::MAX);
const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const PUBLISHED: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
const UNCHANGED: &[u8] = b"HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n";
const BACKLOG: i32 = 4096;

/// The command's arguments.
#[derive(Args)]
pub(crate) struct Floor {
    /// Where to listen
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
}

/// What a request wants.
#[derive(Debug, PartialEq, Eq)]
enum Request<'a> {
    Wait,
    Stream,
    Short,
    Unchanged,
    Publish(&'a [u8]),
}

#[derive(Default)]
struct Channel {
    waiting: Vec<usize>,
    streaming: Vec<usize>,
    /// The last message as a whole answer.
    answer: Vec<u8>,
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    /// By token. A place is not used again: a server lives for one round.
    connections: Vec<Option<TcpStream>>,
    channels: Vec<Channel>,
}

impl Floor {
    pub(crate) fn run(&self) -> Result<()> {
        self.bind()?.run()
    }

    fn bind(&self) -> Result<Server> {
        let socket = Socket::new(Domain::for_address(self.listen), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&self.listen.into()).with_context(|| format!("cannot listen on {}", self.listen))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(socket.into());
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Server { poll, listener, connections: Vec::new(), channels: Vec::new() })
    }
}

impl Server {
    fn run(mut self) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 16 * 1024];
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(number) => self.serve(number, &mut buffer),
                }
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error).context("cannot accept"),
            };
            stream.set_nodelay(true)?;
            let token = Token(self.connections.len());
            self.poll.registry().register(&mut stream, token, Interest::READABLE)?;
            self.connections.push(Some(stream));
        }
    }

    /// One read, which empties the socket, and at once all that it asks for. Whoever is gone or sends anything else is
    /// closed.
    fn serve(&mut self, number: usize, buffer: &mut [u8]) {
        let Some(stream) = &mut self.connections[number] else { return };
        let read = match stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Ok(read) if read > 0 => read,
            _ => return self.connections[number] = None,
        };
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            let Some((channel, request, length)) = parse(rest) else {
                return self.connections[number] = None;
            };
            rest = &rest[length..];
            self.answer(number, channel, &request);
        }
    }

    fn answer(&mut self, number: usize, channel: usize, request: &Request<'_>) {
        if self.channels.len() <= channel {
            self.channels.resize_with(channel + 1, Channel::default);
        }
        let of = &mut self.channels[channel];
        match request {
            Request::Wait => of.waiting.push(number),
            Request::Stream => {
                of.streaming.push(number);
                write(&mut self.connections, number, STREAM);
            }
            Request::Short => write(&mut self.connections, number, &of.answer),
            Request::Unchanged => write(&mut self.connections, number, UNCHANGED),
            Request::Publish(body) => {
                write(&mut self.connections, number, PUBLISHED);
                let head =
                    format!("HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: {}\r\n\r\n", body.len());
                of.answer = [head.as_bytes(), body].concat();
                for number in of.waiting.drain(..) {
                    write(&mut self.connections, number, &of.answer);
                }
                let chunk = [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat();
                for &number in &of.streaming {
                    write(&mut self.connections, number, &chunk);
                }
            }
        }
    }
}

/// Whoever does not take all at once is closed, so that the load notices.
fn write(connections: &mut [Option<TcpStream>], number: usize, bytes: &[u8]) {
    let Some(stream) = &mut connections[number] else { return };
    if !stream.write(bytes).is_ok_and(|written| written == bytes.len()) {
        connections[number] = None;
    }
}

/// The channel's number and what is wanted, of a request that came whole, and its length.
fn parse(bytes: &[u8]) -> Option<(usize, Request<'_>, usize)> {
    let (path, rest) = bytes.split_at_checked(memchr::memchr(b'?', bytes)?)?;
    let digits = rest.strip_prefix(b"?c")?;
    let digits = &digits[..digits.iter().take_while(|byte| byte.is_ascii_digit()).count()];
    let channel = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let end = memmem::find(rest, b"\r\n\r\n")?;
    let request = match path {
        b"GET /long" => Request::Wait,
        b"GET /stream" | b"GET /events" => Request::Stream,
        b"GET /short" if memmem::find(&rest[..end], b"If-None-Match").is_some() => Request::Unchanged,
        b"GET /short" => Request::Short,
        b"POST /publish" => Request::Publish(rest[end + 4..].get(..content_length(&rest[..end])?)?),
        _ => return None,
    };
    let body = if let Request::Publish(body) = request { body.len() } else { 0 };
    Some((channel, request, path.len() + end + 4 + body))
}

/// The number behind `Content-Length: `, as the load writes it.
fn content_length(head: &[u8]) -> Option<usize> {
    let name = b"Content-Length: ";
    let digits = &head[memmem::find(head, name)? + name.len()..];
    digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .try_fold(0_usize, |length, digit| length.checked_mul(10)?.checked_add(usize::from(digit - b'0')))
}

/// A floor in a thread of its own, up to the end of the process.
#[cfg(test)]
pub(crate) fn in_a_thread() -> SocketAddr {
    let server = Floor { listen: ([127, 0, 0, 1], 0).into() }.bind().unwrap();
    let address = server.listener.local_addr().unwrap();
    std::thread::spawn(|| server.run());
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_by_its_first_bytes() {
        let wants = |text: &'static str| {
            parse(text.as_bytes()).map(|(channel, request, length)| (channel, request, text.len() - length))
        };
        assert_eq!(wants("GET /long?c17 HTTP/1.1\r\n\r\n"), Some((17, Request::Wait, 0)));
        assert_eq!(wants("GET /stream?c0 HTTP/1.1\r\n\r\n"), Some((0, Request::Stream, 0)));
        assert_eq!(wants("GET /short?c0 HTTP/1.1\r\n\r\n"), Some((0, Request::Short, 0)));
        assert_eq!(
            wants("GET /short?c0 HTTP/1.1\r\nIf-None-Match: x\r\n\r\n"),
            Some((0, Request::Unchanged, 0))
        );
        let publish = "POST /publish?c2 HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi, and more";
        assert_eq!(wants(publish), Some((2, Request::Publish(b"hi"), ", and more".len())));
        assert_eq!(wants("GET /long?c17 HTTP/1.1\r\n"), None);
        assert_eq!(wants("GET /else?c1 HTTP/1.1\r\n\r\n"), None);
    }
}
