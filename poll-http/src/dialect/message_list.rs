//! The body of an answer that lists messages.
//!
//! A small list is rendered whole, once for all its readers. A large one is rendered in pieces as its reader takes them:
//! a slow reader then holds references to messages rather than a rendering up to six times their size, and rendering
//! never keeps a worker for longer than a piece.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use poll_core::{Batch, Form, Message, ReadState, Rendering};

use crate::dialect::question::Answer;
use crate::message::body::{Body, Piece, Pieces, held_for_one};
use crate::message::reply::Reply;
use crate::worker::budget::{self, cost};

/// Lists of at most this many bytes of payload are rendered whole, as is any single message.
const WHOLE: usize = 64 * 1024;
/// The same for a list that only one reader gets.
const WHOLE_FOR_ONE: usize = 4 * 1024;
/// The size of a piece, give or take a message.
const PIECE: usize = 16 * 1024;
/// Room for what surrounds a message's payload.
const AROUND: usize = 192;

const POLL_MISSED: HeaderName = HeaderName::from_static("poll-missed");

/// How a dialect lists messages.
pub(crate) trait List: Send + 'static {
    /// Under which the rendering is shared.
    const FORM: Form;

    /// Writes what precedes the messages.
    fn open(&self, out: &mut Vec<u8>);

    /// Writes a message.
    fn message(&self, out: &mut Vec<u8>, message: &Message);

    /// Writes what follows `messages` and is the same for all their readers.
    fn close(&self, out: &mut Vec<u8>, batch: &Batch, messages: &[Arc<Message>]);
}

/// The body that lists the messages of `answer`, all from `batch`, followed by `own`.
pub(crate) fn body<L: List>(list: L, answer: &Answer, batch: &Arc<Batch>, own: Vec<u8>) -> Body {
    let messages = answer.messages();
    let small = |most| messages.len() == 1 || payload(messages) <= most;
    if answer.only.is_none() && small(WHOLE) {
        let whole = |batch: &Batch| Rendering {
            bytes: render(&list, batch, batch.messages()).into(),
            ends: Box::default(),
        };
        let shared = batch.render(L::FORM, whole).bytes.clone();
        let others = if Arc::strong_count(batch) > 1 { shared.len() } else { 0 };
        let body = if own.is_empty() {
            Body::full(shared)
        } else {
            Body::spliced([shared, own.into(), Bytes::new()])
        };
        return body.sharing(others);
    }
    if small(WHOLE_FOR_ONE) {
        let mut out = render(&list, batch, messages);
        out.extend_from_slice(&own);
        return Body::full(out);
    }
    Body::lazy(Listed { list, batch: batch.clone(), only: answer.only.clone(), next: 0, own: Some(own) })
}

/// Adds the number of missed messages as a header field, for dialects whose bodies have no place for it.
pub(crate) fn add_missed(reply: &mut Reply, read_state: &ReadState) {
    if let Some(missed) = read_state.missed().filter(|missed| *missed > 0) {
        reply.headers_mut().insert(POLL_MISSED, HeaderValue::from(missed));
    }
}

fn payload(messages: &[Arc<Message>]) -> usize {
    messages.iter().map(|message| message.payload.len()).sum()
}

fn render(list: &impl List, batch: &Batch, messages: &[Arc<Message>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload(messages) + (messages.len() + 1) * AROUND);
    list.open(&mut out);
    for (index, message) in messages.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        list.message(&mut out, message);
    }
    list.close(&mut out, batch, messages);
    budget::charge(cost::RENDERED_BYTE * out.len() as u64);
    out
}

/// A list that is rendered in pieces.
struct Listed<L> {
    list: L,
    /// Holds the memory's charge.
    batch: Arc<Batch>,
    /// The messages to send, if not all of the batch.
    only: Option<Vec<Arc<Message>>>,
    /// Index of the next message.
    next: usize,
    /// What follows the list; taken by the last piece.
    own: Option<Vec<u8>>,
}

impl<L: List> Listed<L> {
    fn messages(&self) -> &[Arc<Message>] {
        self.only.as_deref().unwrap_or(self.batch.messages())
    }

    /// How many messages the next piece will have, and its size without escapes.
    fn next_piece(&self) -> (usize, usize) {
        let (mut messages, mut bytes) = (0, AROUND);
        for message in &self.messages()[self.next..] {
            if bytes >= PIECE {
                break;
            }
            messages += 1;
            bytes += message.payload.len() + AROUND;
        }
        (messages, bytes)
    }

    fn piece(&mut self) -> Option<Vec<u8>> {
        self.own.as_ref()?;
        let (most, bytes) = self.next_piece();
        let mut out = Vec::with_capacity(bytes);
        let begun = self.next;
        if begun == 0 {
            self.list.open(&mut out);
        }
        let messages = self.only.as_deref().unwrap_or(self.batch.messages());
        for message in &messages[begun..begun + most] {
            if self.next > 0 {
                out.push(b',');
            }
            self.list.message(&mut out, message);
            self.next += 1;
            if out.len() >= PIECE {
                break;
            }
        }
        if self.next == messages.len() {
            self.list.close(&mut out, &self.batch, messages);
            out.extend(self.own.take().unwrap_or_default());
        }
        budget::charge(cost::RENDERED_BYTE * out.len() as u64);
        Some(out)
    }
}

impl<L: List> Pieces for Listed<L> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        ready!(budget::poll_go_on(cx));
        let piece = self.piece().map(|piece| match self.batch.charge(piece.into()) {
            Ok(bytes) => Piece::Data(bytes),
            Err(_) => Piece::Broken,
        });
        Poll::Ready(piece)
    }

    fn held(&self) -> usize {
        if self.own.is_none() { 0 } else { held_for_one(&self.batch) }
    }
}
