//! Who is let in: each bound reached, told in each door's words, and given back however a request ends.

use std::time::Duration;

use poll_http::{Access, Limits, Rate, ServiceSettings};
use serde_json::{Value, json};

use crate::world::{Answer, Wire, World, pass};

fn limited(limits: Limits) -> World {
    World::set(ServiceSettings { limits, ..ServiceSettings::default() })
}

/// What waits, by every pattern and in every dialect.
const WAITS: [&str; 9] = [
    "/api/longpoll?channel=messages&timeout=60",
    "/api/stream?channel=messages",
    "/api/push?channel=messages",
    "/api/progress/job",
    "/events?category=messages&timeout=60",
    "/messages",
    "/api/poll/messages?timeout=60",
    "/api/poll/messages?timeout=60&since=1",
    "/api/progress",
];

async fn opened(world: &World, target: &str, name: Option<&str>, address: [u8; 4]) -> Wire {
    let mut wire = world.connect_from(address);
    let fields: Vec<_> = name.iter().map(|name| ("x-client-id", *name)).collect();
    wire.send("GET", target, &fields, b"").await;
    wire
}

/// The shape of a refusal at a path.
fn told(target: &str, answer: &Answer, status: u16, detail: &str) {
    assert_eq!(answer.status, status, "{target}: {}", answer.text());
    let problem = Some("application/problem+json");
    if target.starts_with("/events") || target == "/publish" || target == "/messages" {
        assert_eq!(answer.text(), format!(r#"{{"error": {}}}"#, json!(detail)), "{target}");
    } else if target.starts_with("/api/poll/") || target.starts_with("/api/publish/") {
        assert_eq!(answer.text(), format!(r#"{{"error":{}}}"#, json!(detail)), "{target}");
    } else {
        assert_eq!(answer.field("content-type"), problem, "{target}");
        let body = answer.json();
        assert_eq!((&body["status"], &body["detail"]), (&json!(status), &Value::from(detail)), "{target}");
    }
    if status == 429 {
        let after: u64 = answer.field("retry-after").expect("a time to come back").parse().unwrap();
        assert!(after >= 1);
    }
}

#[tokio::test(start_paused = true)]
async fn each_bound_is_told_in_each_doors_words() {
    let cases = [
        (Limits { total: 1, ..Limits::default() }, "Server at capacity"),
        (Limits { per_channel: 1, ..Limits::default() }, "Channel at capacity"),
        (Limits { per_client: 1, ..Limits::default() }, "Too many connections from client"),
        (Limits { per_address: 1, ..Limits::default() }, "Too many connections from client"),
    ];
    for (limits, detail) in cases {
        for target in &WAITS[..8] {
            let world = limited(limits);
            let holder = if *target == "/api/progress/job" { target } else { WAITS[0] };
            let _held = opened(&world, holder, Some("me"), [1, 1, 1, 1]).await;
            world.until_waiting(1).await;
            let answer = opened(&world, target, Some("me"), [1, 1, 1, 1]).await.answer().await;
            told(target, &answer, 429, detail);
            assert_eq!(world.waiters(), 1);
            assert_eq!(world.metric("poll_refused_total{reason=\"limit\"}"), 1, "{target}");
            // What is not waiting is not bounded.
            assert_eq!(world.get("/api/poll?channel=messages").await.status, 200);
            assert_eq!(world.post("/messages", "", r#"{"body":"x"}"#).await.status, 200);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_made_up_name_is_no_way_round() {
    let world = limited(Limits { per_client: 2, per_address: 5, ..Limits::default() });
    let mut held = Vec::new();
    for name in ["a", "a", "b", "c"] {
        held.push(opened(&world, WAITS[0], Some(name), [1, 1, 1, 1]).await);
    }
    world.until_waiting(4).await;
    let detail = "Too many connections from client";
    told(WAITS[0], &opened(&world, WAITS[0], Some("a"), [1, 1, 1, 1]).await.answer().await, 429, detail);
    held.push(opened(&world, WAITS[0], None, [1, 1, 1, 1]).await);
    world.until_waiting(5).await;
    for number in 0..20 {
        let name = format!("made-up-{number}");
        told(
            WAITS[0],
            &opened(&world, WAITS[0], Some(&name), [1, 1, 1, 1]).await.answer().await,
            429,
            detail,
        );
    }
    told(WAITS[0], &opened(&world, WAITS[0], None, [1, 1, 1, 1]).await.answer().await, 429, detail);
    held.push(opened(&world, WAITS[0], Some("b"), [1, 1, 1, 2]).await);
    world.until_waiting(6).await;
}

#[tokio::test(start_paused = true)]
async fn a_place_is_given_back_however_a_request_ends() {
    let one = Limits { total: 1, ..Limits::default() };
    for target in WAITS {
        // The client leaves.
        let world = limited(one);
        for _ in 0..3 {
            let wire = opened(&world, target, None, [1, 1, 1, 1]).await;
            world.until_waiting(1).await;
            wire.leave().await;
            world.until_waiting(0).await;
        }
        // It resets its stream.
        let requests = world.connect_http2(&h2::client::Builder::new()).await;
        for _ in 0..3 {
            let mut ready = requests.clone().ready().await.unwrap();
            let request = http::Request::get(format!("http://poll.test{target}")).body(()).unwrap();
            let (answer, _) = ready.send_request(request, true).unwrap();
            world.until_waiting(1).await;
            drop(answer);
            world.until_waiting(0).await;
        }
        // The server drains.
        let mut wire = opened(&world, target, None, [1, 1, 1, 1]).await;
        world.until_waiting(1).await;
        world.drain.begin(Duration::from_secs(3));
        wire.answer().await;
        world.until_waiting(0).await;
        assert_eq!(world.store.notifier().waiting(), 0, "{target}");
    }
    // Answered, and timed out.
    let world = limited(one);
    for target in [WAITS[0], WAITS[4], WAITS[5], WAITS[6]] {
        let mut wire = opened(&world, target, None, [1, 1, 1, 1]).await;
        assert_eq!(wire.answer().await.status, 200, "{target}");
        assert_eq!(world.waiters(), 0, "{target} timed out");
        let after = format!("since_time={}", world.millis());
        let target =
            if target.starts_with("/events") { format!("{target}&{after}") } else { target.to_owned() };
        let mut wire = opened(&world, &target, None, [1, 1, 1, 1]).await;
        world.until_waiting(1).await;
        pass(1).await;
        world.publish("messages", "x").await;
        assert_eq!(wire.answer().await.status, 200, "{target}");
        assert_eq!(world.waiters(), 0, "{target} answered");
        // The next target starts from an empty channel again.
        pass(301_000).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_given_back_when_the_handler_panics() {
    for target in &WAITS[..8] {
        let world = limited(Limits { total: 1, ..Limits::default() });
        let wire = opened(&world, target, None, [1, 1, 1, 1]).await;
        world.until_waiting(1).await;
        world.break_clock();
        world.store.notifier().notify_all();
        world.until_waiting(0).await;
        assert_eq!(world.store.notifier().waiting(), 0, "{target}");
        drop(wire);
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_connections_that_churn_leave_nothing() {
    let world =
        limited(Limits { total: 50, per_channel: 40, per_client: 3, per_address: 30, ..Limits::default() });
    let mut held = Vec::new();
    let mut refused = 0;
    for number in 0..1_000usize {
        let target = WAITS[number % WAITS.len()];
        let name = format!("n{}", number % 17);
        let address = [1, 1, 1, u8::try_from(number % 3).unwrap()];
        let wire = opened(&world, target, (number % 2 == 0).then_some(name.as_str()), address).await;
        tokio::task::yield_now().await;
        held.push(wire);
        if held.len() > 60 {
            let wire = held.swap_remove(number * 7 % 60);
            match number % 3 {
                0 => wire.leave().await,
                1 => drop(wire),
                _ => {
                    let mut wire = wire;
                    refused += usize::from(wire.head().await.status == 429);
                }
            }
        }
        if number % 100 == 0 {
            world.publish("messages", "x").await;
        }
        assert!(world.waiters() <= 50);
    }
    assert!(refused > 0);
    drop(held);
    world.until_waiting(0).await;
    assert_eq!(world.store.notifier().waiting(), 0);
    // All of it is there again.
    let limits = [(None, 30, [1, 1, 1, 0]), (Some("n0"), 3, [1, 1, 1, 1])];
    for (name, most, address) in limits {
        let mut all = Vec::new();
        for _ in 0..most {
            all.push(opened(&world, "/api/stream?channel=other", name, address).await);
        }
        world.until_waiting(most).await;
        let mut over = opened(&world, "/api/stream?channel=other", name, address).await;
        assert_eq!(over.head().await.status, 429);
        drop(all);
        world.until_waiting(0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_a_burst_and_then_so_many_a_second_and_nothing_new_costs_a_tenth() {
    let world = limited(Limits { rate: Rate::Bucket { per_second: 10.0, burst: 20.0 }, ..Limits::default() });
    for _ in 0..20 {
        assert_eq!(world.get("/api/poll").await.status, 200);
    }
    let mut targets = WAITS.to_vec();
    targets.extend(["/api/poll", "/api/messages/c/1"]);
    for target in targets {
        told(target, &world.get(target).await, 429, "too many requests from this address");
    }
    for target in ["/api/message?content=x", "/publish", "/messages", "/api/publish/c", "/api/progress/j"] {
        let answer = world.ask("POST", target, &[], b"").await;
        told(target, &answer, 429, "too many requests from this address");
    }
    for target in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(world.get(target).await.status, 200, "{target}");
    }
    let mut other = world.connect_from([9, 9, 9, 9]);
    other.send("GET", "/api/poll", &[], b"").await;
    let answer = other.answer().await;
    assert_eq!(answer.status, 200, "somebody else's");
    let tag = answer.field("etag").unwrap().to_owned();

    pass(100).await;
    assert_eq!(world.get("/api/poll").await.status, 200, "ten a second");
    assert_eq!(world.get("/api/poll").await.status, 429);
    pass(10_000).await;
    let mut same = 0;
    while world.ask("GET", "/api/poll", &[("if-none-match", &tag)], b"").await.status == 304 {
        same += 1;
    }
    assert!((190..=200).contains(&same), "{same} for twenty tokens");
}

#[tokio::test(start_paused = true)]
async fn tokens_are_asked_for_in_each_doors_words() {
    let access = Access { publish: vec!["p".into(), "p2".into()], subscribe: vec!["s".into()] };
    let world = World::set(ServiceSettings { access, ..ServiceSettings::default() });
    let reads = [
        "/api/poll",
        "/api/longpoll?timeout=0",
        "/api/messages/c/1",
        "/events?timeout=1&category=c",
        "/messages",
        "/api/poll/c?timeout=0",
    ];
    let writes: [(&str, &str); 5] = [
        ("/api/message", "x"),
        ("/api/progress/j", r#"{"step":1,"total":2}"#),
        ("/publish", r#"{"category":"messages","data":1}"#),
        ("/messages", r#"{"body":"x"}"#),
        ("/api/publish/c", "{}"),
    ];
    let asked = reads.iter().map(|target| ("GET", *target, "", "s", "p"));
    let asked = asked.chain(writes.iter().map(|(target, body)| ("POST", *target, *body, "p2", "s")));
    for (method, target, body, right, wrong) in asked {
        let ask = async |token: Option<&str>| {
            let bearer = token.map(|token| format!("Bearer {token}"));
            let fields: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
            world.ask(method, target, &fields, body.as_bytes()).await
        };
        for token in [None, Some("x")] {
            let answer = ask(token).await;
            let detail = if token.is_some() { "the token is not known" } else { "a token is needed" };
            told(target, &answer, 401, detail);
            assert!(
                answer.field("www-authenticate").is_some_and(|field| field.starts_with("Bearer")),
                "{target}"
            );
        }
        told(target, &ask(Some(wrong)).await, 403, "the token does not grant this");
        let granted = ask(Some(right)).await;
        assert!(!matches!(granted.status, 401 | 403), "{method} {target}: {}", granted.status);
        let separator = if target.contains('?') { '&' } else { '?' };
        let in_the_address = format!("{target}{separator}access_token={right}");
        let granted = world.ask(method, &in_the_address, &[], body.as_bytes()).await;
        assert!(!matches!(granted.status, 401 | 403), "{in_the_address}");
    }
    let mut stream = world.connect();
    stream.open("/api/stream?access_token=s", &[]).await;
    for open in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(world.get(open).await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn the_demonstration_writes_though_it_is_a_get() {
    let access = Access { publish: vec!["p".into()], subscribe: vec!["s".into()] };
    let world = World::set(ServiceSettings { access, ..ServiceSettings::default() });
    for method in ["GET", "HEAD"] {
        for (fields, status) in [(&[][..], 401), (&[("authorization", "Bearer s")], 403)] {
            let answer = world.ask(method, "/api/progress", fields, b"").await;
            assert_eq!(answer.status, status, "{method} {fields:?}");
        }
    }
    assert_eq!(world.store.channels(), 0);
    let mut wire = world.connect();
    wire.open("/api/progress?access_token=p", &[]).await;
    assert_eq!(wire.json_line().await["step"], 1);
    assert_eq!(world.store.channels(), 1);
}

#[tokio::test(start_paused = true)]
async fn wrong_tokens_are_counted_by_address_and_a_good_one_is_never_refused() {
    let access = Access { publish: vec!["p".into()], subscribe: vec!["s".into()] };
    let world = |auth_failures| {
        let limits = Limits { auth_failures, ..Limits::default() };
        World::set(ServiceSettings { access: access.clone(), limits, ..ServiceSettings::default() })
    };
    let ask = async |world: &World, token: &str, address: [u8; 4]| {
        let mut wire = world.connect_from(address);
        wire.send("GET", &format!("/api/poll?access_token={token}"), &[], b"").await;
        wire.answer().await
    };
    let (here, there) = ([1, 1, 1, 1], [1, 1, 1, 2]);
    let limited = world(20);
    for number in 0..20 {
        assert_eq!(limited.get("/api/poll").await.status, 401, "none is not a wrong one");
        assert_eq!(ask(&limited, "p", here).await.status, 403, "nor is one for something else");
        assert_eq!(ask(&limited, &format!("guess-{number}"), here).await.status, 401);
    }
    told("/api/poll", &ask(&limited, "x", here).await, 429, "too many wrong tokens from this address");
    assert_eq!(ask(&limited, "s", here).await.status, 200);
    assert_eq!(ask(&limited, "x", there).await.status, 401);
    assert_eq!(limited.metric("poll_refused_total{reason=\"limit\"}"), 1);
    pass(3_000).await;
    assert_eq!(ask(&limited, "x", here).await.status, 401, "twenty a minute");
    assert_eq!(ask(&limited, "x", here).await.status, 429);

    let unlimited = world(0);
    for _ in 0..100 {
        assert_eq!(ask(&unlimited, "x", here).await.status, 401);
    }
}
