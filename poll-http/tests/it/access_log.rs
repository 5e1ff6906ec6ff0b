//! The access log has one line for each request, written when its answer has ended, however it ends and whatever carries it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use poll_core::{Kind, Retention, Store};
use poll_http::{AccessRecord, ServiceSettings};

use crate::world::{World, pass, settle};

/// The log of a world, as `method path status pattern channel×channels delivered end`.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn write(&self, record: &AccessRecord<'_>) {
        let AccessRecord { method, path, pattern, channel, channels, delivered, end, .. } = *record;
        let status = record.status.map_or(0, |status| status.as_u16());
        let pattern = pattern.unwrap_or("-");
        let channel = channel.unwrap_or("-");
        let end = end.name();
        let line = format!("{method} {path} {status} {pattern} {channel}×{channels} {delivered} {end}");
        self.0.lock().unwrap().push(line);
    }

    /// The lines since the last call.
    async fn lines(&self) -> Vec<String> {
        settle().await;
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn logged(settings: ServiceSettings) -> (World, Log) {
    let log = Log::default();
    let written = log.clone();
    let world = World::logging(settings, move |record| written.write(record));
    (world, log)
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_answered_at_once_have_a_line_each() {
    let (world, log) = logged(ServiceSettings::default());
    world.post("/api/message?channel=a&access_token=secret", "text/plain", "x").await;
    world.get("/api/poll?channel=a").await;
    world.get("/api/poll?channel=a&channel=b").await;
    world.get("/api/messages/a/1").await;
    world.get("/api/longpoll?channel=a&timeout=x").await;
    world.get("/nowhere?access_token=secret").await;
    world.ask("HEAD", "/api/poll?channel=a", &[], b"").await;
    world.get("/healthz").await;
    assert_eq!(
        log.lines().await,
        [
            "POST /api/message 201 publish a×1 0 complete",
            "GET /api/poll 200 short a×1 1 complete",
            "GET /api/poll 200 short a×2 1 complete",
            "GET /api/messages/a/1 200 message a×1 0 complete",
            "GET /api/longpoll 400 - -×0 0 complete",
            "GET /nowhere 404 - -×0 0 complete",
            "HEAD /api/poll 200 short a×1 0 complete",
            "GET /healthz 200 - -×0 0 complete",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_poll_has_its_line_when_it_is_answered_or_its_client_is_gone() {
    let (world, log) = logged(ServiceSettings::default());
    let answered = world.later("/api/longpoll?channel=a");
    let mut gone = world.connect();
    gone.send("GET", "/api/longpoll?channel=a", &[], b"").await;
    world.until_waiting(2).await;
    assert!(log.lines().await.is_empty(), "nothing has ended");
    gone.leave().await;
    assert_eq!(log.lines().await, ["GET /api/longpoll 0 long a×1 0 gone"]);
    world.publish("a", "x").await;
    answered.await.unwrap();
    let lines = log.lines().await;
    assert!(lines.contains(&"GET /api/longpoll 200 long a×1 1 complete".to_owned()), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_counts_what_the_broadcast_wrote_for_it() {
    for (target, channels) in [("/api/stream?channel=a", 1), ("/api/stream?channel=a&channel=b", 2)] {
        let (world, log) = logged(ServiceSettings::default());
        world.publish("a", "0").await;
        let mut wires = Vec::new();
        for _ in 0..3 {
            let mut wire = world.connect();
            wire.open(target, &[]).await;
            assert_eq!(wire.json_line().await["type"], "connected");
            wires.push(wire);
        }
        for number in 1..=5 {
            world.publish("a", "x").await;
            for wire in &mut wires {
                assert_eq!(wire.json_line().await["id"], number + 1);
            }
            // A heartbeat is the connection's own: it takes its socket back, and hands it over again.
            if number == 3 {
                pass(15_000).await;
                for wire in &mut wires {
                    assert_eq!(wire.json_line().await["type"], "heartbeat");
                }
            }
        }
        log.lines().await;
        wires.pop().unwrap().leave().await;
        let line = format!("GET /api/stream 200 stream a×{channels} 5");
        assert_eq!(log.lines().await, [format!("{line} gone")]);
        world.drain.begin(Duration::ZERO);
        for wire in &mut wires {
            assert_eq!(wire.json_line().await["reason"], "draining");
        }
        assert_eq!(log.lines().await, [format!("{line} draining"), format!("{line} draining")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_a_channel_that_ends_is_closed() {
    let (world, log) = logged(ServiceSettings::default());
    world.post("/api/progress/job", "application/json", r#"{"step":1,"total":2}"#).await;
    let mut wire = world.connect();
    wire.open("/api/progress/job", &[]).await;
    world.post("/api/progress/job", "application/json", r#"{"step":2,"total":2,"status":"done"}"#).await;
    while wire.chunk().await.is_some() {}
    let lines = log.lines().await;
    let ended = "GET /api/progress/job 200 progress progress/job×1 2 closed".to_owned();
    assert!(lines.contains(&ended), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn http2_and_hyper_log_as_the_fast_path_does() {
    let (world, log) = logged(ServiceSettings::default());
    world.publish("a", "x").await;
    log.lines().await;
    // A request that is not plain, which hyper serves.
    let mut wire = world.connect();
    wire.send_raw(b"GET /api/poll?channel=a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    wire.answer().await;
    let hyper = log.lines().await;
    let requests = world.connect_http2(&h2::client::Builder::new()).await;
    let mut requests = requests.ready().await.unwrap();
    let request = |path: &str| Request::get(format!("http://x{path}")).body(()).unwrap();
    let (response, _) = requests.send_request(request("/api/poll?channel=a"), true).unwrap();
    response.await.unwrap();
    let http2 = log.lines().await;
    assert_eq!((&hyper, &http2), (&http2, &vec!["GET /api/poll 200 short a×1 1 complete".to_owned()]));
    let (response, _) = requests.send_request(request("/api/stream?channel=a&last_id=0"), true).unwrap();
    let response = response.await.unwrap();
    assert!(response.headers().contains_key("x-request-id"));
    settle().await;
    drop(response);
    assert_eq!(log.lines().await, ["GET /api/stream 200 stream a×1 1 gone"]);
}

#[tokio::test(start_paused = true)]
async fn every_response_carries_an_id_of_its_own_or_the_requests() {
    let (world, _log) = logged(ServiceSettings::default());
    for world in [World::new(), world] {
        world.publish("a", "x").await;
        let targets =
            ["/api/poll?channel=a", "/api/longpoll?channel=a", "/healthz", "/nowhere", "/api/poll?last_id=x"];
        for target in targets {
            let ids: Vec<String> = [world.get(target).await, world.get(target).await]
                .iter()
                .map(|answer| answer.field("x-request-id").unwrap().to_owned())
                .collect();
            assert!(ids.iter().all(|id| id.len() == 16), "{target}: {ids:?}");
            assert_ne!(ids[0], ids[1], "{target}");
            let own = world.ask("GET", target, &[("X-Request-Id", "from-a-proxy:1")], b"").await;
            assert_eq!(own.field("x-request-id"), Some("from-a-proxy:1"), "{target}");
            let long = "x".repeat(129);
            for bad in [&long, "two words", ""] {
                let answer = world.ask("GET", target, &[("X-Request-Id", bad)], b"").await;
                assert_eq!(answer.field("x-request-id").unwrap().len(), 16, "{target} {bad:?}");
            }
        }
        let mut stream = world.connect();
        let head = stream.open("/api/stream?channel=a", &[("X-Request-Id", "s1")]).await;
        assert_eq!(head.field("x-request-id"), Some("s1"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_has_the_trace_of_its_request_whatever_carries_it() {
    let traces = Arc::new(Mutex::new(Vec::new()));
    let noted = traces.clone();
    let log = move |record: &AccessRecord<'_>| noted.lock().unwrap().push(record.trace);
    let world = World::logging(ServiceSettings::default(), log);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    world.ask("GET", "/api/poll", &[("traceparent", trace)], b"").await;
    // hyper reads this one.
    world.ask("HEAD", "/api/poll", &[("TraceParent", trace)], b"").await;
    world.ask("GET", "/api/poll", &[("traceparent", trace), ("traceparent", trace)], b"").await;
    world.ask("GET", "/api/poll", &[("traceparent", &trace[1..])], b"").await;
    world.get("/api/poll").await;
    settle().await;
    let seen: Vec<_> =
        traces.lock().unwrap().iter().map(|trace| trace.map(|trace| trace.to_string())).collect();
    let given = Some(trace.to_owned());
    assert_eq!(seen, [given.clone(), given, None, None, None]);
}

#[tokio::test(start_paused = true)]
async fn an_id_is_on_the_account_while_its_answer_is_awaited() {
    let world = World::new();
    let id = "i".repeat(128);
    let mut waiting = world.connect();
    waiting.send("GET", "/api/longpoll?channel=a", &[("X-Request-Id", &id)], b"").await;
    world.until_waiting(1).await;
    assert!(world.used(Kind::Names) >= 128);
    world.publish("a", "x").await;
    assert_eq!(waiting.answer().await.field("x-request-id"), Some(&*id));
    world.until_released(Kind::Names).await;
    // Without memory for it the request is refused, by an id that is made.
    let world = World::budgeted(16 * 64);
    let refused = world.ask("GET", "/api/poll", &[("X-Request-Id", &id)], b"").await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert_eq!(refused.field("x-request-id").unwrap().len(), 16);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_publishes_by_itself_is_no_request() {
    let log = Log::default();
    let written = log.clone();
    let service = poll_http::Service::builder(Store::in_memory(Retention::default()))
        .access_log(move |record| written.write(record))
        .build();
    let channel = poll_core::ChannelName::parse("a").unwrap();
    service.publish(&channel, poll_core::Publish::one(poll_core::Payload::text("x"))).await.unwrap();
    assert!(log.lines().await.is_empty());
}
