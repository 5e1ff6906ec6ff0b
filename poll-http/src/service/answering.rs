//! The future of a response.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::message::outcome::Pending;
use crate::message::refusal::{ErrorFormat, Refusal};
use crate::message::reply::{Reply, Sniffing};
use crate::message::request_id::RequestId;
use crate::service::finish::Finish;
use crate::worker::Worker;

/// The response of a [`Service`](crate::Service), now or later. One that waits is a single allocation.
pub struct Answering(State);

enum State {
    Ready(Option<Reply>),
    Waiting { answer: Pending, worker: Worker, finish: Finish },
}

impl Answering {
    pub(super) fn ready(reply: Reply) -> Self {
        Self(State::Ready(Some(reply)))
    }

    /// A pending response, and what completes it.
    pub(super) fn waiting(answer: Pending, worker: Worker, finish: Finish) -> Self {
        Self(State::Waiting { answer, worker, finish })
    }

    /// 404 for a path of no dialect.
    pub(super) fn not_found(id: RequestId) -> Self {
        let reply = Refusal::not_found().into_reply(ErrorFormat::ProblemJson);
        Self::ready(Reply { sniffing: Sniffing::Forbidden, id: Some(id), ..reply })
    }
}

impl Future for Answering {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reply> {
        match &mut self.0 {
            State::Ready(reply) => reply.take().map_or(Poll::Pending, Poll::Ready),
            State::Waiting { answer, worker, finish } => {
                Poll::Ready(match ready!(answer.as_mut().poll(cx)) {
                    Ok(mut reply) => {
                        finish.apply(worker, &mut reply);
                        reply
                    }
                    Err(refusal) => finish.refuse(worker, refusal),
                })
            }
        }
    }
}
