//! A damaged message counts as missed through every door: an answer ends in front of it, the next begins behind it and
//! says so, and its own URL is 410. A damaged channel is an error of its own.

use poll_core::Store;
use serde_json::{Value, json};

use crate::shelf::Shelf;
use crate::world::{Answer, World};

/// Five messages, of which the third is damaged.
fn world() -> (std::sync::Arc<Shelf>, World) {
    let (shelf, store): (_, Store) = Shelf::store(5, &[3]);
    (shelf, World::over(store))
}

fn numbers(messages: &Value) -> Vec<u64> {
    messages.as_array().unwrap().iter().map(|message| message["n"].as_u64().unwrap()).collect()
}

fn contents(answer: &Answer) -> Vec<u64> {
    numbers(&answer.contents().into())
}

#[tokio::test(start_paused = true)]
async fn polls_end_in_front_of_it_and_go_on_behind_it() {
    for door in ["poll", "longpoll"] {
        let (_, world) = world();
        let first = world.get(&format!("/api/{door}?channel=c")).await;
        assert_eq!((contents(&first), &first.json()["missed"]), (vec![1, 2], &Value::Null));
        let second = world.get(&format!("/api/{door}?channel=c&cursor={}", first.cursor())).await;
        assert_eq!((contents(&second), &second.json()["missed"]), (vec![4, 5], &json!(1)));
        assert_eq!(second.json()["count"], 2);
        let third = world.get(&format!("/api/{door}?channel=c&timeout=0.1&cursor={}", second.cursor())).await;
        assert_eq!((contents(&third), &third.json()["missed"]), (vec![], &Value::Null));
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_behind_the_last_whole_one_waits_and_is_told_with_the_next() {
    let (_, store) = Shelf::store(3, &[3]);
    let world = World::over(store);
    let empty = world.get("/api/longpoll?channel=c&last_id=2&timeout=1").await.json();
    assert_eq!((&empty["missed"], &empty["count"]), (&json!(1), &json!(0)));
    assert!(empty["cursor"].as_str().unwrap().ends_with("03"), "its number has gone by: {empty}");
    let poll = world.later("/api/longpoll?channel=c&last_id=2&timeout=30");
    world.until_waiting(1).await;
    world.post("/api/message?channel=c", "application/json", "{\"n\":4}").await;
    let answer = poll.await.unwrap();
    assert_eq!((contents(&answer), &answer.json()["missed"]), (vec![4], &json!(1)));
    assert_eq!(world.metric("poll_messages_missed_total "), 2);
}

#[tokio::test(start_paused = true)]
async fn streams_have_a_reset_line_in_its_place() {
    let (_, world) = world();
    for target in ["/api/stream?channel=c&last_id=0", "/api/push?channel=c&last_id=0"] {
        let mut wire = world.connect();
        wire.open(target, &[]).await;
        assert_eq!(wire.json_line().await["type"], "connected");
        for id in [1, 2] {
            assert_eq!(wire.json_line().await["id"], id);
        }
        let reset = wire.json_line().await;
        let cursor = format!("{:016x}{:016x}", 0xE, 3);
        assert_eq!(reset, json!({"type": "reset", "missed": 1, "cursor": cursor}));
        for id in [4, 5] {
            assert_eq!(wire.json_line().await["id"], id);
        }
    }
    let mut wire = world.connect();
    wire.open("/api/stream?channel=c&last_id=2", &[("accept", "text/event-stream")]).await;
    assert!(wire.chunk().await.unwrap().contains("event: connected\n"));
    let reset = wire.chunk().await.unwrap();
    assert!(reset.contains("event: reset\n") && reset.contains("\"missed\":1"), "{reset}");
    assert!(wire.chunk().await.unwrap().contains("\"id\":4"));

    let mut wire = world.connect();
    wire.open("/api/progress/job", &[]).await;
    let (one, two) = (wire.json_line().await, wire.json_line().await);
    assert_eq!((&one["step"], &two["step"]), (&json!(1), &json!(2)));
    assert_eq!(wire.json_line().await["type"], "reset");
    assert_eq!(wire.json_line().await["step"], 4);
}

#[tokio::test(start_paused = true)]
async fn other_dialects_say_it_in_a_field() {
    let (shelf, world) = world();
    let since = shelf.at(2).as_millis();
    // In whole milliseconds, of which the last in front of the damage may not be one.
    for number in [1, 2] {
        let before = shelf.at(number).as_millis() - 1;
        let events = world.get(&format!("/events?category=c&timeout=1&since_time={before}")).await;
        let given = events.json()["events"].as_array().unwrap().clone();
        assert_eq!((given.len(), events.field("poll-missed")), (1, None));
        assert_eq!(given[0]["data"]["n"], number);
    }
    for query in [format!("since_time={since}"), format!("since_time={since}&last_id={}", shelf.id(2))] {
        let events = world.get(&format!("/events?category=c&timeout=1&{query}")).await;
        let given = events.json()["events"][0]["data"]["n"].clone();
        assert_eq!((given, events.field("poll-missed")), (json!(4), Some("1")), "{query}");
    }

    let chat = world.get("/messages").await;
    assert_eq!((chat.json().as_array().unwrap().len(), chat.field("poll-missed")), (2, None));
    let chat = world.get(&format!("/messages?after={}", shelf.id(2))).await;
    assert_eq!((chat.json().as_array().unwrap().len(), chat.field("poll-missed")), (2, Some("1")));

    let all = world.get(&format!("/api/poll/c?last_message_id={}", shelf.id(1))).await;
    assert_eq!((numbers(&all.json()["messages"]), all.field("poll-missed")), (vec![2], None));
    let all = world.get(&format!("/api/poll/c?last_message_id={}", shelf.id(2))).await;
    assert_eq!((numbers(&all.json()["messages"]), all.field("poll-missed")), (vec![4, 5], Some("1")));
    let seconds = format!("{}.0", since / 1_000);
    let one = world.get(&format!("/api/poll/c?since={seconds}")).await;
    assert_eq!((&one.json()["data"]["n"], one.field("poll-missed")), (&json!(4), Some("1")));
}

#[tokio::test(start_paused = true)]
async fn its_own_url_is_gone() {
    let (_, world) = world();
    for (number, status) in [(2, 200), (3, 410), (4, 200), (6, 404)] {
        let cursor = format!("{:016x}{number:016x}", 0xE);
        for target in [format!("/api/messages/c/{number}"), format!("/api/messages/c/{cursor}")] {
            let answer = world.get(&target).await;
            assert_eq!(answer.status, status, "{target}: {}", answer.text());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_channel_is_refused_in_each_dialects_words() {
    let (_, world) = world();
    for target in ["/api/poll", "/api/longpoll", "/api/stream", "/api/push"] {
        let answer = world.get(&format!("{target}?channel=broken&last_id=1")).await;
        assert_eq!((answer.status, answer.field("content-type")), (500, Some("application/problem+json")));
        assert!(answer.json()["detail"].as_str().unwrap().contains("damaged"));
    }
    for target in ["/events?category=broken&timeout=1", "/api/poll/broken"] {
        let answer = world.get(target).await;
        assert_eq!(answer.status, 500);
        assert!(answer.json()["error"].as_str().unwrap().contains("damaged"));
    }
    let answer = world.post("/api/message?channel=broken", "text/plain", "x").await;
    assert_eq!(answer.status, 503, "503 is what says that nothing was published");
    assert_eq!(world.waiters(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_breaks_off_where_its_channel_is_found_to_be_damaged() {
    let (_, world) = world();
    let mut wire = world.connect();
    wire.open("/api/stream?channel=torn&last_id=1", &[]).await;
    assert_eq!(wire.json_line().await["type"], "connected");
    assert!(wire.is_closed().await, "without a line or a chunk that says that this is all");
    for target in ["/api/poll?channel=torn", "/api/longpoll?channel=torn", "/api/messages/torn/2"] {
        assert_eq!(world.get(target).await.status, 500, "{target}");
    }
    assert_eq!(world.waiters(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_list_goes_on_without_a_channel_that_is_damaged() {
    let (_, world) = world();
    for (broken, door) in [("broken", "poll"), ("broken", "longpoll"), ("torn", "poll"), ("torn", "longpoll")]
    {
        let target = format!("/api/{door}?channel={broken}&channel=c&timeout=1");
        let first = world.get(&target).await;
        assert_eq!((first.status, contents(&first)), (200, vec![1, 2]), "{target}");
        assert_eq!(first.json()["damaged"], json!([broken]));
        let second = world.get(&format!("{target}&cursor={}", first.cursor())).await;
        assert_eq!((contents(&second), &second.json()["damaged"]), (vec![4, 5], &json!([broken])));
        assert_eq!(second.json()["missed"], json!([{"channel": "c", "missed": 1}]));
        // It waits for the rest.
        let begun = world.millis();
        let third = world.get(&format!("{target}&cursor={}", second.cursor())).await;
        assert_eq!((contents(&third), &third.json()["damaged"]), (vec![], &json!([broken])));
        assert_eq!(world.millis() > begun, door == "longpoll");
    }
    let mut wire = world.connect();
    wire.open("/api/stream?channel=broken&channel=c", &[]).await;
    assert_eq!(wire.json_line().await["damaged"], json!(["broken"]));
    world.post("/api/message?channel=c", "application/json", "{\"n\":6}").await;
    assert_eq!(wire.json_line().await["id"], 6);
    // One that is found to be damaged on the way: its reader is told that something is lost there.
    let zero = "0".repeat(32);
    let mut wire = world.connect();
    wire.open(&format!("/api/stream?channel=torn&channel=c&cursor={zero}"), &[]).await;
    assert_eq!(wire.json_line().await["type"], "connected");
    let reset = wire.json_line().await;
    assert_eq!(
        (&reset["type"], &reset["channel"], reset.get("missed")),
        (&json!("reset"), &json!("torn"), None)
    );
    assert_eq!(wire.json_line().await["channel"], "c");
    for target in ["poll", "longpoll", "stream"] {
        let answer = world.get(&format!("/api/{target}?channel=broken&channel=broken2")).await;
        assert_eq!(answer.status, 500, "as each of them alone");
    }
    assert_eq!(world.waiters(), 2);
}
