//! Times as positions: a golongpoll client that goes on from a time loses nothing that was acknowledged, however long
//! a commit takes and whatever the clock does.

use std::sync::Arc;
use std::time::Duration;

use poll_core::Retention;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::held_journal::Held;
use crate::world::{Answer, BEGIN, World, pass};

/// A server whose commits the test ends.
fn slow() -> (Arc<Held>, World) {
    let (journal, store) = Held::store(Retention::default());
    (journal, World::over(store))
}

/// Publishes; the answer comes once the journal has kept it.
fn publishing(world: &World, data: u64) -> JoinHandle<Answer> {
    let (world, body) = (world.clone(), format!(r#"{{"category":"c","data":{data}}}"#));
    tokio::spawn(async move { world.post("/publish", "application/json", &body).await })
}

/// Publishes with a commit that takes no time.
async fn publish(journal: &Held, world: &World, data: u64) {
    let published = publishing(world, data);
    journal.until_held(1).await;
    journal.keep();
    assert_eq!(published.await.unwrap().text(), r#"{"success": true}"#);
}

fn events(answer: &Answer) -> Vec<u64> {
    let answer = answer.json();
    let events = answer["events"].as_array().unwrap_or_else(|| panic!("no events: {answer}"));
    events.iter().map(|event| event["data"].as_u64().unwrap()).collect()
}

/// The time that a timeout gives to go on from.
fn timeout(answer: &Answer) -> u64 {
    let answer = answer.json();
    assert_eq!(answer["timeout"], json!("no events before timeout"), "{answer}");
    answer["timestamp"].as_u64().unwrap()
}

fn time_of_last(answer: &Answer) -> u64 {
    answer.json()["events"].as_array().and_then(|events| events.last()).unwrap()["timestamp"]
        .as_u64()
        .unwrap()
}

const ASK: &str = "/events?timeout=1&category=c";

async fn ask(world: &World, since: u64) -> Answer {
    world.get(&format!("{ASK}&since_time={since}")).await
}

#[tokio::test(start_paused = true)]
async fn a_timeout_gives_the_time_of_a_question_without_one() {
    let (journal, world) = slow();
    pass(7_000).await;
    let asked = world.millis();
    assert_eq!(timeout(&world.get(ASK).await), asked);
    publish(&journal, &world, 1).await;
    pass(5_000).await;
    let asked = world.millis();
    assert_eq!(timeout(&world.get(ASK).await), asked);
    assert_eq!(timeout(&ask(&world, asked).await), asked, "and then that time itself");
}

#[tokio::test(start_paused = true)]
async fn what_is_still_being_committed_lies_ahead_of_a_timeouts_time() {
    let (journal, world) = slow();
    publish(&journal, &world, 1).await;
    pass(1_000).await;
    let published = publishing(&world, 2);
    journal.until_held(1).await;
    let minted = world.millis();
    pass(5_000).await;
    let since = timeout(&world.get(ASK).await);
    assert_eq!(since, minted - 1);
    assert_eq!(timeout(&ask(&world, since).await), since);
    journal.keep();
    assert_eq!(published.await.unwrap().status, 200);
    assert_eq!(events(&ask(&world, since).await), [2], "and not what was there before the first question");
}

#[tokio::test(start_paused = true)]
async fn what_is_committed_during_a_poll_is_given_by_it() {
    let (journal, world) = slow();
    let _published = publishing(&world, 1);
    journal.until_held(1).await;
    pass(9_000).await;
    for query in [ASK.to_owned(), format!("{ASK}&since_time={}", world.millis() + 99_000)] {
        let poll = world.later(&query);
        world.until_waiting(1).await;
        let _published = publishing(&world, 2);
        journal.until_held(2).await;
        journal.keep();
        assert_eq!(events(&poll.await.unwrap()).len(), 1, "{query}");
        pass(3_000).await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_seconds_ago_is_earlier_where_a_commit_takes_longer() {
    let (journal, world) = slow();
    let _published = publishing(&world, 1);
    journal.until_held(1).await;
    let minted = world.millis();
    pass(9_000).await;
    let future = world.millis() + 99_000;
    let since = timeout(&ask(&world, future).await);
    assert_eq!(since, minted - 1);
    journal.keep();
    assert_eq!(events(&ask(&world, since).await), [1], "who goes on from the answer");
}

/// Its clock is ahead, and it takes no time from a timeout, so each of its questions is from two seconds ago.
#[tokio::test(start_paused = true)]
async fn a_client_that_keeps_its_own_time_is_given_what_was_committed_between_two_polls() {
    let (journal, world) = slow();
    publish(&journal, &world, 1).await;
    let future = world.millis() + 3_600_000;
    pass(3_000).await;
    let published = publishing(&world, 2);
    journal.until_held(1).await;
    for _ in 0..5 {
        timeout(&ask(&world, future).await);
    }
    journal.keep();
    assert_eq!(published.await.unwrap().status, 200);
    assert_eq!(events(&ask(&world, future).await), [2]);
    pass(2_000).await;
    timeout(&ask(&world, future).await);
}

#[tokio::test(start_paused = true)]
async fn an_event_of_the_millisecond_of_the_question_is_after_it() {
    let (journal, world) = slow();
    publish(&journal, &world, 1).await;
    pass(100).await;
    // By the client's clock, which is right.
    let asked = world.millis();
    let poll = world.later(&format!("{ASK}&since_time={asked}"));
    world.until_waiting(1).await;
    publish(&journal, &world, 2).await;
    assert_eq!(world.millis(), asked);
    assert_eq!(events(&poll.await.unwrap()), [2]);
    // And one that is still on its way when the time is up.
    pass(100).await;
    let poll = world.later(ASK);
    world.until_waiting(1).await;
    let _published = publishing(&world, 3);
    journal.until_held(1).await;
    let since = timeout(&poll.await.unwrap());
    journal.keep();
    assert_eq!(events(&ask(&world, since).await), [3]);
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_before_the_poll_is_in_its_answer() {
    let (journal, world) = slow();
    publish(&journal, &world, 1).await;
    pass(20).await;
    publish(&journal, &world, 2).await;
    let at = world.millis();
    let answer = ask(&world, BEGIN - 1).await;
    assert_eq!(events(&answer), [1, 2]);
    assert!(world.millis() > at, "its millisecond was waited out");
    assert!(world.millis() <= at + 10);
}

#[tokio::test(start_paused = true)]
async fn a_millisecond_is_given_whole_once_its_commits_are_over() {
    let (journal, world) = slow();
    publish(&journal, &world, 1).await;
    pass(20).await;
    publish(&journal, &world, 2).await;
    let _published = publishing(&world, 3);
    journal.until_held(1).await;
    let poll = world.later(&format!("/events?timeout=60&category=c&since_time={}", BEGIN - 1));
    world.until_waiting(1).await;
    pass(3_000).await;
    assert_eq!(world.waiters(), 1);
    journal.keep();
    assert_eq!(events(&poll.await.unwrap()), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_without_end_holds_back_its_own_millisecond_only() {
    let (journal, world) = slow();
    publish(&journal, &world, 1).await;
    pass(20).await;
    publish(&journal, &world, 2).await;
    let _published = publishing(&world, 3);
    journal.until_held(1).await;
    let answer = ask(&world, BEGIN - 1).await;
    assert_eq!(events(&answer), [1], "when the time is up");
    let since = time_of_last(&answer);
    assert_eq!(timeout(&ask(&world, since).await), since);
    journal.keep();
    assert_eq!(events(&ask(&world, since).await), [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_head_is_answered_at_once() {
    let (journal, world) = slow();
    publish(&journal, &world, 1).await;
    let at = world.millis();
    let head = world.ask("HEAD", &format!("{ASK}&since_time=1"), &[], b"").await;
    assert_eq!((head.status, world.millis()), (200, at));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_while_a_poll_waits_hides_nothing_from_it() {
    let (journal, world) = slow();
    publish(&journal, &world, 1).await;
    pass(10_000).await;
    let since = timeout(&world.get(ASK).await);
    let poll = world.later(&format!("/events?timeout=60&category=c&since_time={since}"));
    world.until_waiting(1).await;
    world.set_clock(-5_000_000);
    publish(&journal, &world, 2).await;
    assert_eq!(events(&poll.await.unwrap()), [2]);
}

/// Who goes on by time alone cannot wait for a time that the clock will not reach, nor be cut off by a lively channel.
#[tokio::test(start_paused = true)]
async fn with_the_clock_set_back_each_event_is_given_once_and_soon() {
    let (journal, world) = slow();
    publish(&journal, &world, 0).await;
    world.set_clock(-3_600_000_000);
    let (mut since, mut given) = (timeout(&world.get(ASK).await), Vec::new());
    assert_eq!(since, BEGIN, "the time of what there is, for that is not to be given");
    for round in 0..50 {
        publish(&journal, &world, 2 * round + 1).await;
        tokio::time::advance(Duration::from_micros(300)).await;
        publish(&journal, &world, 2 * round + 2).await;
        let before = world.millis();
        let answer = ask(&world, since).await;
        assert!(world.millis() <= before + 20, "{} ms", world.millis() - before);
        since = time_of_last(&answer);
        given.extend(events(&answer));
    }
    assert_eq!(given, (1..=100).collect::<Vec<_>>());
    let ahead = since - world.millis();
    assert!(ahead <= 3_600_000, "no farther than it was, but {ahead} ms");
}

/// A million messages at one instant are a second ahead of the clock. Behind them all is as ever: a message says how long
/// it is kept, and who goes on by time alone gets each once.
#[tokio::test(start_paused = true)]
async fn a_burst_leaves_the_channel_close_to_the_clock() {
    let world = World::new();
    let channel = poll_core::ChannelName::parse("c").unwrap();
    for _ in 0..1_200 {
        let batch = poll_core::Publish::many(vec![poll_core::Payload::text("1"); 1_000]);
        world.store.publish(world.now(), &channel, batch).await.unwrap();
    }
    let (mut since, mut given) = (timeout(&world.get(ASK).await), Vec::new());
    assert!(since - BEGIN <= 1_200, "{since}");
    for number in 0..20 {
        let published = world.post("/publish", "", &format!(r#"{{"category":"c","data":{number}}}"#)).await;
        assert_eq!(published.status, 200);
        let answer = ask(&world, since).await;
        since = time_of_last(&answer);
        given.extend(events(&answer));
    }
    assert_eq!(given, (0..20).collect::<Vec<_>>());
    assert!(since.saturating_sub(world.millis()) <= 1_200, "{since}");
    pass(2_000).await;
    let place = world.publish("c", "x").await;
    let at = |seconds: u64| format!("private, max-age={seconds}, immutable");
    let target = format!("/api/messages/c/{}", place["cursor"].as_str().unwrap());
    let fields = world.get(&target).await;
    assert_eq!(fields.field("cache-control"), Some(at(300).as_str()));
    pass(300_001).await;
    assert_eq!(world.get(&target).await.status, 410);
}

/// The other dialects that go on from times and ids take them from messages only, which show in the order of both.
#[tokio::test(start_paused = true)]
async fn a_slow_commit_is_ahead_of_every_position_of_the_other_dialects() {
    let (journal, world) = slow();
    let say = |channel: &str, body: &str| {
        let (world, target, body) = (world.clone(), format!("/api/publish/{channel}"), body.to_owned());
        tokio::spawn(async move { world.post(&target, "application/json", &body).await })
    };
    let _first = say("messages", r#"{"n":1}"#);
    journal.until_held(1).await;
    let _second = say("messages", r#"{"n":2}"#);
    journal.until_held(2).await;
    journal.keep();
    pass(9_000).await;
    let by_time = world.get("/api/poll/messages?timeout=1").await.json();
    let seconds = by_time["timestamp"].to_string();
    let id = by_time["data"]["id"].as_str().unwrap().to_owned();
    for target in [
        format!("/api/poll/messages?timeout=1&since={seconds}"),
        format!("/api/poll/messages?timeout=1&last_message_id={id}"),
    ] {
        let answer = world.get(&target).await.json();
        assert_eq!(
            (&answer["status"], answer["timestamp"].to_string()),
            (&json!("timeout"), seconds.clone())
        );
    }
    assert_eq!(world.get(&format!("/messages?after={id}")).await.json(), json!([]));
    journal.keep();
    let n = |answer: Value| answer["messages"][0]["n"].clone();
    let by_time = world.get(&format!("/api/poll/messages?timeout=1&since={seconds}")).await.json();
    assert_eq!(n(by_time), json!(2));
    let by_id = world.get(&format!("/api/poll/messages?timeout=1&last_message_id={id}")).await.json();
    assert_eq!(n(by_id), json!(2));
    assert_eq!(world.get(&format!("/messages?after={id}")).await.json().as_array().unwrap().len(), 1);
}
