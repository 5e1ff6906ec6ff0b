//! Checks and counts what arrives on a connection, and sends the request that follows from it.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};

use super::connection::{Connection, Repeat, Role, StreamHead};
use super::response::{Head, Response};
use crate::counts::Counts;
use crate::endpoints::ReadTemplate;
use crate::marker;

/// The requests of all channels, and the counts.
pub(super) struct Checker {
    channels: Vec<Requests>,
    /// Requests that short polls may still send.
    pub(super) remaining: u64,
    pub(super) counts: Counts,
}

impl Checker {
    pub(super) fn new(channels: Vec<Requests>) -> Result<Self> {
        Ok(Self { channels, remaining: 0, counts: Counts::new()? })
    }

    pub(super) fn channel(&self, number: usize) -> &Requests {
        &self.channels[number]
    }

    /// The channels' names.
    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.channels.iter().map(|requests| &*requests.channel)
    }

    /// Handles what arrived; returns how many bytes were complete.
    pub(super) fn receive(&mut self, connection: &mut Connection, bytes: &[u8]) -> Result<usize> {
        match connection.role {
            Role::Reader(head) => return self.streamed(connection, head, bytes),
            Role::Publisher => return self.acknowledged(connection, bytes),
            Role::Waiter | Role::Poller(_) => {}
        }
        let Some(response) = Response::parse(bytes)? else { return Ok(0) };
        ensure!(response.length == bytes.len(), "there is more than the response");
        if let Role::Poller(repeat) = connection.role {
            self.polled(connection, repeat, &response)?;
        } else {
            self.waited(connection, &response)?;
        }
        Ok(response.length)
    }

    /// Sends a short poll's next request, if any remain.
    pub(super) fn ask(&mut self, connection: &mut Connection) -> Result<()> {
        if self.remaining == 0 {
            return Ok(());
        }
        self.remaining -= 1;
        let channel = &self.channels[connection.channel];
        let all = connection.role == Role::Poller(Repeat::All);
        connection.write(if all { &channel.first } else { &channel.latest })
    }

    fn waited(&mut self, connection: &mut Connection, response: &Response<'_>) -> Result<()> {
        ensure!(response.head.status == 200, "status {}", response.head.status);
        marker::scan(&response.body, |number| self.counts.deliver(&mut connection.due, number))?;
        connection.write(self.channels[connection.channel].after(response)?)
    }

    fn polled(&mut self, connection: &mut Connection, repeat: Repeat, response: &Response<'_>) -> Result<()> {
        self.counts.answered += 1;
        match response.head.status {
            304 => self.counts.unchanged += 1,
            200 => {
                // A poll that asks for all begins anew each time.
                let mut due = connection.due;
                marker::scan(&response.body, |number| self.counts.read(&mut due, number))?;
                match repeat {
                    Repeat::News => {
                        connection.due = due;
                        self.channels[connection.channel].after(response)?;
                    }
                    Repeat::All => {
                        let (next, published) = (due.next, self.counts.published);
                        ensure!(
                            u64::from(next) == published + 1,
                            "the response ends in front of message {next}"
                        );
                    }
                }
            }
            status => bail!("status {status}"),
        }
        self.ask(connection)
    }

    /// Responses to publishes, of which several may arrive at once.
    fn acknowledged(&mut self, connection: &mut Connection, bytes: &[u8]) -> Result<usize> {
        let mut taken = 0;
        while let Some(Response { head, length, .. }) = Response::parse(&bytes[taken..])? {
            ensure!((200..300).contains(&head.status), "status {} for a publish", head.status);
            let sent = connection.sent.pop_front().context("more responses than publishes")?;
            taken += length;
            self.counts.acknowledge(sent);
        }
        Ok(taken)
    }

    /// Bytes of a response without end.
    fn streamed(&mut self, connection: &mut Connection, head: StreamHead, bytes: &[u8]) -> Result<usize> {
        let mut begin = 0;
        if head == StreamHead::Awaited {
            let Some(head) = Head::parse(bytes)? else { return Ok(0) };
            ensure!(head.status == 200, "status {}", head.status);
            connection.role = Role::Reader(StreamHead::Seen);
            begin = head.length;
        }
        let rest = marker::scan(&bytes[begin..], |number| self.counts.deliver(&mut connection.due, number))?;
        Ok(begin + rest)
    }
}

/// The requests of one channel's readers. All of them receive the same response, so the request that follows from it is
/// made once and shared.
pub(super) struct Requests {
    host: SocketAddr,
    pub(super) channel: String,
    template: ReadTemplate,
    /// From a reader that has read nothing.
    pub(super) first: Vec<u8>,
    /// From a reader that is at `position`.
    pub(super) latest: Vec<u8>,
    position: [Vec<u8>; 2],
}

impl Requests {
    pub(super) fn new(host: SocketAddr, channel: String, template: ReadTemplate) -> Self {
        let first = template.request(host, &channel, [b"", b""]);
        Self { host, channel, template, latest: first.clone(), first, position: Default::default() }
    }

    /// The request that follows from this response.
    pub(super) fn after(&mut self, response: &Response<'_>) -> Result<&[u8]> {
        let position = self.template.next.position(&response.body, response.head.told)?;
        if position != self.position {
            self.latest = self.template.request(self.host, &self.channel, position);
            self.position = position.map(<[u8]>::to_vec);
        }
        Ok(&self.latest)
    }
}
