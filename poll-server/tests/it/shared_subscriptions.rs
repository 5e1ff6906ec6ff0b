//! Subscriptions of several servers over one Redis: each answers for all, and what one that was killed had under way another
//! brings to its end.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::process::{Server, curl, output};
use crate::redis::Redis;
use crate::webhooks::Taken;

const ROOT: &str = "/v1/stream/__ds/subscriptions";
/// How long what has to happen may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(120);

fn node(redis: &Redis) -> Server {
    Server::start(&["--store", &redis.url()])
}

/// Status and content of an answer.
fn ask(server: &Server, method: &str, path: &str, token: &str, body: &Value) -> (u16, Value) {
    let (url, bearer) = (server.url(path), format!("authorization: Bearer {token}"));
    let (body, json) = (body.to_string(), "content-type: application/json");
    let mut arguments = vec!["-X", method, "-w", "\n%{http_code}", "-H", json, "-d", &body, &url];
    if !token.is_empty() {
        arguments.extend(["-H", &bearer]);
    }
    let answer = output(curl(&arguments));
    let (content, status) = answer.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(content).unwrap_or_default())
}

fn say(server: &Server, method: &str, path: &str, token: &str, body: &Value) -> (u16, Value) {
    ask(server, method, &format!("{ROOT}/{path}"), token, body)
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["error"]["code"].as_str().unwrap_or_default())
}

/// Asks again and again until the answer has this status.
fn until(status: u16, mut ask: impl FnMut() -> (u16, Value)) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask();
        if answer.0 == status {
            return answer.1;
        }
        assert!(Instant::now() < deadline, "never {status}: {answer:?}");
    }
}

fn pull(lease: u64) -> Value {
    json!({ "type": "pull-wake", "pattern": "events/*", "wake_stream": "wakes", "lease_ttl_ms": lease })
}

fn done(wake: &Value) -> Value {
    let acks: Vec<Value> = wake["streams"].as_array().unwrap().iter().map(ack).collect();
    json!({ "wake_id": wake["wake_id"], "generation": wake["generation"], "done": true, "acks": acks })
}

fn ack(stream: &Value) -> Value {
    json!({ "stream": stream["path"], "offset": stream["tail_offset"] })
}

#[test]
fn what_is_said_to_one_server_the_other_knows_at_once() {
    let redis = Redis::start(&[]);
    let (one, two) = (node(&redis), node(&redis));
    let claim =
        |server: &Server, worker: &str| say(server, "POST", "s/claim", "", &json!({ "worker": worker }));
    let keys = |server: &Server| ask(server, "GET", "/v1/stream/__ds/jwks.json", "", &Value::Null);
    until(200, || keys(&one));
    until(200, || keys(&two));
    assert_eq!(keys(&one).1, json!({ "keys": [] }), "no key is made before there is a subscription");
    ask(&one, "PUT", "/v1/stream/wakes", "", &json!([]));
    assert_eq!(say(&one, "PUT", "s", "", &pull(30_000)).0, 201);
    assert_eq!(say(&two, "PUT", "s", "", &pull(30_000)).0, 200);
    assert_eq!(code(&say(&two, "PUT", "s", "", &pull(1_000))), (409, "SUBSCRIPTION_ALREADY_EXISTS"));
    assert_eq!((keys(&one), keys(&one).1["keys"].as_array().map(Vec::len)), (keys(&two), Some(1)));
    assert_eq!(code(&claim(&two, "w")), (409, "NO_PENDING_WORK"));
    for number in 1..=5_u64 {
        let (here, there) = if number % 2 == 0 { (&one, &two) } else { (&two, &one) };
        ask(here, "PUT", &format!("/v1/stream/events/{number}"), "", &json!([number]));
        let (status, wake) = claim(there, "w");
        assert_eq!((status, &wake["generation"]), (200, &json!(number)), "{wake}");
        let held = claim(here, "v");
        assert_eq!(
            (code(&held), &held.1["error"]["current_holder"]),
            ((409, "ALREADY_CLAIMED"), &json!("w"))
        );
        let token = wake["token"].as_str().unwrap();
        assert_eq!(
            say(here, "POST", "s/ack", token, &done(&wake)),
            (200, json!({ "ok": true, "next_wake": false }))
        );
        assert_eq!(code(&say(there, "POST", "s/ack", token, &done(&wake))), (409, "FENCED"));
        assert_eq!(code(&claim(there, "w")), (409, "NO_PENDING_WORK"));
    }
    assert_eq!(say(&two, "DELETE", "s", "", &Value::Null).0, 204);
    assert_eq!(code(&say(&one, "GET", "s", "", &Value::Null)), (404, "SUBSCRIPTION_NOT_FOUND"));
    // Of the same name, and nothing of the old one.
    assert_eq!(say(&two, "PUT", "s", "", &pull(1_000)).0, 201);
    assert_eq!(say(&one, "GET", "s", "", &Value::Null).1["lease_ttl_ms"], 1_000);
    ask(&two, "PUT", "/v1/stream/events/6", "", &json!([6]));
    assert_eq!(claim(&one, "w").1["generation"], 1);
}

