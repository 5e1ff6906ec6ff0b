//! Progress of a job: all steps so far, then each as it comes, then a clean end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use poll_core::{ChannelName, Position};
use tokio::time::Instant;

use crate::access::client::Client;
use crate::dialect::frame::Framing;
use crate::dialect::native;
use crate::message::body::Body;
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;
use crate::message::respond;
use crate::service::Service;
use crate::stream::body::{Feed, Style};
use crate::stream::channel_reader::{self, Follow};
use crate::worker::metrics::Pattern;

const DEMO_STEPS: u64 = 10;
const DEMO_PACE: Duration = Duration::from_secs(1);

/// Follows a job, reported on or not, from its first step or from where the reader was.
pub(crate) async fn answer(
    service: Service,
    job: ChannelName,
    client: Client,
    given: Option<Position>,
    framing: Framing,
) -> Result<Reply, Refusal> {
    let now = service.now();
    let from = given.unwrap_or(Position::Start);
    let (pinned, read_state) = service.stand(now, &job, from, &client).await?;
    if framing == Framing::Events && given.is_some() && channel_reader::is_over(&read_state) {
        // An EventSource comes back after every end, until it is told that there is no more.
        return Ok(respond::nothing_more());
    }
    let place = service.place(Pattern::Stream, &job, &client)?;
    let follow = Follow::new(&service, job, pinned, client);
    let feed = Feed::new(follow, Style::Steps(framing), None);
    Ok(respond::streamed(native::media(framing), Body::level(feed).on_end(place)))
}

/// The channel of a new demonstration job.
pub(crate) fn demo_job() -> Result<ChannelName, Refusal> {
    Ok(ChannelName::parse(&format!("progress/demo-{:016x}", rand::random::<u64>()))?)
}

/// Starts the demonstration job and follows it.
pub(crate) async fn demo(
    service: Service,
    job: ChannelName,
    client: Client,
    framing: Framing,
) -> Result<Reply, Refusal> {
    let running = Running::begin(&service)?;
    // The job goes on without its reader, as real ones do; it is over after ten steps either way.
    tokio::spawn(run(service.clone(), job.clone(), running));
    answer(service, job, client, None, framing).await
}

async fn run(service: Service, job: ChannelName, _running: Running) {
    let begun = Instant::now();
    for step in 1..=DEMO_STEPS + 1 {
        let report = if step > DEMO_STEPS {
            native::step(DEMO_STEPS, DEMO_STEPS, Some("Complete!".to_owned()), Some("done"))
        } else {
            native::step(step, DEMO_STEPS, None, None)
        };
        let Ok(publish) = report else { return };
        if let Err(error) = service.publish(&job, publish).await {
            tracing::warn!(%job, step, %error, "the demonstration job stops");
            return;
        }
        service.deadlines().at(begun + DEMO_PACE * u32::try_from(step).unwrap_or(u32::MAX)).await;
    }
}

/// One running demonstration, counted while it runs.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn begin(service: &Service) -> Result<Self, Refusal> {
        let (count, most) = (service.demo_jobs(), service.settings().demo_jobs);
        let more = |running| (running < most).then_some(running + 1);
        match count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Self(count.clone())),
            Err(_) => {
                let detail = "as many demonstrations are running as this server allows";
                Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(DEMO_PACE * 10))
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
