//! The seeds' and golongpoll's own clients, rebuilt: exactly their requests and their bookkeeping, against ours.

mod channel;
mod chat;
mod golongpoll;
mod native;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::world::{Answer, World, pass};

/// A program that polls one channel.
pub(crate) trait Client: Send {
    /// The target of its next request.
    fn target(&self) -> String;
    /// What it shows its user of an answer, and how many milliseconds it then waits.
    fn take(&mut self, answer: &Answer) -> (Vec<Value>, u64);
}

/// The channel of every client here; the chat dialect has no other.
const CHANNEL: &str = "messages";

/// Every rule by which a client goes on, with the length of its polls in seconds.
pub(crate) fn every(world: &World, seconds: u64) -> Vec<(String, Box<dyn Client>)> {
    let now = i64::try_from(world.millis()).unwrap();
    let mut clients: Vec<(String, Box<dyn Client>)> = vec![
        ("golongpoll, Go".to_owned(), Box::new(golongpoll::Go::starting(world.millis(), seconds))),
        ("seed 000, long poll".to_owned(), Box::new(native::Long::new(seconds))),
        ("cursor".to_owned(), Box::new(native::Cursor::new(seconds))),
        ("seed 002".to_owned(), Box::new(chat::Chat::default())),
        ("seed 003, JavaScript".to_owned(), Box::new(channel::LongPollingClient::new(seconds))),
        ("seed 003, Python".to_owned(), Box::new(channel::Python::new(seconds))),
    ];
    // Clocks of browsers.
    for skew in [0, 1, -1, 50, -700, 90_000, 86_400_000] {
        let (time, second) = (now + skew, seconds);
        clients.push((
            format!("golongpoll, JavaScript, {skew}"),
            Box::new(golongpoll::JavaScript::new(time, second)),
        ));
        clients
            .push((format!("golongpoll, older, {skew}"), Box::new(golongpoll::Older::keeping(time, second))));
        clients
            .push((format!("golongpoll, README, {skew}"), Box::new(golongpoll::Older::told(time, second))));
    }
    clients
}

/// What a client has done and seen.
#[derive(Default)]
pub(crate) struct Diary {
    pub(crate) seen: Vec<Value>,
    pub(crate) requests: u64,
}

/// Runs a client until it was shown `last`, with a moment between two polls. What it does is noted.
pub(crate) async fn run(
    world: &World,
    client: &mut dyn Client,
    diary: &mut Diary,
    last: &Value,
    begun: &AtomicU64,
) {
    while diary.seen.last() != Some(last) {
        begun.store(world.millis(), Ordering::Relaxed);
        diary.requests += 1;
        assert!(diary.requests < 100_000, "a hot loop");
        let (shown, wait) = client.take(&world.get(&client.target()).await);
        diary.seen.extend(shown);
        if wait > 0 {
            pass(wait).await;
        }
    }
}

/// Publishes the next number through a door that all understand.
pub(crate) async fn publish(world: &World, number: u64) {
    let body = format!(r#"{{"n":{number}}}"#);
    let answer = world.post(&format!("/api/message?channel={CHANNEL}"), "application/json", &body).await;
    assert_eq!(answer.status, 201);
}

/// The number that was published, however a door shows it.
pub(crate) fn number(shown: &Value) -> Value {
    let text = shown.as_str().map(|text| serde_json::from_str::<Value>(text).unwrap());
    text.as_ref().unwrap_or(shown)["n"].clone()
}

async fn burst(world: &World, from: u64, pauses: &[u64]) -> u64 {
    let mut next = from;
    for pause in pauses {
        publish(world, next).await;
        next += 1;
        if *pause > 0 {
            pass(*pause).await;
        }
    }
    next - 1
}

/// A backlog, publishes while it polls and between two polls, silences longer than a poll.
const PAUSES: &[u64] = &[
    0, 0, 0, 2, 0, 1, 500, 3, 0, 46_000, 0, 0, 44_999, 45_001, 0, 30_000, 29_999, 10_000, 1, 1, 1, 7, 8, 9,
    60_003, 0, 100, 4_999, 5_000, 5_001, 1, 0,
];

#[tokio::test(start_paused = true)]
async fn every_client_is_shown_everything_once_and_in_order_over_a_restart_too() {
    let count = every(&World::new(), 45).len();
    for index in 0..count {
        let world = World::new();
        let (name, mut client) = every(&world, 45).swap_remove(index);
        let (mut diary, begun) = (Diary::default(), AtomicU64::new(0));
        pass(3).await;
        let mut next = burst(&world, 1, &[0, 1, 0, 0, 5]).await + 1;
        let publisher = {
            let world = world.clone();
            tokio::spawn(async move { burst(&world, next, PAUSES).await })
        };
        next += PAUSES.len() as u64;
        run(&world, &mut *client, &mut diary, &json!(next - 1), &begun).await;
        publisher.await.unwrap();
        assert_eq!(diary.seen, (1..next).map(|n| json!(n)).collect::<Vec<_>>(), "{name}");
        assert!(diary.requests < 150, "{name}: {} requests", diary.requests);

        // It asks a server that remembers nothing, and that is told something only later.
        let begun_at = world.millis();
        let world = world.restarted();
        let (mut again, first) = (Diary::default(), next);
        let publisher = {
            let world = world.clone();
            tokio::spawn(async move {
                pass(20_000).await;
                burst(&world, first, &[50_000, 0, 1, 0, 10_000, 2]).await
            })
        };
        run(&world, &mut *client, &mut again, &json!(first + 5), &begun).await;
        publisher.await.unwrap();
        assert_eq!(again.seen, (first..first + 6).map(|n| json!(n)).collect::<Vec<_>>(), "{name}, restarted");
        assert!(again.requests < 60, "{name}, restarted: {} requests", again.requests);
        assert!(world.millis() - begun_at < 300_000, "{name}, restarted: an endless wait");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_refused_comes_back_and_has_lost_nothing() {
    for index in 0..every(&World::new(), 45).len() {
        let world = World::new();
        let (name, mut client) = every(&world, 45).swap_remove(index);
        pass(5).await;
        world.drain.begin(std::time::Duration::ZERO);
        let (shown, wait) = client.take(&refused(&world, &*client).await);
        assert!(shown.is_empty(), "{name}");
        assert!(wait >= 1_000, "{name} retries in a hot loop");
        let world = world.restarted();
        assert_eq!(burst(&world, 1, &[0, 3, 0]).await, 3);
        let (mut diary, begun) = (Diary::default(), Arc::new(AtomicU64::new(0)));
        run(&world, &mut *client, &mut diary, &json!(3), &begun).await;
        assert_eq!(diary.seen, [json!(1), json!(2), json!(3)], "{name}");
    }
}

/// The answer of a server that drains, as a connection that was there before gets it.
async fn refused(world: &World, client: &dyn Client) -> Answer {
    let request = http::Request::get(client.target()).header("host", "a").body(()).unwrap();
    let handled = poll_http::Handle::handle(
        &world.service,
        poll_http::Request::new(&request.into_parts().0, poll_http::RequestBody::Empty),
        &poll_http::ConnectionInfo {
            peer: ([192, 0, 2, 1], 1).into(),
            secured: None,
            protocol: poll_http::Protocol::Http11,
            push: poll_http::PushPolicy::Off,
            early_hints: poll_http::EarlyHints::None,
            unread: poll_http::Unread::Little,
            record: None,
        },
    )
    .await;
    assert_eq!(handled.status(), 503);
    Answer { status: 503, fields: Vec::new(), body: Vec::new() }
}
