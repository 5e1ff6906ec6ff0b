//! Who asks for what is not in memory waits for the journal as for anything else: for its own time, in a place of its
//! own, until the drain; and a stream goes on to say that it lives.

use std::time::Duration;

use poll_core::Store;
use serde_json::{Value, json};

use crate::shelf::{Shelf, content};
use crate::world::{Wire, World, pass};

/// A server above a journal that has five messages and does not answer.
fn held() -> (std::sync::Arc<Shelf>, World) {
    let (shelf, store): (_, Store) = Shelf::store(5, &[]);
    shelf.hold();
    (shelf, World::over(store))
}

fn cursor(number: u64) -> String {
    format!("{:016x}{number:016x}", 0xE)
}

#[tokio::test(start_paused = true)]
async fn a_poll_holds_a_place_and_ends_in_its_own_time_where_it_was() {
    let (shelf, world) = held();
    let begun = world.millis();
    let poll = world.later(&format!("/api/longpoll?channel=c&cursor={}&timeout=3", cursor(2)));
    world.until_waiting(1).await;
    assert_eq!(world.metric("poll_waiters{pattern=\"long\"}"), 1);
    let answer = poll.await.unwrap();
    assert_eq!((answer.status, answer.json()["count"].clone(), answer.cursor()), (200, json!(0), cursor(2)));
    assert_eq!(answer.json().get("missed"), None);
    let took = world.millis() - begun;
    assert!((2_900..=3_100).contains(&took), "{took}");
    assert_eq!(world.waiters(), 0);

    // Who has no position of this channel's cannot be told that nothing came.
    let answer = world.get("/api/longpoll?channel=c&last_id=2&timeout=3").await;
    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")));
    let answer = world.get("/events?category=c&timeout=3").await;
    assert_eq!((answer.status, answer.json()["error"].is_string()), (503, true));
    shelf.let_go();
    let answer = world.get(&format!("/api/longpoll?channel=c&cursor={}", cursor(2))).await;
    assert_eq!(answer.contents(), [3, 4, 5].map(content));
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_of_a_stream_that_could_not_be_read_is_not_up_to_date() {
    let (shelf, store): (_, Store) = Shelf::store(5, &[]);
    let world = World::over(store);
    let all = world.get("/v1/stream/c?offset=-1").await;
    assert_eq!(all.field("stream-up-to-date"), Some("true"));
    let offset = |number: u64| format!("{number:016x}_{:016x}", 0);
    assert_eq!(all.field("stream-next-offset"), Some(offset(5).as_str()));
    let target = format!("/v1/stream/c?offset={}&live=long-poll", offset(2));
    let poll = || world.get(&target);
    shelf.hold();
    let unread = poll().await;
    assert_eq!(
        (unread.status, unread.field("stream-next-offset")),
        (204.try_into().unwrap(), Some(offset(2).as_str()))
    );
    assert_eq!(unread.field("stream-up-to-date"), None);
    shelf.let_go();
    assert_eq!(poll().await.field("stream-up-to-date"), Some("true"));
}

#[tokio::test(start_paused = true)]
async fn a_poll_without_time_is_still_given_what_the_disk_has() {
    let (shelf, world) = held();
    let poll = world.later("/api/longpoll?channel=c&timeout=0");
    world.until_waiting(1).await;
    shelf.let_go();
    assert_eq!(poll.await.unwrap().contents().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn other_requests_wait_for_a_while_and_are_told_that_the_store_is_away() {
    let (_, world) = held();
    for target in
        ["/api/poll?channel=c", "/api/messages/c/1", "/api/stream?channel=c&last_id=1", "/api/push?channel=c"]
    {
        let begun = world.millis();
        let waiting = world.later(target);
        world.until_waiting(1).await;
        assert_eq!(world.metric("poll_waiters{pattern=\"cold\"}"), 1, "{target}");
        let answer = waiting.await.unwrap();
        assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")), "{target}");
        let took = world.millis() - begun;
        assert!((5_000..5_100).contains(&took), "{target}: {took}");
        assert_eq!(world.waiters(), 0);
    }
    assert_eq!(world.metric("poll_refused_total{reason=\"unavailable\"}"), 4);
}

#[tokio::test(start_paused = true)]
async fn a_drain_answers_those_who_wait_for_the_journal() {
    let (_, world) = held();
    let long = world.later(&format!("/api/longpoll?channel=c&cursor={}&timeout=60", cursor(2)));
    let short = world.later("/api/poll?channel=d");
    world.until_waiting(2).await;
    world.drain.begin(Duration::from_millis(500));
    let (long, short) = (long.await.unwrap(), short.await.unwrap());
    assert_eq!((long.status, long.cursor()), (200, cursor(2)));
    assert_eq!((short.status, short.field("retry-after")), (503, Some("1")));
    assert_eq!(world.waiters(), 0);
}

/// A stream that stands behind the second message, of which the journal does not give what follows.
async fn stalled(shelf: &Shelf, world: &World, channel: &str) -> Wire {
    let mut wire = world.connect();
    let target = format!("/api/stream?channel={channel}&last_id=2");
    let (asked, opened) = (shelf.asked(), wire.open(&target, &[]));
    let load = async {
        while shelf.asked() == asked {
            tokio::task::yield_now().await;
        }
        shelf.let_go();
        shelf.hold();
    };
    tokio::join!(opened, load);
    assert_eq!(wire.json_line().await["type"], "connected");
    wire
}

#[tokio::test(start_paused = true)]
async fn a_stream_says_that_it_lives_and_ends_in_a_drain_while_the_journal_is_away() {
    let (shelf, world) = held();
    let mut wire = stalled(&shelf, &world, "c").await;
    for _ in 0..2 {
        let beat = wire.json_line().await;
        assert_eq!(beat, json!({"type": "heartbeat", "cursor": cursor(2)}));
    }
    shelf.let_go();
    assert_eq!(wire.json_line().await["id"], 3);

    shelf.hold();
    let mut other = stalled(&shelf, &world, "d").await;
    pass(1_000).await;
    world.drain.begin(Duration::ZERO);
    let closed: Value = other.json_line().await;
    assert_eq!(closed, json!({"type": "closed", "reason": "draining", "cursor": cursor(2)}));
    assert_eq!(other.chunk().await, None, "a clean end");
}

#[tokio::test(start_paused = true)]
async fn clients_that_wait_for_the_journal_are_among_those_that_the_bounds_count() {
    let (shelf, world) = held();
    let held: Vec<_> = (0..6)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move {
                world.ask("GET", "/api/poll?channel=c", &[("x-client-id", "me")], b"").await
            })
        })
        .collect();
    world.until_waiting(6).await;
    let refused = world.ask("GET", "/api/poll?channel=c", &[("x-client-id", "me")], b"").await;
    assert_eq!(refused.status, 429);
    shelf.let_go();
    for held in held {
        assert_eq!(held.await.unwrap().status, 200);
    }
}
