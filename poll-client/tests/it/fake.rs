//! A mock server on in-memory pipes, with just enough HTTP/1.1 to play a script.
//!
//! No sockets, so tests run on paused time.

use std::io;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use poll_client::connect::{Connect, Pipe};
use poll_client::{ChannelName, Client, Cursor, Error, Event, Subscription};
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

pub(crate) const EPOCH: u64 = 0xabc;

/// Hands the far end of each new connection to the script; refuses connections once the script is gone.
struct Wire(UnboundedSender<DuplexStream>);

impl Connect for Wire {
    fn connect(&self, _: &str) -> BoxFuture<'static, io::Result<Pipe>> {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let sent = self.0.send(far);
        async move {
            sent.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
            Ok(Box::new(near) as Pipe)
        }
        .boxed()
    }
}

/// The script's side.
pub(crate) struct Fake(UnboundedReceiver<DuplexStream>);

impl Fake {
    pub(crate) async fn pipe(&mut self) -> DuplexStream {
        self.0.recv().await.expect("the client lives")
    }

    pub(crate) async fn accept(&mut self) -> Peer {
        Peer::from(self.pipe().await)
    }

    /// Whether the client has opened a connection that nobody accepted.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.0.try_recv().is_err()
    }
}

/// One connection, seen from the server.
pub(crate) struct Peer(BufReader<DuplexStream>);

#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// `GET /api/poll?channel=c HTTP/1.1`
    pub(crate) line: String,
    /// Lower-case names.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.line.split([' ', '?']).nth(1).unwrap()
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let query = self.line.split(' ').nth(1)?.split_once('?')?.1;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// The position asked from, by whichever way; 0 for the start.
    pub(crate) fn after(&self) -> u64 {
        let text = self.header("last-event-id").or_else(|| self.query("cursor"));
        text.map_or(0, |text| text.parse::<Cursor>().unwrap().seq.get())
    }
}

impl From<DuplexStream> for Peer {
    fn from(pipe: DuplexStream) -> Self {
        Self(BufReader::new(pipe))
    }
}

impl Peer {
    /// Whether the client begins with HTTP/2's preface. Reads nothing away.
    pub(crate) async fn is_http_2(&mut self) -> bool {
        self.0.fill_buf().await.is_ok_and(|start| start.starts_with(b"PRI"))
    }

    /// The connection, with what was read ahead put back.
    pub(crate) fn into_pipe(self) -> impl AsyncRead + AsyncWrite + Unpin + Send + 'static {
        let ahead = io::Cursor::new(self.0.buffer().to_vec());
        let (read, write) = tokio::io::split(self.0.into_inner());
        tokio::io::join(ahead.chain(read), write)
    }

    /// The next request, `None` when the client hung up.
    pub(crate) async fn request(&mut self) -> Option<Asked> {
        let mut asked = Asked::default();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            match line.trim_end() {
                "" => break,
                line if asked.line.is_empty() => asked.line = line.to_owned(),
                line => {
                    let (name, value) = line.split_once(": ").unwrap();
                    asked.headers.push((name.to_lowercase(), value.to_owned()));
                }
            }
        }
        let length = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
        asked.body.resize(length, 0);
        self.0.read_exact(&mut asked.body).await.ok()?;
        Some(asked)
    }

    /// Writes; a client that hung up is none of the script's business.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    /// Waits until the client hangs up.
    pub(crate) async fn until_closed(mut self) {
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest).await;
    }
}

pub(crate) fn builder() -> (poll_client::Builder, Fake) {
    let (sender, receiver) = unbounded_channel();
    (Client::builder("http://fake:1").connector(Wire(sender)), Fake(receiver))
}

pub(crate) fn client() -> (Client, Fake) {
    let (builder, fake) = builder();
    (builder.build().unwrap(), fake)
}

pub(crate) fn channel() -> ChannelName {
    ChannelName::parse("c").unwrap()
}

pub(crate) fn cursor(seq: u64) -> String {
    format!("{EPOCH:016x}{seq:016x}")
}

/// A message as polls give it.
pub(crate) fn record(seq: u64) -> String {
    format!(
        r#"{{"id":{seq},"uuid":"0193447e-7a80-7000-8000-{seq:012}","content":"m{seq}","timestamp":"2026-11-20T22:49:38.123456Z"}}"#
    )
}

/// A polled answer's JSON; `flags` go in as they are.
pub(crate) fn polled(seqs: impl IntoIterator<Item = u64>, at: u64, flags: &str) -> String {
    let records: Vec<_> = seqs.into_iter().map(record).collect();
    format!(
        r#"{{"messages":[{}],"count":{},"cursor":"{}"{flags},"timestamp":"2026-11-20T22:49:38Z"}}"#,
        records.join(","),
        records.len(),
        cursor(at)
    )
}

/// A stream's line of a message, without its end.
pub(crate) fn update(seq: u64) -> String {
    format!(
        r#"{{"type":"update","counter":{seq},"id":{seq},"message":"mé{seq}","cursor":"{}","timestamp":"2026-11-20T22:49:38.123456Z"}}"#,
        cursor(seq)
    )
}

/// Any other line of a stream; `more` goes in as it is.
pub(crate) fn line(kind: &str, at: u64, more: &str) -> String {
    format!(r#"{{"type":"{kind}","cursor":"{}"{more}}}"#, cursor(at))
}

/// A whole answer; `headers` are lines with their ends.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

pub(crate) fn ok(body: &str) -> String {
    answer("200 OK", "Content-Type: application/json\r\n", body)
}

pub(crate) const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Answers each request on a connection of its own, and gives back what was asked; an empty answer hangs up.
pub(crate) async fn play(mut server: Fake, answers: Vec<String>) -> Vec<Asked> {
    let mut asked = Vec::new();
    for answer in answers {
        let mut peer = server.accept().await;
        asked.push(peer.request().await.unwrap());
        peer.send(answer.replacen("\r\n", "\r\nConnection: close\r\n", 1)).await;
    }
    asked
}

pub(crate) fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// What a subscription gave, in a form that is short to compare: `3`, `missed 2`, `reset`, `ended`, `error: …`.
pub(crate) fn short(event: &Result<Event, Error>) -> String {
    match event {
        Ok(Event::Message(message)) => message.seq.to_string(),
        Ok(Event::Missed { count, reset: false, .. }) => format!("missed {}", count.unwrap()),
        Ok(Event::Missed { reset: true, .. }) => "reset".to_owned(),
        Ok(Event::Refused { channel }) => format!("refused {channel}"),
        Ok(Event::Closed { .. }) => "ended".to_owned(),
        Err(error) => format!("error: {error}"),
    }
}

/// The next event, shortened; `None` at the end. An hour of paused time without one is a failure.
pub(crate) async fn next(events: &mut Subscription) -> Option<String> {
    let next = tokio::time::timeout(Duration::from_secs(3600), events.next()).await;
    next.expect("an event within the hour").as_ref().map(short)
}

/// The next `count` events, joined by spaces; fewer if it ends.
pub(crate) async fn take(events: &mut Subscription, count: usize) -> String {
    let mut taken = Vec::new();
    while taken.len() < count {
        let Some(event) = next(events).await else { break };
        taken.push(event);
    }
    taken.join(" ")
}
