//! What a request costs the service, without its connection: route and parameters, and what each form of an answer
//! takes to render.
//!
//! `cargo bench -p poll-http`. Figures of one machine are for comparing two commits on it, and nothing else; what holds
//! on any machine, and whole connections, are counted by `cargo xtask bench instructions`.

#[path = "counted/world.rs"]
#[expect(dead_code, reason = "its connections are for those who count")]
mod world;

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderName, Method, Response, StatusCode, header};
use poll_http::{Body, RequestBody, Target};
use tokio::runtime::Runtime;
use world::{CONTENT, World, take, uri};

/// How many messages are rendered at a time.
const BATCH: u64 = 10;

/// The outcome of a future that has no reason to wait.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("there is something to answer"),
    }
}

/// The runtime that timers belong to; nothing runs on it.
fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without sockets")
}

fn get(world: &World, target: &str, fields: &[(HeaderName, &str)]) -> Response<Body> {
    ready(world.ask(Method::GET, &uri(target), fields, RequestBody::Empty))
}

fn route(criterion: &mut Criterion) {
    for path in
        ["/api/longpoll", "/api/poll/orders%2Feurope", "/api/messages/a/0123456789abcdef0000000000000001"]
    {
        criterion.bench_function(&format!("route: {path}"), |bencher| {
            bencher.iter(|| Target::of(black_box(path)));
        });
    }
}

/// A whole head, its answer not yet written anywhere.
fn heads(criterion: &mut Criterion) {
    let runtime = runtime();
    let _entered = runtime.enter();
    let world = ready(World::warm());
    let (end, last) = (ready(world.end()), ready(world.last()));
    let millis = world.now().as_millis();
    let current = get(&world, &format!("/api/poll?channel=counted&cursor={end}"), &[]);
    let tag = current.headers()[header::ETAG].to_str().expect("an entity tag").to_owned();
    let cases = [
        (
            "short poll, not modified",
            format!("/api/poll?channel=counted&cursor={end}"),
            StatusCode::NOT_MODIFIED,
        ),
        ("short poll, one message", format!("/api/poll?channel=counted&cursor={last}"), StatusCode::OK),
        (
            "long poll, every parameter",
            format!("/api/longpoll?limit=100&timeout=2.5&channel=counted&cursor={last}"),
            StatusCode::OK,
        ),
        (
            "golongpoll, one event",
            format!("/events?timeout=30&category=counted&since_time={}", millis - 1),
            StatusCode::OK,
        ),
        ("channel, the oldest message", "/api/poll/counted?timeout=30&since=0".to_owned(), StatusCode::OK),
        (
            "refused, a limit of nothing",
            "/api/poll?channel=counted&limit=0".to_owned(),
            StatusCode::BAD_REQUEST,
        ),
    ];
    // Nobody can say that a message taken just now is the last of its millisecond.
    (0..2_000).for_each(|_| world.tick());
    for (name, target, status) in cases {
        criterion.bench_function(&format!("request: {name}"), |bencher| {
            let fields = [(header::IF_NONE_MATCH, &tag[..])];
            assert_eq!(get(&world, &target, &fields).status(), status, "{name}");
            bencher.iter(|| get(&world, &target, &fields));
        });
    }
    criterion.bench_function("request: publish 100 bytes", |bencher| {
        let (uri, fields) = (uri("/api/message?channel=counted"), [(header::CONTENT_TYPE, "text/plain")]);
        bencher.iter(|| {
            let content = RequestBody::Full(Bytes::from_static(CONTENT.as_bytes()));
            ready(world.ask(Method::POST, &uri, &fields, content))
        });
    });
}

/// A publish of ten messages, and the first who is given them.
fn rendering(criterion: &mut Criterion) {
    let runtime = runtime();
    let _entered = runtime.enter();
    let world = ready(World::warm());
    criterion.bench_function("render: 10 messages for a poll", |bencher| {
        bencher.iter(|| {
            let end = ready(world.end());
            ready(world.publish(BATCH));
            take(get(&world, &format!("/api/poll?channel=counted&cursor={end}"), &[]).body_mut())
        });
    });
    for (name, accept) in [("lines", "application/x-ndjson"), ("events", "text/event-stream")] {
        let mut stream = get(&world, "/api/stream?channel=counted", &[(header::ACCEPT, accept)]);
        take(stream.body_mut());
        criterion.bench_function(&format!("render: 10 messages as {name}"), |bencher| {
            bencher.iter(|| {
                ready(world.publish(BATCH));
                assert_eq!(take(stream.body_mut()), BATCH);
            });
        });
    }
}

/// Long enough for a steady figure of things this small.
fn short() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2))
}

criterion_group!(name = benches; config = short(); targets = route, heads, rendering);
criterion_main!(benches);