#[test]
fn what_a_killed_server_had_under_way_another_brings_to_its_end() {
    let redis = Redis::start(&[]);
    let (mut one, two) = (node(&redis), node(&redis));
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", receiver.local_addr().unwrap());
    let hook =
        json!({ "type": "webhook", "pattern": "hooked/*", "webhook": { "url": url }, "lease_ttl_ms": 1_000 });
    until(201, || ask(&one, "PUT", "/v1/stream/wakes", "", &json!([])));
    until(201, || say(&one, "PUT", "hook", "", &hook));
    let pulls: Vec<String> = (0..4).map(|number| format!("p{number}")).collect();
    for id in &pulls {
        assert_eq!(say(&one, "PUT", id, "", &pull(1_000)).0, 201);
    }
    // A webhook is on its way, and a worker has a wake.
    ask(&one, "PUT", "/v1/stream/hooked/a", "", &json!([1]));
    let sent = Taken::from(&receiver);
    ask(&one, "PUT", "/v1/stream/events/a", "", &json!([1]));
    let claimed = until(200, || say(&one, "POST", "p0/claim", "", &json!({ "worker": "one" })));
    // And something was just published.
    ask(&one, "PUT", "/v1/stream/events/b", "", &json!([1]));
    one.signal(Signal::KILL);
    one.wait();

    let again = Taken::from(&receiver);
    for part in ["wake_id", "generation", "callback_token"] {
        assert_eq!(again.json()[part], sent.json()[part], "{part}");
    }
    again.check(&two);
    again.answer("200 OK", r#"{"done":true}"#);
    let tail = sent.json()["streams"][0]["tail_offset"].clone();
    until(200, || {
        let (status, shown) = say(&two, "GET", "hook", "", &Value::Null);
        (if shown["streams"][0]["acked_offset"] == tail { status } else { 0 }, shown)
    });

    let anew = until(200, || say(&two, "POST", "p0/claim", "", &json!({ "worker": "two" })));
    assert!(anew["generation"].as_u64() > claimed["generation"].as_u64(), "{anew}");
    let token = |wake: &Value| wake["token"].as_str().unwrap().to_owned();
    let late = say(&two, "POST", "p0/ack", &token(&claimed), &done(&claimed));
    assert_eq!(code(&late), (409, "FENCED"));
    assert_eq!(anew["streams"][1]["path"], "events/b");
    assert_eq!(say(&two, "POST", "p0/ack", &token(&anew), &done(&anew)).0, 200);
    // Each subscriber was woken, though nothing was said of the others.
    let woken = until(200, || {
        let (status, events) = ask(&two, "GET", "/v1/stream/wakes", "", &Value::Null);
        let is_woken = |id: &String| {
            events
                .as_array()
                .is_some_and(|events| events.iter().any(|event| event["subscription_id"] == **id))
        };
        (if pulls.iter().all(is_woken) { status } else { 0 }, events)
    });
    for id in &pulls[1..] {
        let wake = until(200, || say(&two, "POST", &format!("{id}/claim"), "", &json!({ "worker": "two" })));
        let paths: Vec<&Value> = wake["streams"].as_array().unwrap().iter().map(|one| &one["path"]).collect();
        assert_eq!(paths, ["events/a", "events/b"], "{woken}");
    }
}
