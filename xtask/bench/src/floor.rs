//! `cargo xtask bench floor`: what the kernel alone costs. A bare epoll loop that reads a request and writes prepared
//! bytes.
//!
//! No server can be much cheaper, so the distance to it is what a server's own work costs. It is no server: it keeps one
//! response per channel, checks nothing, and expects each request in one piece, as the load writes it.

use std::collections::HashMap;
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

#[derive(Args)]
pub(crate) struct Floor {
    /// Where to listen
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
}

#[derive(Default)]
struct Channel {
    waiting: Vec<usize>,
    streaming: Vec<usize>,
    /// The last message as a whole response.
    response: Vec<u8>,
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    /// By token; closed ones stay, because a server lives for one round.
    connections: Vec<Option<TcpStream>>,
    channels: HashMap<Vec<u8>, Channel>,
}

impl Floor {
    pub(crate) fn run(&self) -> Result<()> {
        self.bind()?.run()
    }

    fn bind(&self) -> Result<Server> {
        let socket = Socket::new(Domain::for_address(self.listen), Type::STREAM, None)?;
        socket.bind(&self.listen.into()).with_context(|| format!("cannot listen on {}", self.listen))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(socket.into());
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Server { poll, listener, connections: Vec::new(), channels: HashMap::new() })
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
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                accepted => accepted?.0,
            };
            stream.set_nodelay(true)?;
            let token = Token(self.connections.len());
            self.poll.registry().register(&mut stream, token, Interest::READABLE)?;
            self.connections.push(Some(stream));
        }
    }

    /// One read, which empties the socket, and a response to each request in it. Anything unexpected closes the
    /// connection, so that the load notices.
    fn serve(&mut self, number: usize, buffer: &mut [u8]) {
        let Some(stream) = &mut self.connections[number] else { return };
        let read = match stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Ok(read) if read > 0 => read,
            _ => return self.connections[number] = None,
        };
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            match self.respond(number, rest) {
                Some(length) => rest = &rest[length..],
                None => return self.connections[number] = None,
            }
        }
    }

    /// Responds to the first request of `bytes` and returns its length: `GET /long?c17 HTTP/1.1`.
    fn respond(&mut self, number: usize, bytes: &[u8]) -> Option<usize> {
        let end = memmem::find(bytes, b"\r\n\r\n")? + 4;
        let (path, rest) = bytes[..end].split_at_checked(memchr::memchr(b'?', bytes)?)?;
        let channel = &rest[..memchr::memchr(b' ', rest)?];
        if !self.channels.contains_key(channel) {
            self.channels.insert(channel.to_owned(), Channel::default());
        }
        let channel = self.channels.get_mut(channel)?;
        let connections = &mut self.connections;
        match path {
            b"GET /long" => channel.waiting.push(number),
            b"GET /stream" | b"GET /events" => {
                channel.streaming.push(number);
                write(connections, number, STREAM);
            }
            b"GET /short" if memmem::find(rest, b"If-None-Match").is_some() => {
                write(connections, number, UNCHANGED);
            }
            b"GET /short" => write(connections, number, &channel.response),
            b"POST /publish" => {
                let body = bytes.get(end..end + content_length(rest)?)?;
                write(connections, number, PUBLISHED);
                channel.publish(connections, body);
                return Some(end + body.len());
            }
            _ => return None,
        }
        Some(end)
    }
}

impl Channel {
    fn publish(&mut self, connections: &mut [Option<TcpStream>], body: &[u8]) {
        let head = format!("HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: {}\r\n\r\n", body.len());
        self.response = [head.as_bytes(), body].concat();
        for number in self.waiting.drain(..) {
            write(connections, number, &self.response);
        }
        let chunk = [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat();
        for &number in &self.streaming {
            write(connections, number, &chunk);
        }
    }
}

/// A connection that does not take everything at once is closed.
fn write(connections: &mut [Option<TcpStream>], number: usize, bytes: &[u8]) {
    let Some(stream) = &mut connections[number] else { return };
    if !stream.write(bytes).is_ok_and(|written| written == bytes.len()) {
        connections[number] = None;
    }
}

/// As the load writes it.
fn content_length(head: &[u8]) -> Option<usize> {
    let name = b"Content-Length: ";
    let rest = &head[memmem::find(head, name)? + name.len()..];
    std::str::from_utf8(&rest[..memchr::memchr(b'\r', rest)?]).ok()?.parse().ok()
}

/// A floor in a thread of its own that lives as long as the process.
#[cfg(test)]
pub(crate) fn in_a_thread() -> SocketAddr {
    let server = Floor { listen: ([127, 0, 0, 1], 0).into() }.bind().unwrap();
    let address = server.listener.local_addr().unwrap();
    std::thread::spawn(|| server.run());
    address
}
