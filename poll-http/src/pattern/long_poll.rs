//! Long poll: answers when there is something to give, when the channel ends, when the time is up, or when the
//! server drains.
//!
//! The position is settled once, before the first look, and never moves while waiting: what the answer says of
//! missed messages is counted from where the asker really was.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::Response;
use poll_core::{Cursor, Limit, Message, Pinned, Seal, Timestamp, View};
use tokio::time::Instant;

use crate::body::Body;
use crate::client::Client;
use crate::deadline::Timer;
use crate::error::Refusal;
use crate::metrics::Pattern;
use crate::question::{Answer, AtEnd, Grain, Question, Skips};
use crate::route::Action;
use crate::service::Service;

/// Answers a question when its time has come, as `write` has it.
pub(crate) async fn answer(
    service: Service,
    question: Question,
    client: Client,
    action: Action,
    write: impl FnOnce(&Answer) -> Response<Body> + Send,
) -> Result<Response<Body>, Refusal> {
    let answer = wait_for(&service, &question, &client).await?;
    // Who asks for the head is given no messages.
    if action != Action::Head {
        service.count_given(&question.channel, &answer, &client);
    }
    Ok(write(&answer))
}

async fn wait_for(service: &Service, question: &Question, client: &Client) -> Result<Answer, Refusal> {
    let channel = &question.channel;
    let came = service.now();
    let mut pinned = service.store().pin(came, channel, question.position).await;
    let mut timer = service.deadlines().timer();
    let mut until = Instant::now() + question.wait;
    let (mut waiting, mut first, mut phase) = (None, None, Phase::Serving);
    loop {
        let Look { view, now, only, pause } = look(service, question, &mut pinned).await;
        let first = *first.get_or_insert(view.standing);
        if let (Some(batch), Some(_)) = (&view.batch, &waiting) {
            service.metrics().lag(now.since(batch.newest().at));
        }
        let ended = question.at_end == AtEnd::Answer && view.is_closed();
        if pause.is_some() && until + STUCK <= Instant::now() {
            // The journal does not come to an end with what may share the last millisecond.
            let view = View { batch: None, next: view.standing.cursor(), ..view };
            return Ok(Answer { view, now, begun: (first, came), only: None });
        }
        if pause.is_none() && (view.batch.is_some() || ended || until <= Instant::now()) {
            return Ok(Answer { view, now, begun: (first, came), only });
        }
        if waiting.is_none() {
            waiting = Some((service.admit(channel, client)?, service.metrics().waiting(Pattern::Long)));
        }
        if phase == Phase::Serving
            && let Some(left) = service.time_to_drain()
        {
            phase = Phase::Draining;
            until = until.min(Instant::now() + left);
        }
        timer.set(pause.map_or(until, |pause| Instant::now() + pause));
        if pause.is_some() {
            poll_fn(|cx| timer.poll(cx)).await;
        } else if view.is_closed() {
            silence(service, &mut timer, phase).await;
        } else {
            news(service, question, &pinned, &mut timer).await;
        }
    }
}

/// Whether a draining server has already shortened the wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    Draining,
}

/// Waits until something may have come, or the time is up.
async fn news(service: &Service, question: &Question, pinned: &Pinned, timer: &mut Timer) {
    let mut wait = service.wait(&question.channel, pinned);
    poll_fn(|cx| match Pin::new(&mut wait).poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => timer.poll(cx),
    })
    .await;
}

/// Waits where nothing will ever come.
async fn silence(service: &Service, timer: &mut Timer, phase: Phase) {
    let mut drain = service.drain().wait_draining();
    poll_fn(|cx| match Pin::new(&mut drain).poll(cx) {
        Poll::Ready(()) if phase == Phase::Serving => Poll::Ready(()),
        _ => timer.poll(cx),
    })
    .await;
}

/// What one look shows.
struct Look {
    view: View,
    now: Timestamp,
    /// Those messages that are given, where not all are.
    only: Option<Vec<Arc<Message>>>,
    /// How long to let what there is grow before it is given.
    pause: Option<Duration>,
}

