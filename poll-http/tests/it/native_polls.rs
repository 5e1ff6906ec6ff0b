//! Short and long polls of the native dialect: what they hold, where they go on, when they wait.

use poll_core::Retention;
use serde_json::json;

use crate::world::{Answer, World, pass};

fn cursor_of(epoch: &str, seq: u64) -> String {
    format!("{}{seq:016x}", &epoch[..16])
}

#[tokio::test(start_paused = true)]
async fn a_short_poll_gives_what_there_is() {
    let world = World::new();
    let empty = world.get("/api/poll").await;
    let zero = "0".repeat(32);
    let expected =
        format!(r#"{{"messages":[],"count":0,"cursor":"{zero}","polled_at":"2026-11-20T22:49:38.000000Z"}}"#);
    assert_eq!(empty.text(), expected);
    assert_eq!(empty.field("content-type"), Some("application/json"));
    assert_eq!(empty.field("cache-control"), Some("no-cache"));

    let first = world.publish("default", "one").await;
    pass(1_234).await;
    let second = world.publish("default", "two").await;
    let answer = world.get("/api/poll?last_id=0").await;
    let (a, b) = (first["uuid"].as_str().unwrap(), second["uuid"].as_str().unwrap());
    let cursor = second["cursor"].as_str().unwrap();
    let expected = format!(
        concat!(
            r#"{{"messages":[{{"id":1,"uuid":"{}","content":"one","timestamp":"2026-11-20T22:49:38.000000Z"}},"#,
            r#"{{"id":2,"uuid":"{}","content":"two","timestamp":"2026-11-20T22:49:39.234000Z"}}],"#,
            r#""count":2,"cursor":"{}","polled_at":"2026-11-20T22:49:39.234000Z"}}"#
        ),
        a, b, cursor
    );
    assert_eq!(answer.text(), expected);
    assert_eq!(world.get("/api/poll?last_id=1").await.contents(), [json!("two")]);
    assert_eq!(world.get(&format!("/api/poll?cursor={cursor}")).await.contents(), Vec::<u8>::new());
    let first = first["cursor"].as_str().unwrap();
    assert!(first < cursor, "cursors of a channel sort as its messages do");
    assert_eq!(world.get(&format!("/api/poll?cursor={first}")).await.contents(), [json!("two")]);
    assert_eq!(world.store.channels(), 1, "reading creates nothing");
    assert_eq!(
        world.get(&format!("/api/poll?cursor={zero}")).await.contents().len(),
        2,
        "the start of what was born"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_seen_is_304() {
    let world = World::new();
    let tag = |answer: &Answer| answer.field("etag").unwrap().to_owned();
    let seen = async |target: &str, tag: &str| world.ask("GET", target, &[("if-none-match", tag)], b"").await;
    let unborn = tag(&world.get("/api/poll").await);
    assert!(unborn.starts_with("W/\""), "weak: the time in it differs");
    let same = seen("/api/poll", &unborn).await;
    assert_eq!(
        (same.status, same.field("etag"), same.field("cache-control")),
        (304, Some(&*unborn), Some("no-cache"))
    );
    assert!(same.field("date").is_some());

    world.publish("default", "one").await;
    let one = seen("/api/poll", &unborn).await;
    assert_eq!((one.status, one.contents().len()), (200, 1));
    let one = tag(&one);
    for list in [one.clone(), format!("\"x\", {one}"), one[2..].to_owned(), "*".to_owned()] {
        assert_eq!(seen("/api/poll", &list).await.status, 304, "{list}");
    }
    let others = ["/api/poll?limit=1", "/api/poll?last_id=1", "/api/poll?channel=other"];
    for target in others {
        assert_eq!(seen(target, &one).await.status, 200, "{target}");
    }
    world.publish("default", "two").await;
    assert_eq!(seen("/api/poll", &one).await.contents().len(), 2);
    assert_eq!(world.ask("HEAD", "/api/poll", &[("if-none-match", &one)], b"").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn answers_are_limited_and_say_where_to_go_on() {
    let world = World::new();
    let lines = "1\n".repeat(1_000);
    for _ in 0..2 {
        assert_eq!(world.post("/api/message", "application/x-ndjson", &lines).await.json()["count"], 1_000);
    }
    let retained = world.get("/api/poll").await;
    assert_eq!((retained.contents().len(), &retained.json()["missed"]), (1_000, &json!(1_000)));
    let first = world.get("/api/poll?last_id=1000&limit=7").await;
    assert_eq!(first.json()["messages"][6]["id"], 1_007);
    let next = world.get(&format!("/api/poll?cursor={}&limit=5000", first.cursor())).await;
    assert_eq!((next.contents().len(), &next.json()["messages"][0]["id"]), (993, &json!(1_008)));

    let large = "x".repeat(60_000);
    for _ in 0..20 {
        world.publish("large", &large).await;
    }
    let mut cursor = "0".repeat(32);
    let mut counts = Vec::new();
    while counts.iter().sum::<usize>() < 20 {
        let answer = world.get(&format!("/api/longpoll?channel=large&cursor={cursor}")).await;
        counts.push(answer.contents().len());
        cursor = answer.cursor();
    }
    assert_eq!(counts, [17, 3], "at most 1 MiB of payload at once");
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_is_told_and_reading_goes_on_with_the_oldest() {
    let world = World::retaining(Retention { messages: 3, ..Retention::default() });
    let cursor = world.publish("default", "1").await["cursor"].as_str().unwrap().to_owned();
    for text in ["2", "3", "4", "5", "6"] {
        world.publish("default", text).await;
    }
    for pattern in ["poll", "longpoll"] {
        let cases = [
            ("".to_owned(), 3),
            ("last_id=0".to_owned(), 3),
            ("last_id=2".to_owned(), 1),
            (format!("cursor={cursor}"), 2),
            (format!("cursor={}", "0".repeat(32)), 3),
        ];
        for (position, missed) in cases {
            let answer = world.get(&format!("/api/{pattern}?{position}")).await;
            assert_eq!(answer.contents(), [json!("4"), json!("5"), json!("6")], "{pattern} {position}");
            assert_eq!(answer.json()["missed"], missed, "{pattern} {position}");
            assert!(answer.json().get("reset").is_none());
        }
        let answer = world.get(&format!("/api/{pattern}?last_id=3")).await;
        assert!(answer.json().get("missed").is_none(), "only when there is something");
    }
    // Everything expired: the oldest is the next.
    pass(301_000).await;
    let answer = world.get(&format!("/api/poll?cursor={cursor}")).await.json();
    assert_eq!((&answer["missed"], &answer["count"]), (&json!(5), &json!(0)));
    assert_eq!(answer["cursor"], cursor_of(&cursor, 6));
    assert_eq!(world.publish("default", "7").await["id"], 7, "numbers go on");
    assert_eq!(world.get("/api/poll?last_id=6").await.contents(), [json!("7")]);
    assert_eq!(world.metric("poll_messages_missed_total"), 24 + 5);
}

#[tokio::test(start_paused = true)]
async fn a_strange_place_is_answered_at_once_from_the_oldest_with_a_reset() {
    let world = World::new();
    let cursor = world.publish("default", "a").await["cursor"].as_str().unwrap().to_owned();
    world.publish("default", "b").await;
    let other = cursor_of("00000000000000ff", 1);
    let above = cursor_of(&cursor, 9);
    for position in [format!("cursor={other}"), format!("cursor={above}"), "last_id=3".to_owned()] {
        for pattern in ["poll", "longpoll"] {
            let answer = world.get(&format!("/api/{pattern}?{position}")).await;
            assert_eq!(answer.contents(), [json!("a"), json!("b")], "{pattern} {position}");
            assert_eq!(answer.json()["reset"], true);
            assert!(answer.json().get("missed").is_none(), "unknown");
            assert_eq!(answer.cursor(), cursor_of(&cursor, 2));
        }
    }
    assert!(world.get("/api/poll?last_id=2").await.json().get("reset").is_none());
    assert_eq!(world.millis(), crate::world::BEGIN, "nobody waited");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_retained_a_strange_place_waits_and_is_told_with_what_comes() {
    for position in ["last_id=1", "last_id=77", "cursor=00000000000000ff0000000000000001"] {
        let world = World::new();
        let target = format!("/api/longpoll?{position}&timeout=20");
        let quiet = world.get(&target).await;
        assert_eq!((quiet.contents().len(), &quiet.json()["reset"]), (0, &json!(true)));
        assert!(world.millis() >= crate::world::BEGIN + 19_300, "it waited like any other");
        let poll = world.later(&target);
        world.until_waiting(1).await;
        world.publish("default", "first").await;
        let answer = poll.await.unwrap();
        assert_eq!(
            answer.contents(),
            [json!("first")],
            "number 1 after «last_id=1» of a channel without messages"
        );
        assert_eq!(answer.json()["reset"], true);
        let next = world.get(&format!("/api/poll?cursor={}", answer.cursor())).await;
        assert_eq!((next.contents().len(), next.json().get("reset")), (0, None));
    }
    // The same where the channel lives and all of it has expired.
    let world = World::new();
    world.publish("default", "old").await;
    pass(301_000).await;
    let poll = world.later("/api/longpoll?last_id=9&timeout=20");
    world.until_waiting(1).await;
    world.publish("default", "new").await;
    let answer = poll.await.unwrap();
    assert_eq!((answer.contents(), &answer.json()["reset"]), (vec![json!("new")], &json!(true)));
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_waits_as_long_as_it_may() {
    let world = World::new();
    let cases = [
        // A thirtieth early, at most a second.
        ("", &[][..], 29_000),
        ("?timeout=1", &[], 966),
        ("?timeout=0.4", &[], 386),
        ("?timeout=0", &[], 0),
        ("?timeout=-5", &[], 0),
        ("?timeout=50", &[], 49_000),
        ("?timeout=61", &[], 49_000),
        ("?timeout=1e9", &[], 49_000),
        ("", &[("prefer", "wait=6")], 5_800),
        ("", &[("prefer", "respond-async, wait=90")], 49_000),
    ];
    for (query, fields, millis) in cases {
        let begun = world.millis();
        let answer = world.ask("GET", &format!("/api/longpoll{query}"), fields, b"").await;
        let waited = world.millis() - begun;
        assert!((millis..=millis + 9).contains(&waited), "{query} {fields:?} waited {waited}");
        let expected = format!(
            r#"{{"messages":[],"count":0,"cursor":"{}","timestamp":"{}"}}"#,
            "0".repeat(32),
            world.now()
        );
        assert_eq!(answer.text(), expected);
        assert_eq!(answer.field("cache-control"), Some("no-store"));
        assert_eq!(answer.field("etag"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_is_answered_by_what_comes() {
    let world = World::new();
    let polls: Vec<_> = (0..3).map(|_| world.later("/api/longpoll?timeout=60")).collect();
    let other = world.later("/api/longpoll?timeout=1&channel=other");
    world.until_waiting(4).await;
    pass(100).await;
    let begun = world.millis();
    world.publish("default", "news").await;
    for poll in polls {
        assert_eq!(poll.await.unwrap().contents(), [json!("news")]);
    }
    assert_eq!(world.millis(), begun);
    assert_eq!(other.await.unwrap().contents().len(), 0);
    assert_eq!(world.waiters(), 0);
    assert_eq!(world.store.notifier().waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_channel_is_told_at_once() {
    let world = World::new();
    let target = "/api/longpoll?channel=progress%2Fj&timeout=60";
    let report = |step: u8, status: &str| format!(r#"{{"step":{step},"total":2,"status":"{status}"}}"#);
    world.post("/api/progress/j", "application/json", &report(1, "busy")).await;
    let first = world.get(target).await;
    assert!(first.json().get("closed").is_none());
    let poll = world.later(&format!("{target}&cursor={}", first.cursor()));
    world.until_waiting(1).await;
    world.post("/api/progress/j", "application/json", &report(2, "done")).await;
    let last = poll.await.unwrap();
    assert_eq!((last.contents().len(), &last.json()["closed"]), (1, &json!(true)));
    for pattern in ["poll", "longpoll"] {
        let begun = world.millis();
        let after = format!("/api/{pattern}?channel=progress%2Fj&cursor={}", last.cursor());
        let answer = world.get(&after).await.json();
        assert_eq!((&answer["count"], &answer["closed"]), (&json!(0), &json!(true)));
        assert_eq!(world.millis(), begun);
    }
    let part = world.get("/api/poll?channel=progress%2Fj&limit=1").await.json();
    assert!(part.get("closed").is_none(), "there is more to come");
    // Closed, and all of it expired.
    pass(301_000).await;
    let begun = world.millis();
    let gone = world.get(target).await.json();
    assert_eq!((&gone["missed"], &gone["closed"]), (&json!(2), &json!(true)));
    assert_eq!(world.millis(), begun);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_frees_its_place_at_once() {
    let world = World::new();
    for target in ["/api/longpoll?timeout=60", "/api/stream", "/api/push", "/messages", "/api/progress/x"] {
        let mut wire = world.connect();
        wire.send("GET", target, &[], b"").await;
        world.until_waiting(1).await;
        let begun = world.millis();
        wire.leave().await;
        world.until_waiting(0).await;
        assert_eq!((world.store.notifier().waiting(), world.millis()), (0, begun), "{target}");
    }
}
