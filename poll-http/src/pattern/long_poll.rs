//! Long poll: answers when there is something to give, when the channel ends, when the time is up, or when the
//! server drains.
//!
//! The position is settled once, before the first look, and never moves while waiting: what the answer says of
//! missed messages is counted from where the asker really was.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use http::Response;
use poll_core::{Timestamp, View};
use tokio::time::Instant;

use crate::body::Body;
use crate::metrics::Pattern;
use crate::question::{Answer, Question};
use crate::service::Service;

/// Answers a question when its time has come, as `write` has it.
pub(crate) async fn answer(
    service: Service,
    question: Question,
    write: impl FnOnce(&Answer) -> Response<Body> + Send,
) -> Response<Body> {
    let (view, now) = wait_for(&service, &question).await;
    service.count_given(&view);
    write(&Answer { view, now })
}

async fn wait_for(service: &Service, question: &Question) -> (View, Timestamp) {
    let (store, channel) = (service.store(), &question.channel);
    let pinned = store.pin(service.now(), channel, question.position).await;
    let mut timer = service.deadlines().timer();
    let mut until = Instant::now() + question.wait;
    let mut waiting = None;
    let mut phase = Serving::Yes;
    loop {
        let now = service.now();
        let view = store.read(now, channel, &pinned, question.limit).await;
        if let (Some(batch), Some(_)) = (&view.batch, &waiting) {
            service.metrics().lag(now.since(batch.newest().at));
        }
        if view.batch.is_some() || view.is_closed() || until <= Instant::now() {
            return (view, now);
        }
        if phase == Serving::Yes
            && let Some(left) = service.time_to_drain()
        {
            phase = Serving::Draining;
            until = until.min(Instant::now() + left);
        }
        waiting.get_or_insert_with(|| service.metrics().waiting(Pattern::Long));
        timer.set(until);
        let mut wait = service.wait(channel, &pinned);
        poll_fn(|cx| match Pin::new(&mut wait).poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => timer.poll(cx),
        })
        .await;
    }
}

/// Whether a draining server has already shortened the wait.
#[derive(PartialEq, Eq)]
enum Serving {
    Yes,
    Draining,
}