/// Looks once; what the answer must not cut through is left out or waited for.
async fn look(service: &Service, question: &Question, pinned: &mut Pinned) -> Look {
    let mut limit = question.limit;
    loop {
        let now = service.now();
        let view = service.store().read(now, &question.channel, pinned, limit).await;
        let cut = match question.grain {
            Grain::Message => Cut::None,
            Grain::Millisecond => match cut(&view, now) {
                Cut::None => seal(service, question, &view),
                cut => cut,
            },
        };
        let messages = view.batch.as_ref().map_or(&[][..], |batch| batch.messages());
        let only = match cut {
            Cut::None => None,
            Cut::Growing => return Look { view, now, only: None, pause: Some(Duration::from_millis(1)) },
            Cut::Behind(whole) => Some(messages[..whole].to_vec()),
            // A channel takes no more than 1000 messages a millisecond, so with any number of bytes all fit.
            Cut::TooShort if limit.bytes < usize::MAX => {
                limit = Limit { bytes: usize::MAX, ..Limit::default() };
                continue;
            }
            Cut::TooShort => None,
        };
        let only = match question.skips {
            Skips::Nothing => only,
            Skips::Deleted => {
                let standing = &view.standing;
                let given = only.as_deref().unwrap_or(messages);
                let left = service.undeleted(&question.channel, standing.epoch, given);
                if left.is_empty() && !given.is_empty() {
                    // All of it was given away: as if it were not there.
                    let last = given[given.len() - 1].seq;
                    *pinned = Pinned::after(Cursor { epoch: standing.epoch, seq: last });
                    continue;
                }
                Some(left)
            }
        };
        return Look { view, now, only, pause: None };
    }
}

/// How long behind its time a poll waits for a millisecond to be over, before it answers that nothing came. The
/// asker then asks from where it was, so nothing is lost by it.
const STUCK: Duration = Duration::from_secs(1);

/// Closes the last millisecond of a view that reaches up to the newest message; where that cannot be, leaves it
/// out.
fn seal(service: &Service, question: &Question, view: &View) -> Cut {
    let Some(batch) = &view.batch else { return Cut::None };
    let newest = batch.newest();
    let clipped = newest.seq < view.standing.newest;
    if clipped || service.store().seal(&question.channel, newest) == Seal::Closed {
        return Cut::None;
    }
    match batch.messages().partition_point(|message| message.at.as_millis() < newest.at.as_millis()) {
        0 => Cut::Growing,
        whole => Cut::Behind(whole),
    }
}

/// How a view cuts through milliseconds.
#[derive(Debug, PartialEq, Eq)]
enum Cut {
    /// Not at all.
    None,
    /// Its only millisecond is still going on.
    Growing,
    /// After this many messages it would not.
    Behind(usize),
    /// Not even its first millisecond is whole.
    TooShort,
}

/// At most this far ahead of the clock, a message's millisecond is still going on; farther, the clock was set
/// back. Times grow by a microsecond at least, so large publishes in quick succession run ahead of the clock.
const AHEAD_MILLIS: u64 = 1_000;

fn cut(view: &View, now: Timestamp) -> Cut {
    let Some(batch) = &view.batch else { return Cut::None };
    let last = batch.newest().at.as_millis();
    let clipped = batch.newest().seq < view.standing.newest;
    let going_on = |millis: u64| (now.as_millis()..=now.as_millis() + AHEAD_MILLIS).contains(&millis);
    if !clipped && !going_on(last) {
        return Cut::None;
    }
    let whole = |millis: u64| millis < last && !going_on(millis);
    match batch.messages().partition_point(|message| whole(message.at.as_millis())) {
        0 if going_on(batch.messages()[0].at.as_millis()) => Cut::Growing,
        0 => Cut::TooShort,
        count => Cut::Behind(count),
    }
}
