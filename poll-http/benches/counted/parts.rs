//! What a request costs without its connection: the route, the service, and what a batch is rendered as.
//!
//! The service is called as `serve` calls it; the building of the request is in the figure.

use std::hint::black_box;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use poll_http::{RequestBody, Target};

use crate::BATCH;
use crate::world::{CONTENT, World, block_on, take, uri};

/// A path of each kind that is asked for often.
pub(crate) const ROUTES: [&str; 8] = [
    "/api/message",
    "/api/poll",
    "/api/longpoll",
    "/api/stream",
    "/events",
    "/messages",
    "/api/poll/orders%2Feurope",
    "/api/messages/orders/0123456789abcdef0000000000000001",
];

pub(crate) fn route(rounds: u64) {
    for _ in 0..rounds {
        for path in ROUTES {
            assert!(black_box(Target::of(black_box(path))).is_ok());
        }
    }
}

/// A publish of ten messages, and the first poll that is given them.
pub(crate) fn render_poll(rounds: u64) {
    block_on(async {
        let world = World::warm().await;
        for _ in 0..rounds {
            let uri = uri(&format!("/api/poll?channel=counted&cursor={}", world.end().await));
            world.publish(BATCH).await;
            let mut answer = world.ask(Method::GET, &uri, &[], RequestBody::Empty).await;
            assert_eq!(take(answer.body_mut()), 2, "what all share, and the time");
        }
    });
}

pub(crate) fn render_lines(rounds: u64) {
    render_stream(rounds, "application/x-ndjson");
}

pub(crate) fn render_events(rounds: u64) {
    render_stream(rounds, "text/event-stream");
}

/// A publish of ten messages, and the first open stream that is given them.
fn render_stream(rounds: u64, accept: &str) {
    block_on(async {
        let world = World::warm().await;
        let uri = uri("/api/stream?channel=counted");
        let mut answer = world.ask(Method::GET, &uri, &[(header::ACCEPT, accept)], RequestBody::Empty).await;
        take(answer.body_mut());
        for _ in 0..rounds {
            world.publish(BATCH).await;
            assert_eq!(take(answer.body_mut()) as u64, BATCH);
        }
    });
}

/// A short poll by somebody who has everything.
pub(crate) fn short_304(rounds: u64) {
    block_on(async {
        let world = World::warm().await;
        let uri = uri(&format!("/api/poll?channel=counted&cursor={}", world.end().await));
        let first = world.ask(Method::GET, &uri, &[], RequestBody::Empty).await;
        let tag = first.headers()[header::ETAG].to_str().expect("an entity tag");
        for _ in 0..rounds {
            let fields = [(header::IF_NONE_MATCH, tag)];
            let answer = world.ask(Method::GET, &uri, &fields, RequestBody::Empty).await;
            assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
        }
    });
}

/// A publish of 100 bytes while nobody waits.
pub(crate) fn publish(rounds: u64) {
    block_on(async {
        let world = World::warm().await;
        let uri = uri("/api/message?channel=counted");
        for _ in 0..rounds {
            world.tick();
            let fields = [(header::CONTENT_TYPE, "text/plain")];
            let content = RequestBody::Full(Bytes::from_static(CONTENT.as_bytes()));
            let answer = world.ask(Method::POST, &uri, &fields, content).await;
            assert_eq!(answer.status(), StatusCode::CREATED);
        }
    });
}
