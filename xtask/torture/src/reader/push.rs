//! HTTP/2 server push: each message is a pushed response, announced by a line of the open one. The edge is the moment
//! the reader resets the stream.

use std::collections::HashMap;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::client::{PushPromises, PushedResponseFuture, SendRequest};
use http::Request;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::gone::Gone;
use crate::line::{Line, Message, parse, parse_message};
use crate::place::Place;

/// How long the reader stays, in tenths of a millisecond.
const STAY: std::ops::Range<u64> = 500..800;
/// Questions asked on one connection before a new one is made.
const QUESTIONS: u64 = 25;
/// Enough that the many small frames of a push never look like an attack to our own h2, whose budget is half of this.
const WINDOW: u32 = 5 << 20;

pub(crate) struct Push {
    address: SocketAddr,
    connection: Option<SendRequest<Bytes>>,
    /// Questions left early on this connection.
    left: u64,
}

impl Push {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None, left: 0 }
    }

    pub(crate) async fn ask(&mut self, place: &mut Place) -> Result<()> {
        if self.left == QUESTIONS {
            self.hang_up();
        }
        let leave = Instant::now() + place.wait(STAY);
        place.announce(leave);
        let sender = match &mut self.connection {
            Some(sender) => sender,
            none => none.insert(connect(self.address).await?),
        };
        if let Ok(broken) = timeout_at(leave, follow(sender, self.address, place)).await {
            let ours = broken.as_ref().is_err_and(is_our_own);
            if ours && self.left > 0 {
                self.hang_up();
                return Ok(());
            }
            return broken;
        }
        self.left += 1;
        place.aim.ended(leave, Instant::now());
        Ok(())
    }

    pub(crate) fn hang_up(&mut self) {
        (self.connection, self.left) = (None, 0);
    }
}

/// Whether our own h2 gave the connection up. It does so when a promise arrives on a stream that we have just reset,
/// though RFC 9113, section 5.1, has us ignore that; on a connection with no stream left early it would be the server's
/// fault.
fn is_our_own(error: &anyhow::Error) -> bool {
    error.downcast_ref::<h2::Error>().is_some_and(|error| error.is_go_away() && error.is_library())
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Bytes>> {
    let stream = TcpStream::connect(address).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    let mut builder = h2::client::Builder::new();
    builder.enable_push(true).initial_connection_window_size(WINDOW).initial_window_size(WINDOW);
    let (sender, connection) = builder.handshake(stream).await.context("no HTTP/2")?;
    // Ends when the sender and every stream are dropped; what broke it shows in the stream that it broke.
    tokio::task::spawn_local(async { connection.await.unwrap_or_default() });
    Ok(sender)
}

async fn follow(sender: &mut SendRequest<Bytes>, address: SocketAddr, place: &mut Place) -> Result<()> {
    let mut ready = sender.clone().ready().await?;
    let request = Request::get(format!("http://{address}/api/push?{}", place.query())).body(())?;
    let (mut response, _) = ready.send_request(request, true)?;
    let mut pushes = Pushes { promises: response.push_promises(), waiting: HashMap::new() };
    let response = response.await?;
    if response.status() == 503 {
        return Err(Gone("the server says that it cannot serve now".to_owned()).into());
    }
    ensure!(response.status() == 200, "status {} where 200 was due", response.status());
    let mut lines = Lines { body: response.into_body(), unread: BytesMut::new() };
    loop {
        match lines.next().await? {
            Line::Standing { cursor } => place.cursor = Some(cursor),
            Line::Message(message) => {
                place.saw(message.seq, message.token);
                place.cursor = message.cursor;
            }
            Line::Announced { seq, cursor } => {
                let path = format!("/api/messages/{}/{cursor}", place.channel);
                let message = pushes.take(&path).await?;
                ensure!(message.seq == seq, "{path} is not message {seq}");
                place.saw(seq, message.token);
                place.cursor = Some(cursor);
            }
        }
    }
}

/// The promises that came, by their path.
struct Pushes {
    promises: PushPromises,
    waiting: HashMap<String, PushedResponseFuture>,
}

impl Pushes {
    /// The message that was promised under this path. The promise came before the line that names it, but h2 may hand
    /// over the line first.
    async fn take(&mut self, path: &str) -> Result<Message> {
        let response = loop {
            if let Some(response) = self.waiting.remove(path) {
                break response;
            }
            let promise =
                self.promises.push_promise().await.context("a push was announced and never promised")??;
            let (request, response) = promise.into_parts();
            self.waiting.insert(request.uri().path().to_owned(), response);
        };
        let response = response.await.context("a promise was not kept")?;
        ensure!(response.status() == 200, "a pushed response has status {}", response.status());
        let mut body = response.into_body();
        let mut whole = BytesMut::new();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            whole.extend_from_slice(&data);
        }
        parse_message(&whole)
    }
}

/// The open response, line by line.
struct Lines {
    body: RecvStream,
    unread: BytesMut,
}

impl Lines {
    async fn next(&mut self) -> Result<Line> {
        loop {
            if let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let line = self.unread.split_to(end + 1);
                return parse(std::str::from_utf8(&line).context("a line is not text")?);
            }
            let data = self.body.data().await.context("the stream ended though its channel has not")??;
            self.body.flow_control().release_capacity(data.len())?;
            self.unread.extend_from_slice(&data);
        }
    }
}
