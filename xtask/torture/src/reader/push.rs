//! HTTP/2 server push: each message is a pushed response, announced by a line of the open one. The edge is the moment
//! the reader resets the stream.

use std::collections::HashMap;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::client::{PushPromises, PushedResponseFuture, SendRequest};
use http::Request;
use tokio::time::{Instant, timeout_at};

use crate::client::{expect, http2};
use crate::payload::{self, Line, Message};
use crate::position::Position;

/// How long the reader stays, in tenths of a millisecond.
const STAY: std::ops::Range<u64> = 500..800;
/// Questions asked on one connection before a new one is made.
const QUESTIONS: u64 = 25;
/// h2 allows many small frames in proportion to its window; with this one a push never looks like an attack to it.
const WINDOW: u32 = 5 << 20;

pub(super) struct Push {
    address: SocketAddr,
    connection: Option<SendRequest<Bytes>>,
    /// Questions left early on this connection.
    left: u64,
}

impl Push {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None, left: 0 }
    }

    pub(super) async fn ask(&mut self, position: &mut Position) -> Result<()> {
        if self.left == QUESTIONS {
            self.hang_up();
        }
        let leave = Instant::now() + position.wait(STAY);
        position.announce(leave);
        let sender = match &mut self.connection {
            Some(sender) => sender,
            none => none.insert(connect(self.address).await?),
        };
        if let Ok(broken) = timeout_at(leave, read(sender, self.address, position)).await {
            let ours = broken.as_ref().is_err_and(is_our_own);
            if ours && self.left > 0 {
                self.hang_up();
                return Ok(());
            }
            return broken;
        }
        self.left += 1;
        position.aim.ended(leave, Instant::now());
        Ok(())
    }

    pub(super) fn hang_up(&mut self) {
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
    let mut settings = h2::client::Builder::new();
    settings.enable_push(true).initial_connection_window_size(WINDOW).initial_window_size(WINDOW);
    // It ends when the sender and all streams are dropped; what broke it shows in the stream that it broke.
    Ok(http2(address, &settings).await?.0)
}

async fn read(sender: &mut SendRequest<Bytes>, address: SocketAddr, position: &mut Position) -> Result<()> {
    let mut ready = sender.clone().ready().await?;
    let request = Request::get(format!("http://{address}/api/push?{}", position.query())).body(())?;
    let (mut response, _) = ready.send_request(request, true)?;
    let mut pushes = Pushes { promises: response.push_promises(), waiting: HashMap::new() };
    let response = response.await?;
    expect(response.status(), 200)?;
    let mut lines = Lines { body: response.into_body(), unread: BytesMut::new() };
    loop {
        match lines.next().await? {
            Line::Position { cursor } => position.cursor = Some(cursor),
            Line::Message(Message { seq, token, cursor }) => {
                position.saw(seq, token, cursor.as_deref().unwrap_or_default())?;
                position.cursor = cursor;
            }
            Line::Told { notice, cursor } => {
                position.told(notice)?;
                position.cursor = Some(cursor);
            }
            Line::Announced { seq, cursor } => {
                let path = format!("/api/messages/{}/{cursor}", position.channel);
                let message = pushes.take(&path).await?;
                ensure!(message.seq == seq, "{path} is not message {seq}");
                position.saw(seq, message.token, &cursor)?;
                position.cursor = Some(cursor);
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
        payload::message(&serde_json::from_slice(&whole).context("a message is not JSON")?, "content", None)
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
                return payload::line(std::str::from_utf8(&line).context("a line is not text")?);
            }
            let data = self.body.data().await.context("the stream ended though its channel has not")??;
            self.body.flow_control().release_capacity(data.len())?;
            self.unread.extend_from_slice(&data);
        }
    }
}
