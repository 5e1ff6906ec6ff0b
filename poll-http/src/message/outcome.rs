//! What a pattern returns: an answer that is ready, or one that is still to come.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::message::refusal::Refusal;
use crate::message::reply::Reply;

/// An answer, now or later.
#[expect(clippy::large_enum_variant, reason = "lives for one call, and a box would cost each answer")]
pub(crate) enum Outcome {
    Now(Reply),
    Later(Pending),
}

/// An answer to come, which may be a refusal.
pub(crate) type Pending = Pin<Box<dyn Future<Output = Result<Reply, Refusal>> + Send>>;

impl Outcome {
    /// An answer that will probably have to wait.
    pub(crate) fn later(answer: impl Future<Output = Result<Reply, Refusal>> + Send + 'static) -> Self {
        Self::Later(Box::pin(answer))
    }

    /// An answer that probably need not wait.
    pub(crate) fn soon(
        answer: impl Future<Output = Result<Reply, Refusal>> + Send + 'static,
    ) -> Result<Self, Refusal> {
        let mut answer: Pending = Box::pin(answer);
        // No waker is needed: the task that waits for the answer polls it again.
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer.map(Self::Now),
            Poll::Pending => Ok(Self::Later(answer)),
        }
    }

    /// Waits for the answer.
    pub(crate) async fn finished(self) -> Result<Reply, Refusal> {
        match self {
            Self::Now(reply) => Ok(reply),
            Self::Later(answer) => answer.await,
        }
    }
}
