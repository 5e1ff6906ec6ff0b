//! What is in front of the server, by reading through it: whether it buffers, and where it cuts.
//!
//! What: a stream and a long poll at once, on a channel that stays silent, for as long as the longest wait.
//! Why not by its configuration: there are too many proxies, and often more than one.
//! Not here: whether it passes on what publishers send; a silent channel is not created.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, USER_AGENT};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use poll_core::environment::Environment;
use tokio::time::{Instant, timeout};

use super::finding::Finding;
use crate::config::Config;
use crate::outbound;

/// The first line of a stream is there within a round trip, or is held back.
const PATIENCE: Duration = Duration::from_secs(5);
/// Beyond a round trip to the server itself: Nagle's algorithm and delayed acknowledgements add 40 or 200 ms.
const DELAY: Duration = Duration::from_millis(100);
/// More than any answer here has.
const MOST_BYTES: usize = 64 * 1_024;
/// Beyond the longest wait, in which a long poll has to be answered.
const GRACE: Duration = Duration::from_secs(5);

/// How a stream went.
enum Stream {
    /// It was refused, or broke before its first line.
    Refused(String),
    /// Nothing came for so long.
    Silent(Duration),
    /// The first line came after this, and it was ended from the other side after that, if it was.
    Open { first: Duration, cut: Option<Duration> },
}

pub(super) async fn check(environment: &Environment, url: &Uri, config: &Config) -> Vec<Finding> {
    let base = url.to_string().trim_end_matches('/').to_owned();
    let start = Instant::now();
    let ready = match request(&format!("{base}/healthz"), config) {
        Ok(request) => timeout(PATIENCE, outbound::exchange(request, MOST_BYTES)).await,
        Err(error) => Ok(Err(error)),
    };
    let round_trip = start.elapsed();
    match ready {
        Ok(Ok(response)) if response.status() == StatusCode::OK => {}
        Ok(Ok(response)) => {
            return vec![unreachable(&base, &format!("it is answered {}", response.status()))];
        }
        Ok(Err(error)) => return vec![unreachable(&base, &error)],
        Err(_) => return vec![unreachable(&base, &format!("no answer in {PATIENCE:?}"))],
    }
    let longest = config.wire.max_poll;
    let channel = format!("doctor-{:016x}", environment.random());
    let stream = format!("{base}/api/stream?channel={channel}");
    let poll = format!("{base}/api/longpoll?channel={channel}&timeout={}", longest.as_secs_f64());
    let (stream, poll) =
        tokio::join!(stream_through(&stream, config, longest), poll_through(&poll, config, longest));
    vec![buffers(&stream, round_trip), cuts_streams(&stream, config), poll]
}

fn unreachable(url: &str, why: &str) -> Finding {
    Finding::fault("proxy", format!("{url}/healthz: {why}"), "start the server, and let the proxy lead to it")
}

fn request(url: &str, config: &Config) -> Result<Request<Empty<Bytes>>, String> {
    let mut request = Request::get(url).header(USER_AGENT, outbound::USER_AGENT);
    if let Some(token) = config.trust.subscribe.first() {
        request = request.header(AUTHORIZATION, format!("Bearer {}", token.reveal()));
    }
    request.body(Empty::new()).map_err(|error| error.to_string())
}

async fn stream_through(url: &str, config: &Config, longest: Duration) -> Stream {
    let request = match request(url, config) {
        Ok(request) => request,
        Err(error) => return Stream::Refused(error),
    };
    let (start, patience) = (Instant::now(), PATIENCE.min(longest));
    let mut first = None;
    let reading = outbound::open(request, async |response: Response<Incoming>| {
        if response.status() != StatusCode::OK {
            return Err(format!("it is answered {}", response.status()));
        }
        let mut body = response.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            if frame.data_ref().is_some_and(|data| !data.is_empty()) {
                first.get_or_insert_with(|| start.elapsed());
            }
        }
        Ok(())
    });
    let ended = timeout(longest, reading).await;
    let cut = ended.is_ok().then(|| start.elapsed());
    match (first, ended) {
        (Some(first), _) if first <= patience => Stream::Open { first, cut },
        (None, Ok(Err(error))) => Stream::Refused(error),
        (first, _) => Stream::Silent(first.unwrap_or_else(|| start.elapsed())),
    }
}

fn buffers(stream: &Stream, round_trip: Duration) -> Finding {
    match stream {
        Stream::Refused(error) => {
            let change = "see that it passes on Host, and that the token may read";
            Finding::fault("proxy", format!("a stream cannot be read through it: {error}"), change)
        }
        Stream::Silent(time) => {
            let change = "turn buffering and compression of streams off (nginx: proxy_buffering off)";
            Finding::fault("proxy", format!("it holds a stream back: no line for {time:.1?}"), change)
        }
        Stream::Open { first, .. } if first.saturating_sub(round_trip) > DELAY => {
            let change = "let it send each chunk at once (HAProxy: option http-no-delay)";
            Finding::warning("proxy", format!("it delays a stream's first line by {first:.1?}"), change)
        }
        Stream::Open { first, .. } => {
            Finding::ok("proxy", format!("passes a stream's line on in {first:.1?}"))
        }
    }
}

fn cuts_streams(stream: &Stream, config: &Config) -> Finding {
    let heartbeat = config.wire.heartbeat;
    match stream {
        Stream::Open { cut: Some(after), .. } => Finding::fault(
            "proxy",
            format!("a stream with a heartbeat every {heartbeat:?} was cut after {after:.1?}"),
            "raise its timeout for reading from the server and for idle clients, or lower --heartbeat-seconds",
        ),
        Stream::Open { cut: None, .. } => {
            Finding::ok("proxy", format!("leaves a stream open for {:?}", config.wire.max_poll))
        }
        _ => Finding::warning(
            "proxy",
            "where it cuts a stream cannot be told yet",
            "mend the line above first",
        ),
    }
}

async fn poll_through(url: &str, config: &Config, longest: Duration) -> Finding {
    let start = Instant::now();
    let polled = match request(url, config) {
        Ok(request) => timeout(longest + GRACE, outbound::exchange(request, MOST_BYTES)).await,
        Err(error) => Ok(Err(error)),
    };
    let took = start.elapsed();
    let why = match polled {
        Ok(Ok(response)) if response.status() == StatusCode::OK => {
            return Finding::ok("proxy", format!("answers a silent long poll after {took:.1?}"));
        }
        Ok(Ok(response)) => format!("is answered {} after {took:.1?}", response.status()),
        Ok(Err(error)) => format!("is cut after {took:.1?} ({error})"),
        Err(_) => format!("is not answered in {took:.1?}"),
    };
    let change = "raise its timeout for reading from the server above --max-poll-seconds, or lower that";
    Finding::fault("proxy", format!("a long poll {why}"), change)
}
