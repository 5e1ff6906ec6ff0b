//! The body of an answer that lists messages.
//!
//! A small list is rendered whole, once for all its readers. A large one is rendered in pieces as its reader takes them:
//! a slow reader then holds references to messages rather than a rendering up to six times their size, and rendering
//! never keeps a worker for longer than a piece.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use poll_core::{Batch, Form, ListBatch, ListEntry, Message, OverBudget, Rendering};

use crate::dialect::question::Answer;
use crate::message::body::{Body, Coding, Piece, Pieces, held_for_one};
use crate::message::coding::Codings;
use crate::message::gzip::{self, Last, Member};
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

/// Messages that readers share: of one channel, or of several.
pub(crate) trait Messages: Send + Sync + 'static {
    /// A message, with what is known of it here.
    type Item: Clone + Send + Sync + 'static;

    /// All of them, in order.
    fn items(&self) -> &[Self::Item];

    /// The message itself.
    fn message(item: &Self::Item) -> &Message;

    /// See [`Batch::render`].
    fn shared(&self, form: Form, render: impl FnMut(&Self) -> Rendering) -> &Rendering;

    /// See [`Batch::charge`].
    fn charged(&self, part: Bytes) -> Result<Bytes, OverBudget>;

    /// See [`Batch::weight`].
    fn weight(&self) -> u64;
}

impl Messages for Batch {
    type Item = Arc<Message>;

    fn items(&self) -> &[Arc<Message>] {
        self.messages()
    }

    fn message(item: &Arc<Message>) -> &Message {
        item
    }

    fn shared(&self, form: Form, render: impl FnMut(&Self) -> Rendering) -> &Rendering {
        self.render(form, render)
    }

    fn charged(&self, part: Bytes) -> Result<Bytes, OverBudget> {
        self.charge(part)
    }

    fn weight(&self) -> u64 {
        Batch::weight(self)
    }
}

impl Messages for ListBatch {
    type Item = ListEntry;

    fn items(&self) -> &[ListEntry] {
        self.entries()
    }

    fn message(item: &ListEntry) -> &Message {
        &item.message
    }

    fn shared(&self, form: Form, render: impl FnMut(&Self) -> Rendering) -> &Rendering {
        self.render(form, render)
    }

    fn charged(&self, part: Bytes) -> Result<Bytes, OverBudget> {
        self.charge(part)
    }

    fn weight(&self) -> u64 {
        ListBatch::weight(self)
    }
}

/// How a dialect lists messages.
pub(crate) trait List: Send + 'static {
    /// Where they come from.
    type Batch: Messages;

    /// Under which the rendering is shared.
    const FORM: Form;
    /// The same, compressed.
    const GZIPPED: Form;

    /// Whether all readers of the same messages get the same rendering.
    fn sharing(&self) -> Sharing {
        Sharing::All
    }

    /// Writes what precedes the messages.
    fn open(&self, out: &mut Vec<u8>);

    /// Writes a message.
    fn message(&self, out: &mut Vec<u8>, item: &Item<Self>);

    /// Writes what follows `items` and is the same for all their readers.
    fn close(&self, out: &mut Vec<u8>, batch: &Self::Batch, items: &[Item<Self>]);
}

/// A message of a list.
pub(crate) type Item<L> = <<L as List>::Batch as Messages>::Item;

/// Who gets the same rendering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    All,
    /// Only this reader.
    None,
}

/// The body that lists the messages of `answer`, all from `batch`, followed by `own`.
pub(crate) fn body<L: List<Batch = Batch>>(
    list: L,
    answer: &Answer,
    batch: &Arc<Batch>,
    own: Vec<u8>,
) -> Body {
    body_of(list, batch, answer.only.as_ref(), own, answer.codings)
}

/// The body that lists the messages of `batch`, or `only` some of them, followed by `own`.
pub(crate) fn body_of<L: List>(
    list: L,
    batch: &Arc<L::Batch>,
    only: Option<&Vec<Item<L>>>,
    own: Vec<u8>,
    codings: Codings,
) -> Body {
    let items = only.map_or(batch.items(), |only| only);
    let small = |most| items.len() == 1 || payload::<L::Batch>(items) <= most;
    if only.is_none() && list.sharing() == Sharing::All && small(WHOLE) {
        let whole = |batch: &L::Batch| Rendering {
            bytes: render(&list, batch, batch.items()).into(),
            ends: Box::default(),
        };
        let shared = batch.shared(L::FORM, whole).bytes.clone();
        if codings == Codings::Gzip
            && shared.len() + own.len() > gzip::SMALL
            && let Some(body) = gzipped(batch, L::GZIPPED, &shared, &own)
        {
            return body;
        }
        let others = if Arc::strong_count(batch) > 1 { shared.len() } else { 0 };
        let body = if own.is_empty() {
            Body::full(shared)
        } else {
            Body::spliced([shared, own.into(), Bytes::new()])
        };
        return body.sharing(others);
    }
    if small(WHOLE_FOR_ONE) {
        let mut out = render(&list, batch, items);
        out.extend_from_slice(&own);
        if codings == Codings::Gzip && out.len() > gzip::SMALL {
            return Body::full(deflated(&mut Member::default(), &out, Last::Yes)).coded(Coding::Gzip);
        }
        return Body::full(out);
    }
    let (coding, member) = match codings {
        Codings::Gzip => (Coding::Gzip, Some(Member::default())),
        Codings::Off | Codings::Identity => (Coding::Identity, None),
    };
    let batch = batch.clone();
    Body::lazy(Listed { list, batch, only: only.cloned(), next: 0, own: Some(own), member }).coded(coding)
}

