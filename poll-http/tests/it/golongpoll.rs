//! The golongpoll dialect to the letter: its words, its selection by milliseconds and ids, its timeouts.

use poll_http::{Access, AfterDelivery, Cors, ServiceSettings};
use serde_json::{Value, json};

use crate::world::{Answer, BEGIN, World, pass};

fn events(answer: &Answer) -> Vec<Value> {
    let answer = answer.json();
    let events = answer["events"].as_array().unwrap_or_else(|| panic!("no events: {answer}"));
    events.iter().map(|event| event["data"].clone()).collect()
}

fn ids(answer: &Answer) -> Vec<String> {
    answer.json()["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["id"].as_str().unwrap().to_owned())
        .collect()
}

async fn publish(world: &World, data: &str) {
    let answer = world.post("/publish", "text/plain", &format!(r#"{{"category":"c","data":{data}}}"#)).await;
    assert_eq!((answer.status, answer.text()), (200, r#"{"success": true}"#.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn mistakes_are_told_with_200_in_the_librarys_words() {
    let world = World::new();
    let timeout = r#"{"error": "Invalid or missing 'timeout' arg.  Must be 1-120."}"#;
    let category = r#"{"error": "Invalid subscription category, must be 1-1024 characters long."}"#;
    let since = r#"{"error": "Invalid 'since_time' arg."}"#;
    let alone = r#"{"error": "Must provide 'since_time' arg when providing 'last_id'."}"#;
    let uuid = r#"{"error": "Param 'last_id' was not a valid UUID."}"#;
    let long = format!("timeout=1&category={}", "a".repeat(1_025));
    let cases = [
        ("", timeout),
        ("category=c", timeout),
        ("timeout=&category=c", timeout),
        ("timeout=0&category=c", timeout),
        ("timeout=121&category=c", timeout),
        ("timeout=-1&category=c", timeout),
        ("timeout=1.0&category=c", timeout),
        ("timeout=x&category=&since_time=x", timeout),
        ("timeout=1", category),
        ("timeout=1&category=&since_time=x", category),
        (long.as_str(), category),
        ("timeout=1&category=c&since_time=x&last_id=x", since),
        ("timeout=1&category=c&since_time=1.5", since),
        ("timeout=1&category=c&since_time=9223372036854775808", since),
        ("timeout=1&category=c&last_id=x", alone),
        ("timeout=1&category=c&since_time=&last_id=00000000-0000-0000-0000-000000000000", alone),
        ("timeout=1&category=c&since_time=1&last_id=x", uuid),
    ];
    for (query, text) in cases {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            let answer = world.ask(method, &format!("/events?{query}"), &[], b"").await;
            assert_eq!((answer.status, answer.text().as_str()), (200, text), "{method} {query}");
            assert_eq!(answer.field("content-type"), Some("application/json"));
            uncached(&answer);
        }
    }
    assert_eq!(world.millis(), BEGIN);
    for query in ["since_time=&last_id=", "since_time=-9223372036854775808", "timeout=9", "category=d"] {
        let answer = world.get(&format!("/events?timeout=1&category=c&{query}")).await;
        assert!(answer.text().starts_with(r#"{"timeout":"#), "{query}: {}", answer.text());
    }
}

fn uncached(answer: &Answer) {
    assert_eq!(answer.field("cache-control"), Some("no-cache, no-store, must-revalidate"));
    assert_eq!(answer.field("pragma"), Some("no-cache"));
    assert_eq!(answer.field("expires"), Some("0"));
}

#[tokio::test(start_paused = true)]
async fn publishing_has_the_librarys_words_too() {
    let world = World::new();
    let method = r#"{"error": "Invalid HTTP Method. Only POST allowed."}"#;
    for verb in ["GET", "PUT", "DELETE"] {
        let answer = world.ask(verb, "/publish", &[], b"").await;
        assert_eq!((answer.status, answer.text().as_str()), (405, method), "{verb}");
        assert!(answer.field("allow").is_some());
    }
    let json = r#"{"error": "Invalid POST body json."}"#;
    let category = r#"{"error": "Invalid or missing 'category' arg, must be 1-1024 characters long."}"#;
    let data = r#"{"error": "Invalid or missing 'data' arg, must be non-nil."}"#;
    let long = format!(r#"{{"category":"{}","data":1}}"#, "a".repeat(1_025));
    let cases = [
        ("", json),
        ("x", json),
        ("[]", json),
        (r#"{"category":"c","data":}"#, json),
        (r#"{"category":7,"data":1}"#, json),
        ("{}", category),
        (r#"{"data":1}"#, category),
        (r#"{"category":"","data":1}"#, category),
        (r#"{"category":null,"data":1}"#, category),
        (long.as_str(), category),
        (r#"{"category":"c"}"#, data),
        (r#"{"category":"c","data":null}"#, data),
        (r#"{"category":"c","data": null }"#, data),
    ];
    for (body, text) in cases {
        let answer = world.post("/publish", "application/json", body).await;
        assert_eq!((answer.status, answer.text().as_str()), (400, text), "{body}");
    }
    for body in [
        r#"{"category":"c","data":false}"#,
        r#"{"Category":"c","DATA":""}"#,
        r#"{"category":"c","data":0}"#,
        r#" { "x" : [1] , "CATEGORY" : "c" , "dAtA" : { "a" : [ 1 , null ] } } "#,
    ] {
        let answer = world.post("/publish", "image/png", body).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"success": true}"#), "{body}");
    }
    let answer = world.get("/events?timeout=1&category=c&since_time=1").await;
    let first = &ids(&answer)[0];
    let expected =
        format!(r#"{{"events":[{{"timestamp":{BEGIN},"category":"c","data":false,"id":"{first}"}},{{"#);
    assert!(answer.text().starts_with(&expected), "{}", answer.text());
    assert!(answer.text().ends_with("\"}]}"), "no newline");
    assert_eq!(events(&answer), [json!(false), json!(""), json!(0), json!({"a": [1, null]})]);
    uncached(&answer);
}

#[tokio::test(start_paused = true)]
async fn events_are_those_after_a_time_or_an_id() {
    let world = World::new();
    for data in ["1", "2"] {
        publish(&world, data).await;
    }
    pass(10).await;
    for data in ["3", "4", "5"] {
        publish(&world, data).await;
    }
    pass(10).await;
    let all = world.get("/events?timeout=1&category=c&since_time=0").await;
    let ids = ids(&all);
    let (early, late) = (BEGIN, BEGIN + 10);
    let zero = "00000000-0000-0000-0000-000000000000";
    let random = "123e4567-e89b-42d3-a456-426614174000";
    let ahead =
        uuid::Uuid::from_u128(ids[4].parse::<uuid::Uuid>().unwrap().as_u128() + (5 << 80)).to_string();
    let beside = uuid::Uuid::from_u128(ids[3].parse::<uuid::Uuid>().unwrap().as_u128() ^ 1).to_string();
    let cases: [(u64, &str, &[u64]); 17] = [
        (0, "", &[1, 2, 3, 4, 5]),
        (0, zero, &[1, 2, 3, 4, 5]),
        (early - 1, "", &[1, 2, 3, 4, 5]),
        (early, "", &[3, 4, 5]),
        (late - 1, "", &[3, 4, 5]),
        (early, &ids[0], &[2, 3, 4, 5]),
        (early, &ids[1], &[3, 4, 5]),
        (late, &ids[2], &[4, 5]),
        (late, &ids[3], &[5]),
        // Nothing of that millisecond came after it, or all of it.
        (early, &ids[2], &[3, 4, 5]),
        (late, &ids[0], &[3, 4, 5]),
        // Unknown: all of that millisecond.
        (late, zero, &[3, 4, 5]),
        (late, random, &[3, 4, 5]),
        (early, random, &[1, 2, 3, 4, 5]),
        (late, &ahead, &[3, 4, 5]),
        (late, &beside, &[3, 4, 5]),
        (early + 1, random, &[3, 4, 5]),
    ];
    for (since, last, data) in cases {
        let answer =
            world.get(&format!("/events?timeout=1&category=c&since_time={since}&last_id={last}")).await;
        let data: Vec<Value> = data.iter().map(|number| json!(number)).collect();
        assert_eq!(events(&answer), data, "{since} {last}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_gives_back_the_time_that_was_used() {
    let world = World::new();
    let target = |rest: &str| format!("/events?timeout=3&category=c{rest}");
    let since = BEGIN - 7_777;
    let answer = world.get(&target(&format!("&since_time={since}"))).await;
    assert_eq!(answer.text(), format!(r#"{{"timeout":"no events before timeout","timestamp":{since}}}"#));
    uncached(&answer);
    assert!((3_000..3_010).contains(&(world.millis() - BEGIN)));

    publish(&world, "1").await;
    let at = world.millis();
    pass(20).await;
    let id = ids(&world.get(&target("&since_time=1")).await)[0].clone();
    let answer = world.get(&target(&format!("&since_time={at}&last_id={id}"))).await;
    assert_eq!(answer.json()["timestamp"], at, "never the clock's");

    // The future counts as two seconds ago.
    publish(&world, "2").await;
    pass(1_990).await;
    let future = world.millis() + 60_000;
    assert_eq!(events(&world.get(&target(&format!("&since_time={future}"))).await), [json!(2)]);
    pass(20).await;
    let came = world.millis();
    let answer = world.get(&target(&format!("&since_time={future}"))).await;
    assert_eq!(answer.json()["timestamp"], came - 2_000);

    // Nothing said: now.
    let came = world.millis();
    assert_eq!(world.get(&target("")).await.json()["timestamp"], came);
    let poll = world.later(&target(""));
    world.until_waiting(1).await;
    publish(&world, "3").await;
    assert_eq!(events(&poll.await.unwrap()), [json!(3)], "and not what was before");
}

#[tokio::test(start_paused = true)]
async fn without_an_id_milliseconds_are_given_whole() {
    let world = World::new();
    let poll = world.later(&format!("/events?timeout=60&category=c&since_time={BEGIN}"));
    world.until_waiting(1).await;
    pass(10).await;
    publish(&world, "1").await;
    let at = world.millis();
    publish(&world, "2").await;
    tokio::time::advance(std::time::Duration::from_micros(300)).await;
    publish(&world, "3").await;
    assert_eq!(world.millis(), at, "all in one millisecond");
    let answer = poll.await.unwrap();
    assert_eq!(events(&answer), [json!(1), json!(2), json!(3)]);
    assert!(world.millis() > at, "given when nothing more can share it");
    assert!(world.millis() <= at + 10);

    // With an id it is given at once, for the rest can be named.
    let id = ids(&answer)[2].clone();
    let poll = world.later(&format!("/events?timeout=60&category=c&since_time={at}&last_id={id}"));
    world.until_waiting(1).await;
    let begun = world.millis();
    publish(&world, "4").await;
    assert_eq!(events(&poll.await.unwrap()), [json!(4)]);
    assert_eq!(world.millis(), begun);
}

/// Times grow by a microsecond at least, so a large publish ends some milliseconds ahead of the clock. Its reader
/// has events "from the future", and asks for what is behind them.
#[tokio::test(start_paused = true)]
async fn an_event_ahead_of_the_clock_is_given_once() {
    for ahead in [1_000, -5_000_000] {
        let world = World::new();
        let lines = "1\n".repeat(1_000);
        let batch = async || {
            let answer = world.post("/api/message?channel=c", "application/x-ndjson", &lines).await;
            assert_eq!(answer.status, 201);
        };
        batch().await;
        world.set_clock(ahead.min(0));
        let given = world
            .get(&format!("/events?timeout=1&category=c&since_time=1&last_id={}", uuid::Uuid::nil()))
            .await;
        let last = given.json()["events"][999].clone();
        let at = last["timestamp"].as_u64().unwrap();
        let next =
            format!("/events?timeout=1&category=c&since_time={at}&last_id={}", last["id"].as_str().unwrap());
        let answer = world.get(&next).await;
        assert_eq!(answer.json()["timestamp"], at, "it has everything, and waits: {:.200}", answer.text());
        batch().await;
        assert_eq!(events(&world.get(&next).await).len(), 1_000);
    }
}

/// Ten thousand events at one instant run ten milliseconds ahead of the clock; who goes on by time alone must not
/// be given a millisecond into which more will come.
#[tokio::test(start_paused = true)]
async fn by_time_alone_nothing_is_lost_of_a_burst() {
    let world = World::new();
    let lines = "1\n".repeat(1_000);
    let (mut since, mut count, mut published) = (BEGIN - 1, 0, 0);
    for _ in 0..20 {
        for _ in 0..2 {
            world.post("/api/message?channel=c", "application/x-ndjson", &lines).await;
            published += 1_000;
        }
        // The retained thousand must be read before they go.
        let answer = world.get(&format!("/events?timeout=1&category=c&since_time={since}")).await;
        let missed: usize = answer.field("poll-missed").map_or(0, |missed| missed.parse().unwrap());
        let given = answer.json();
        count += missed + given["events"].as_array().unwrap().len();
        since = given["events"].as_array().unwrap().last().unwrap()["timestamp"].as_u64().unwrap();
    }
    pass(100).await;
    let answer = world.get(&format!("/events?timeout=1&category=c&since_time={since}")).await.json();
    count += answer["events"].as_array().map_or(0, Vec::len);
    assert_eq!(count, published, "given or told");
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_stands_in_a_field() {
    let world = World::retaining(poll_core::Retention { messages: 2, ..Default::default() });
    for data in ["1", "2", "3", "4", "5"] {
        publish(&world, data).await;
        pass(5).await;
    }
    let missed = async |query: &str| {
        let answer = world.get(&format!("/events?timeout=1&category=c&{query}")).await;
        answer.field("poll-missed").map(str::to_owned)
    };
    assert_eq!(missed("since_time=0").await.as_deref(), Some("3"));
    assert_eq!(missed(&format!("since_time={}", BEGIN + 5)).await.as_deref(), Some("1"));
    assert_eq!(missed(&format!("since_time={}", BEGIN + 10)).await, None);
}

fn deleting() -> World {
    World::set(ServiceSettings {
        golongpoll_after_delivery: AfterDelivery::Delete,
        ..ServiceSettings::default()
    })
}

#[tokio::test(start_paused = true)]
async fn a_given_event_is_deleted_for_this_door_only() {
    let world = deleting();
    publish(&world, "1").await;
    publish(&world, "2").await;
    pass(10).await;
    let target = "/events?timeout=1&category=c&since_time=1";
    assert_eq!(events(&world.get(target).await), [json!(1), json!(2)]);
    publish(&world, "3").await;
    pass(10).await;
    assert_eq!(events(&world.get(target).await), [json!(3)]);
    assert_eq!(world.get(target).await.json()["timeout"], "no events before timeout");
    let native = world.get("/api/poll?channel=c").await;
    assert_eq!(native.json()["count"], 3);
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_answer_was_not_written_is_still_there() {
    let world = deleting();
    let long = format!("\"{}\"", "x".repeat(4_000));
    publish(&world, &long).await;
    pass(10).await;
    let target = "/events?timeout=1&category=c&since_time=1";
    let mut leaver = world.connect_through(512, [192, 0, 2, 1]);
    leaver.send("GET", target, &[], b"").await;
    // The head came, so the answer was on its way; the rest does not fit until it is read.
    assert_eq!(leaver.head().await.status, 200);
    leaver.leave().await;
    assert_eq!(events(&world.get(target).await).len(), 1);
    assert_eq!(world.get(target).await.json()["timeout"], "no events before timeout");
}

#[tokio::test(start_paused = true)]
async fn asking_for_the_head_deletes_nothing() {
    let world = deleting();
    publish(&world, "1").await;
    pass(10).await;
    let target = "/events?timeout=1&category=c&since_time=1";
    assert_eq!(world.ask("HEAD", target, &[], b"").await.status, 200);
    assert_eq!(events(&world.get(target).await), [json!(1)]);
}

#[tokio::test(start_paused = true)]
async fn only_publishers_may_delete_and_no_page_elsewhere() {
    let access = Access { publish: vec!["p".into()], subscribe: vec!["s".into(), "p".into()] };
    let settings =
        ServiceSettings { golongpoll_after_delivery: AfterDelivery::Delete, ..ServiceSettings::default() };
    let tokens = World::set(ServiceSettings { access, ..settings.clone() });
    let named = Cors::Origins(vec!["https://app.test".to_owned()]);
    let named = World::set(ServiceSettings { cors: named, ..settings.clone() });
    let reader = ("authorization", "Bearer s");
    let publisher = ("authorization", "Bearer p");
    type Fields<'a> = &'a [(&'a str, &'a str)];
    let worlds: [(World, &[Fields<'_>], Fields<'_>); 3] = [
        (tokens, &[&[reader], &[publisher, ("sec-fetch-site", "cross-site")]], &[publisher]),
        (
            World::set(settings),
            &[&[("origin", "https://app.test")], &[("origin", "null")], &[("sec-fetch-site", "cross-site")]],
            &[("sec-fetch-site", "same-origin")],
        ),
        (named, &[&[("origin", "https://other.test")]], &[("origin", "https://app.test")]),
    ];
    let target = "/events?timeout=1&category=c&since_time=1";
    for (world, keep, delete) in worlds {
        let body = br#"{"category":"c","data":1}"#;
        assert_eq!(world.ask("POST", "/publish", &[publisher], body).await.status, 200);
        pass(10).await;
        for fields in keep.iter().chain(keep) {
            assert_eq!(events(&world.ask("GET", target, fields, b"").await), [json!(1)], "{fields:?}");
        }
        assert_eq!(events(&world.ask("GET", target, delete, b"").await), [json!(1)], "{delete:?}");
        for fields in keep.iter().chain([&delete]) {
            let answer = world.ask("GET", target, fields, b"").await;
            assert_eq!(answer.json()["timeout"], "no events before timeout", "{fields:?}");
        }
    }
}
