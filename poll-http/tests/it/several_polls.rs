//! Polls of several channels in one request: one cursor over all, in order of time, and nothing lost.

use std::time::Duration;

use http::StatusCode;
use poll_core::Retention;
use poll_http::{Ask, Limits, MaxChannels, Receipts, Refusal, ServiceSettings};
use serde_json::{Value, json};

use crate::world::{Answer, World, pass};

const THREE: &str = "channel=a&channel=b&channel=c";

/// The channel and content of each message.
fn given(answer: &Answer) -> Vec<(String, String)> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let messages = answer["messages"].as_array().unwrap();
    assert_eq!(answer["count"], messages.len());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    messages.iter().map(|message| (text(&message["channel"]), text(&message["content"]))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(channel, text)| ((*channel).to_owned(), (*text).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_in_order_of_time_with_the_channel_of_each_message() {
    let world = World::new();
    let mut stamps = Vec::new();
    for (channel, text) in [("b", "1"), ("a", "2"), ("c", "3"), ("a", "4"), ("b", "5")] {
        stamps.push(world.publish(channel, text).await);
        pass(1).await;
    }
    let answer = world.get(&format!("/api/poll?{THREE}")).await;
    assert_eq!(given(&answer), pairs(&[("b", "1"), ("a", "2"), ("c", "3"), ("a", "4"), ("b", "5")]));
    let first = format!(
        r#"{{"messages":[{{"channel":"b","id":1,"uuid":{},"content":"1","timestamp":{}}},"#,
        stamps[0]["uuid"], stamps[0]["timestamp"]
    );
    assert!(answer.text().starts_with(&first), "{}", answer.text());
    let end = format!(
        r#""timestamp":{}}}],"count":5,"cursor":"{}","polled_at":"#,
        stamps[4]["timestamp"],
        answer.cursor()
    );
    assert!(answer.text().contains(&end), "{}", answer.text());
    assert_eq!(answer.field("cache-control"), Some("no-cache"));

    let cursor = answer.cursor();
    assert_eq!(cursor.len(), 3 + 3 * 40);
    let nothing = world.get(&format!("/api/poll?{THREE}&cursor={cursor}")).await;
    assert_eq!((given(&nothing).len(), nothing.cursor()), (0, cursor.clone()));
    world.publish("b", "6").await;
    let next = world.get(&format!("/api/poll?{THREE}&cursor={cursor}")).await;
    assert_eq!(given(&next), pairs(&[("b", "6")]));
    // The order in which channels are named means nothing, and the same name twice counts once.
    let other =
        world.get(&format!("/api/poll?channel=c&channel=b&channel=a&channel=b&cursor={cursor}")).await;
    assert_eq!((given(&other), other.cursor()), (given(&next), next.cursor()));
    // One channel of the list by itself, with the same token.
    let one = world.get(&format!("/api/poll?channel=b&cursor={cursor}")).await;
    assert_eq!(one.contents(), ["6"]);
    let plain = world.get("/api/poll?channel=b&channel=b&last_id=2").await;
    assert_eq!(plain.contents(), ["6"], "named twice, it is one channel");
    assert_eq!(plain.cursor().len(), 32);
    assert!(plain.json()["messages"][0].get("channel").is_none());
}

#[tokio::test(start_paused = true)]
async fn what_has_not_changed_is_304() {
    let world = World::new();
    world.publish("a", "1").await;
    let target = format!("/api/poll?{THREE}");
    let answer = world.get(&target).await;
    let tag = answer.field("etag").unwrap().to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    for seen in [tag.clone(), format!("\"x\", {tag}"), "*".to_owned()] {
        let again = world.ask("GET", &target, &[("if-none-match", &seen)], b"").await;
        assert_eq!((again.status, again.field("etag")), (304, Some(tag.as_str())), "{seen}");
    }
    let head = world.ask("HEAD", &target, &[], b"").await;
    assert_eq!((head.status, head.field("etag")), (200, Some(tag.as_str())));
    for other in [format!("{target}&limit=5"), "/api/poll?channel=a&channel=b".to_owned()] {
        assert_eq!(world.ask("GET", &other, &[("if-none-match", &tag)], b"").await.status, 200, "{other}");
    }
    world.publish("c", "2").await;
    let changed = world.ask("GET", &target, &[("if-none-match", &tag)], b"").await;
    assert_eq!(given(&changed), pairs(&[("a", "1"), ("c", "2")]));
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_over_all_and_each_channel_gives_in_turn() {
    let world = World::new();
    world.fill("a", 100, "a").await;
    world.fill("b", 2, "b").await;
    world.fill("c", 100, "c").await;
    let mut cursor = None;
    let mut seen = Vec::new();
    for expected in [[4, 2, 4], [5, 0, 5], [5, 0, 5]] {
        let after = cursor.map_or(String::new(), |cursor| format!("&cursor={cursor}"));
        let answer = world.get(&format!("/api/poll?{THREE}&limit=10{after}")).await;
        let given = given(&answer);
        let count = |name| given.iter().filter(|(channel, _)| channel == name).count();
        assert_eq!([count("a"), count("b"), count("c")], expected);
        let times: Vec<String> = answer.json()["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m["timestamp"].to_string())
            .collect();
        assert!(times.is_sorted());
        for message in answer.json()["messages"].as_array().unwrap() {
            seen.push((message["channel"].to_string(), message["id"].as_u64().unwrap()));
        }
        cursor = Some(answer.cursor());
    }
    for name in ["\"a\"", "\"c\""] {
        let ids: Vec<u64> = seen.iter().filter(|(channel, _)| channel == name).map(|(_, id)| *id).collect();
        assert_eq!(ids, (1..=14).collect::<Vec<_>>(), "{name}");
    }
    let zero = world.get(&format!("/api/poll?{THREE}&limit=0")).await;
    assert_eq!(zero.status, 400);
}

#[tokio::test(start_paused = true)]
async fn an_answer_holds_one_mebibyte_of_all_channels_together() {
    let world = World::new();
    for channel in ["a", "b", "c"] {
        world.fill(channel, 10, &"x".repeat(64_000)).await;
    }
    let (mut cursor, mut count) = (None, 0);
    loop {
        let after = cursor.map_or(String::new(), |cursor| format!("&cursor={cursor}"));
        let answer = world.get(&format!("/api/poll?{THREE}{after}")).await;
        let messages = given(&answer).len();
        assert!(messages <= 16, "{messages}");
        if messages == 0 {
            break;
        }
        count += messages;
        cursor = Some(answer.cursor());
    }
    assert_eq!(count, 30);
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_or_begun_anew_is_told_by_channel() {
    let world = World::retaining(Retention { messages: 2, ..Retention::default() });
    for channel in ["a", "b"] {
        world.fill(channel, 5, channel).await;
    }
    world.fill("c", 1, "c").await;
    let first = world.get(&format!("/api/poll?{THREE}")).await;
    let missed = json!([{"channel": "a", "missed": 3}, {"channel": "b", "missed": 3}]);
    assert_eq!(first.json()["missed"], missed);
    assert!(first.json().get("reset").is_none());
    assert_eq!(world.metric("poll_messages_missed_total"), 6);
    assert_eq!(world.metric("poll_messages_delivered_total"), 5);
    // After a restart every channel is another one.
    let again = world.restarted();
    again.fill("b", 1, "new").await;
    let target = format!("/api/poll?{THREE}&channel=d&cursor={}", first.cursor());
    let reset = again.get(&target).await;
    assert_eq!(reset.json()["reset"], json!(["a", "b", "c"]), "{}", reset.text());
    assert!(reset.json().get("missed").is_none());
    assert_eq!(given(&reset), pairs(&[("b", "new")]));
    let next = again.get(&format!("/api/poll?{THREE}&channel=d&cursor={}", reset.cursor())).await;
    assert!(next.json().get("reset").is_none(), "told once: {}", next.text());
    // One that nothing is retained of waits, and the answer that comes tells.
    let waiting =
        again.later(&format!("/api/longpoll?channel=a&channel=d&cursor={}&timeout=20", first.cursor()));
    again.until_waiting(1).await;
    again.publish("d", "x").await;
    let answer = waiting.await.unwrap();
    assert_eq!(answer.json()["reset"], json!(["a"]));
    let next = again.get(&format!("/api/poll?channel=a&channel=d&cursor={}", answer.cursor())).await;
    assert!(next.json().get("reset").is_none(), "told once: {}", next.text());
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_of_a_channel_that_has_ended_is_told_at_once() {
    let world = World::retaining(Retention { age: Duration::from_secs(10), ..Retention::default() });
    world.fill("a", 3, "a").await;
    let first = world.get("/api/poll?channel=a&channel=b&limit=1").await;
    assert_eq!(given(&first).len(), 1);
    assert_eq!(world.ask("POST", "/v1/stream/a", &[("stream-closed", "true")], b"").await.status, 204);
    pass(20_000).await;
    let poll =
        |cursor: &str| world.later(&format!("/api/longpoll?channel=a&channel=b&cursor={cursor}&timeout=20"));
    let told = poll(&first.cursor()).await.unwrap();
    assert_eq!((given(&told).len(), &told.json()["missed"]), (0, &json!([{"channel": "a", "missed": 2}])));
    let waiting = poll(&told.cursor());
    world.until_waiting(1).await;
    world.publish("b", "x").await;
    let answer = waiting.await.unwrap();
    assert!(answer.json().get("missed").is_none(), "told once: {}", answer.text());
    assert_eq!(given(&answer), pairs(&[("b", "x")]));
}

#[tokio::test(start_paused = true)]
async fn a_cursor_of_one_channel_is_that_channels_or_none() {
    let world = World::new();
    let first = world.publish("b", "1").await["cursor"].as_str().unwrap().to_owned();
    for (channel, text) in [("a", "2"), ("b", "3"), ("c", "4")] {
        pass(1).await;
        world.publish(channel, text).await;
    }
    let answer = world.get(&format!("/api/poll?{THREE}&cursor={first}")).await;
    assert_eq!(given(&answer), pairs(&[("a", "2"), ("b", "3"), ("c", "4")]));
    assert!(answer.json().get("reset").is_none());
    let strange = format!("{:032x}", 1u128 << 64 | 9);
    let answer = world.get(&format!("/api/poll?{THREE}&cursor={strange}")).await;
    assert_eq!(answer.json()["reset"], json!(["a", "b", "c"]));
    assert_eq!(given(&answer).len(), 4);
    let zero = "0".repeat(32);
    assert_eq!(given(&world.get(&format!("/api/poll?{THREE}&cursor={zero}")).await).len(), 4);
    for (bad, name) in [("last_id=1", "last_id"), ("cursor=m1-", "cursor"), ("cursor=x", "cursor")] {
        let answer = world.get(&format!("/api/poll?{THREE}&{bad}")).await;
        assert_eq!(answer.status, 400);
        assert!(answer.json()["detail"].to_string().contains(&format!("`{name}`")), "{}", answer.text());
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_is_added_and_dropped_between_two_polls() {
    let world = World::new();
    for (channel, text) in [("a", "1"), ("b", "2"), ("c", "3")] {
        world.publish(channel, text).await;
    }
    let two = world.get("/api/poll?channel=a&channel=b").await;
    world.publish("a", "4").await;
    // `c` starts where a request without a position does; `a` is dropped.
    let other = world.get(&format!("/api/poll?channel=b&channel=c&cursor={}", two.cursor())).await;
    assert_eq!(given(&other), pairs(&[("c", "3")]));
    let back = world.get(&format!("/api/poll?channel=a&channel=b&cursor={}", other.cursor())).await;
    assert_eq!(given(&back), pairs(&[("a", "1"), ("a", "4")]), "it was dropped, so it starts anew");
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_first_message_of_any_and_leaves_nothing_behind() {
    let world = World::new();
    let target = format!("/api/longpoll?{THREE}&timeout=20");
    for channel in ["a", "b", "c"] {
        let cursor = world.get(&format!("/api/poll?{THREE}")).await.cursor();
        let waiting = world.later(&format!("{target}&cursor={cursor}"));
        world.until_waiting(1).await;
        assert_eq!(world.store.notifier().waiting(), 3, "in each channel");
        world.publish(channel, "x").await;
        let answer = waiting.await.unwrap();
        assert_eq!(given(&answer), pairs(&[(channel, "x")]));
        let json = answer.json();
        assert!(json.get("timestamp").is_some() && json.get("polled_at").is_none());
        assert_eq!(answer.field("cache-control"), Some("no-store"));
        assert_eq!((world.waiters(), world.store.notifier().waiting()), (0, 0));
    }
    let cursor = world.get(&format!("/api/poll?{THREE}")).await.cursor();
    let begun = world.millis();
    let timed_out = world.get(&format!("{target}&cursor={cursor}")).await;
    assert!((19_333..19_400).contains(&(world.millis() - begun)), "{}", world.millis() - begun);
    assert_eq!((given(&timed_out).len(), timed_out.cursor()), (0, cursor.clone()));
    // A client that goes away.
    let mut wire = world.connect();
    wire.send("GET", &format!("{target}&cursor={cursor}"), &[], b"").await;
    world.until_waiting(1).await;
    wire.leave().await;
    assert_eq!((world.waiters(), world.store.notifier().waiting()), (0, 0));
    // HEAD does not wait.
    let head = world.ask("HEAD", &format!("{target}&cursor={cursor}"), &[], b"").await;
    assert_eq!(head.status, 200);
    // Three waits, the polls in between, and what a HEAD would give is not counted.
    assert_eq!(world.metric("poll_messages_delivered_total"), 3 + 1 + 2 + 3);
}

#[tokio::test(start_paused = true)]
async fn closed_is_when_all_have_ended() {
    let world = World::new();
    let jobs = "channel=progress/1&channel=progress/2";
    let done = r#"{"step":1,"total":1,"status":"done"}"#;
    world.post("/api/progress/1", "application/json", done).await;
    let first = world.get(&format!("/api/longpoll?{jobs}")).await;
    assert!(first.json().get("closed").is_none());
    let waiting = world.later(&format!("/api/longpoll?{jobs}&cursor={}&timeout=20", first.cursor()));
    world.until_waiting(1).await;
    assert_eq!(world.store.notifier().waiting(), 1, "nothing follows in the other");
    world.post("/api/progress/2", "application/json", done).await;
    let answer = waiting.await.unwrap();
    assert_eq!((&answer.json()["count"], &answer.json()["closed"]), (&json!(1), &json!(true)));
    let begun = world.millis();
    let over = world.get(&format!("/api/longpoll?{jobs}&cursor={}", answer.cursor())).await;
    assert_eq!((over.json()["closed"].clone(), world.millis()), (json!(true), begun), "at once");
}

#[tokio::test(start_paused = true)]
async fn a_request_counts_once_for_its_client_and_once_in_each_channel() {
    let limits = Limits { per_channel: 2, per_client: 2, ..Limits::default() };
    let world = World::set(ServiceSettings { limits, ..ServiceSettings::default() });
    let client = [("x-client-id", "me")];
    let open = async |target: &str| {
        let mut wire = world.connect();
        wire.send("GET", target, &client, b"").await;
        wire
    };
    let first = open("/api/longpoll?channel=a&channel=b&timeout=20").await;
    world.until_waiting(1).await;
    let second = open("/api/stream?channel=b&channel=c").await;
    world.until_waiting(2).await;
    let third = world.ask("GET", "/api/longpoll?channel=d&channel=e", &client, b"").await;
    assert_eq!((third.status, &third.json()["detail"]), (429, &json!("Too many connections from client")));
    for full in ["channel=b&channel=d", "channel=d&channel=b"] {
        let refused = world.get(&format!("/api/longpoll?{full}")).await;
        assert_eq!((refused.status, &refused.json()["detail"]), (429, &json!("Channel at capacity")));
    }
    // What was refused holds nothing.
    let rest: Vec<_> = ["a", "c", "d", "d"]
        .map(|name| world.later(&format!("/api/longpoll?channel={name}&timeout=20")))
        .into();
    world.until_waiting(6).await;
    first.leave().await;
    second.leave().await;
    world.until_waiting(4).await;
    drop(rest);
}

#[tokio::test(start_paused = true)]
async fn too_many_channels_are_refused_by_name() {
    let names = |count: u32| (0..count).map(|n| format!("channel=c{n}&")).collect::<String>();
    let world = World::new();
    assert_eq!(world.get(&format!("/api/poll?{}", names(100))).await.status, 200);
    for pattern in ["poll", "longpoll", "stream", "push"] {
        let answer = world.get(&format!("/api/{pattern}?{}", names(101))).await;
        assert_eq!(answer.status, 400);
        assert!(answer.json()["detail"].to_string().contains("`channel`"), "{}", answer.text());
    }
    let again = format!("/api/poll?{}{}", names(100), names(100));
    let token = world.get(&again).await.cursor();
    assert!(token.len() <= 4096);
    assert_eq!(world.get(&format!("/api/poll?{}cursor={token}", names(100))).await.cursor(), token);
    let unlimited =
        ServiceSettings { max_channels_per_request: MaxChannels::Unlimited, ..ServiceSettings::default() };
    assert_eq!(World::set(unlimited).get(&format!("/api/poll?{}", names(150))).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn channels_are_refused_by_name_and_the_rest_goes_on() {
    let world = World::checked(|parts, ask| {
        let name = ask.channel().as_str();
        let allowed = parts.headers.get("x-may").is_some_and(|may| may.to_str().unwrap().contains(name));
        match (ask, allowed, name) {
            (Ask::Publish(_), ..) | (_, true, _) => Ok(()),
            (_, _, "z") => Err(Refusal::new(StatusCode::UNAUTHORIZED, "who are you").challenge("Bearer")),
            (_, _, "busy") => Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "later")),
            _ => Err(Refusal::new(StatusCode::FORBIDDEN, "not you")),
        }
    });
    for (channel, text) in [("a", "1"), ("b", "2"), ("c", "3")] {
        world.publish(channel, text).await;
    }
    let ask = async |target: &str, may: &'static str| world.ask("GET", target, &[("x-may", may)], b"").await;
    let all = ask(&format!("/api/poll?{THREE}"), "abc").await;
    assert!(all.json().get("refused").is_none());
    world.publish("b", "4").await;
    let some = ask(&format!("/api/poll?{THREE}&cursor={}", all.cursor()), "a").await;
    assert_eq!((some.json()["refused"].clone(), given(&some).len()), (json!(["b", "c"]), 0));
    // Its position there is kept until it may read again.
    let back = ask(&format!("/api/longpoll?{THREE}&cursor={}", some.cursor()), "abc").await;
    assert_eq!(given(&back), pairs(&[("b", "4")]));
    let new = ask(&format!("/api/longpoll?{THREE}"), "bc").await;
    assert_eq!((new.json()["refused"].clone(), given(&new).len()), (json!(["a"]), 3));
    let mut wire = world.connect();
    wire.open(&format!("/api/stream?{THREE}&cursor={}", all.cursor()), &[("x-may", "b")]).await;
    assert_eq!(wire.json_line().await["refused"], json!(["a", "c"]));
    let update = wire.json_line().await;
    assert_eq!((&update["channel"], &update["message"]), (&json!("b"), &json!("4")));
    let cursor = update["cursor"].as_str().unwrap().to_owned();
    assert_eq!(cursor.len(), 3 + 3 * 40);
    assert_eq!(given(&ask(&format!("/api/poll?{THREE}&cursor={cursor}"), "abc").await).len(), 0);
    for (target, status) in [
        (format!("/api/poll?{THREE}"), 403),
        (format!("/api/stream?{THREE}"), 403),
        (format!("/api/longpoll?{THREE}&channel=z"), 401),
        ("/api/poll?channel=a&channel=busy".to_owned(), 429),
    ] {
        assert_eq!(ask(&target, "none of them: -").await.status, status, "{target}");
    }
}

#[tokio::test(start_paused = true)]
async fn receipts_are_kept_in_each_channel() {
    let world = World::set(ServiceSettings { receipts: Receipts::On, ..ServiceSettings::default() });
    world.publish("a", "1").await;
    world.publish("b", "2").await;
    let answer = world.ask("GET", &format!("/api/poll?{THREE}"), &[("x-client-id", "ann")], b"").await;
    assert_eq!(given(&answer).len(), 2);
    for channel in ["a", "b"] {
        let message = world.get(&format!("/api/messages/{channel}/1")).await;
        assert_eq!(message.json()["delivered_to"], json!(["ann"]), "{channel}");
    }
}