/// The body of `content`, which the readers of a batch share and which is compressed once for all of them, and of a
/// reader's `own`. `None` if it would be no smaller.
pub(crate) fn gzipped<M: Messages>(batch: &Arc<M>, form: Form, content: &Bytes, own: &[u8]) -> Option<Body> {
    let begin = |_: &M| {
        budget::charge(cost::DEFLATED_BYTE * content.len() as u64);
        Rendering { bytes: gzip::begin(content), ends: Box::default() }
    };
    let (head, tail) = gzip::end(&batch.shared(form, begin).bytes, own)?;
    let others = if Arc::strong_count(batch) > 1 { head.len() } else { 0 };
    Some(Body::spliced([head, tail.into(), Bytes::new()]).sharing(others).coded(Coding::Gzip))
}

fn deflated(member: &mut Member, content: &[u8], last: Last) -> Vec<u8> {
    budget::charge(cost::DEFLATED_BYTE * content.len() as u64);
    member.piece(content, last)
}

/// Adds the number of missed messages as a header field, for dialects whose bodies have no place for it.
pub(crate) fn add_missed(reply: &mut Reply, missed: Option<u64>) {
    if let Some(missed) = missed.filter(|missed| *missed > 0) {
        reply.headers_mut().insert(POLL_MISSED, HeaderValue::from(missed));
    }
}

fn payload<M: Messages>(items: &[M::Item]) -> usize {
    items.iter().map(|item| M::message(item).payload.len()).sum()
}

fn render<L: List>(list: &L, batch: &L::Batch, items: &[Item<L>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload::<L::Batch>(items) + (items.len() + 1) * AROUND);
    list.open(&mut out);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        list.message(&mut out, item);
    }
    list.close(&mut out, batch, items);
    budget::charge(cost::RENDERED_BYTE * out.len() as u64);
    out
}

/// A list that is rendered in pieces.
struct Listed<L: List> {
    list: L,
    /// Holds the memory's charge.
    batch: Arc<L::Batch>,
    /// The messages to send, if not all of the batch.
    only: Option<Vec<Item<L>>>,
    /// Index of the next message.
    next: usize,
    /// What follows the list; taken by the last piece.
    own: Option<Vec<u8>>,
    /// What the pieces are parts of, if they are compressed.
    member: Option<Member>,
}

impl<L: List> Listed<L> {
    fn items(&self) -> &[Item<L>] {
        self.only.as_deref().unwrap_or(self.batch.items())
    }

    /// How many messages the next piece will have, and its size without escapes.
    fn next_piece(&self) -> (usize, usize) {
        let (mut messages, mut bytes) = (0, AROUND);
        for item in &self.items()[self.next..] {
            if bytes >= PIECE {
                break;
            }
            messages += 1;
            bytes += L::Batch::message(item).payload.len() + AROUND;
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
        let items = self.only.as_deref().unwrap_or(self.batch.items());
        for item in &items[begun..begun + most] {
            if self.next > 0 {
                out.push(b',');
            }
            self.list.message(&mut out, item);
            self.next += 1;
            if out.len() >= PIECE {
                break;
            }
        }
        if self.next == items.len() {
            self.list.close(&mut out, &self.batch, items);
            out.extend(self.own.take().unwrap_or_default());
        }
        budget::charge(cost::RENDERED_BYTE * out.len() as u64);
        if let Some(member) = &mut self.member {
            out = deflated(member, &out, if self.own.is_some() { Last::No } else { Last::Yes });
        }
        Some(out)
    }
}

impl<L: List> Pieces for Listed<L> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        ready!(budget::poll_go_on(cx));
        let piece = self.piece().map(|piece| match self.batch.charged(piece.into()) {
            Ok(bytes) => Piece::Data(bytes),
            Err(_) => Piece::Broken,
        });
        Poll::Ready(piece)
    }

    fn held(&self) -> usize {
        if self.own.is_none() { 0 } else { held_for_one(&self.batch, L::Batch::weight) }
    }
}
