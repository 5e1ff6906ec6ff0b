//! What operators see of connections, and how they cut one.

use std::time::Duration;

use poll_core::Retention;
use poll_http::{Administration, KeepPresence, ServiceSettings};
use serde_json::{Value, json};

use crate::world::{Wire, World, pass, settle};

const TOKEN: (&str, &str) = ("authorization", "Bearer t");

fn world() -> World {
    let administration = Administration { tokens: vec!["t".to_owned()], ..Administration::default() };
    let settings =
        ServiceSettings { administration, presence: KeepPresence::On, ..ServiceSettings::default() };
    World::with(settings, Retention::default())
}

/// Asks on a connection that stays, which is itself one of those that are listed.
async fn ask(wire: &mut Wire, method: &str, path: &str) -> (u16, Value) {
    wire.send(method, path, &[TOKEN], b"").await;
    let answer = wire.answer_to(method).await;
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
}

async fn listed(wire: &mut Wire) -> Vec<Value> {
    let (status, page) = ask(wire, "GET", "/admin/connections").await;
    assert_eq!((status, &page["next"]), (200, &Value::Null));
    page["connections"].as_array().unwrap().clone()
}

/// The number of the first connection of a world, which asks.
async fn first_of(wire: &mut Wire) -> u64 {
    listed(wire).await[0]["id"].as_u64().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_shown_with_who_has_it_and_what_it_waits_for() {
    let world = world();
    let mut operator = world.connect();
    let mut poll = world.connect_from([192, 0, 2, 7]);
    let before = listed(&mut operator).await;
    assert_eq!(before[1]["protocol"], Value::Null, "it has asked for nothing");
    poll.send("GET", "/api/longpoll?channel=a&timeout=30", &[("x-client-id", "ann")], b"").await;
    let mut list = world.connect();
    list.open("/api/stream?channel=b&channel=c", &[]).await;
    world.until_waiting(2).await;
    pass(1_500).await;
    let connections = listed(&mut operator).await;
    let mut one = connections[1].clone();
    assert!(one["bytes_received"].take() == 0 && one["bytes_sent"].take() == 0, "counted by the socket");
    let expected = json!({
        "id": connections[0]["id"].as_u64().unwrap() + 1, "peer": "192.0.2.7:4711", "address": "192.0.2.7", "client": "ann", "protocol": "HTTP/1.1",
        "tls": false, "age_seconds": 1.5, "requests": 1, "bytes_received": null, "bytes_sent": null, "waiting": 1,
        "waits": [{"pattern": "long", "channel": "a", "channels": 1, "requests": 1}],
    });
    assert_eq!(one, expected);
    let two = &connections[2];
    assert_eq!(two["waits"], json!([{"pattern": "stream", "channel": "b", "channels": 2, "requests": 1}]));
    assert_eq!((&two["client"], &connections[0]["requests"]), (&Value::Null, &json!(2)));

    world.publish("a", "x").await;
    assert_eq!(poll.answer().await.status, 200);
    let one = &listed(&mut operator).await[1];
    assert_eq!((&one["waiting"], &one["waits"], &one["client"]), (&json!(0), &json!([]), &json!("ann")));
    list.leave().await;
    assert_eq!(listed(&mut operator).await.len(), 2, "those that are open");
}

#[tokio::test(start_paused = true)]
async fn requests_of_an_http2_connection_are_grouped_and_what_is_not_shown_is_counted() {
    let world = world();
    let mut operator = world.connect();
    let mut requests = world.connect_http2(&h2::client::Builder::new()).await;
    let mut answers = Vec::new();
    for channel in (0..20).chain([0, 0]) {
        let uri = format!("http://poll.test/api/longpoll?channel=c{channel}&timeout=30");
        std::future::poll_fn(|cx| requests.poll_ready(cx)).await.unwrap();
        let request = http::Request::get(uri).body(()).unwrap();
        answers.push(requests.send_request(request, true).unwrap());
    }
    world.until_waiting(22).await;
    let connection = listed(&mut operator).await.remove(1);
    assert_eq!((&connection["protocol"], &connection["waiting"]), (&json!("HTTP/2"), &json!(22)));
    assert_eq!(connection["waits"].as_array().unwrap().len(), 16);
    answers.clear();
    world.until_waiting(0).await;
    assert_eq!(listed(&mut operator).await[1]["waiting"], 0);
}

#[tokio::test(start_paused = true)]
async fn connections_are_listed_by_number_a_page_at_a_time() {
    let world = world();
    let mut operator = world.connect();
    let _others: Vec<Wire> = (0..4).map(|_| world.connect()).collect();
    let first = first_of(&mut operator).await;
    let (second, fourth) = (first + 1, first + 3);
    for (query, places, next) in [
        ("?after=".to_owned(), 0..5, json!(null)),
        ("?limit=2".to_owned(), 0..2, json!(second)),
        (format!("?limit=2&after={second}"), 2..4, json!(fourth)),
        (format!("?limit=99999&after={fourth}"), 4..5, json!(null)),
        (format!("?limit=1&after={fourth}"), 4..5, json!(null)),
        ("?after=18446744073709551615".to_owned(), 0..0, json!(null)),
    ] {
        let ids = places.map(|place| first + place).collect::<Vec<_>>();
        let (status, page) = ask(&mut operator, "GET", &format!("/admin/connections{query}")).await;
        let found = page["connections"].as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap());
        assert_eq!((status, found.collect::<Vec<_>>()), (200, ids), "{query}");
        assert_eq!(page["next"], next, "{query}");
    }
    for (query, named) in [("limit=0", "`limit`"), ("after=x", "`after`"), ("after=1&after=2", "`after`")] {
        let (status, problem) = ask(&mut operator, "GET", &format!("/admin/connections?{query}")).await;
        assert_eq!(status, 400, "{query}");
        assert!(problem["detail"].as_str().unwrap().contains(named), "{query}: {problem}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_cut_is_closed_released_and_counted() {
    let world = world();
    let mut operator = world.connect();
    let mut poll = world.connect();
    poll.send("GET", "/api/longpoll?channel=a&timeout=30", &[], b"").await;
    world.until_waiting(1).await;
    let first = first_of(&mut operator).await;
    let cut = format!("/admin/connections/{}", first + 1);
    assert_eq!(ask(&mut operator, "DELETE", &cut).await, (204, Value::Null));
    assert!(poll.is_closed().await, "without an answer");
    assert_eq!(world.waiters(), 0);
    assert_eq!(world.metric("poll_refused_total{reason=\"operator\"}"), 1);
    assert_eq!(listed(&mut operator).await.len(), 1);
    for id in [&*(first + 1).to_string(), "0", "x", "-1", "99999999999999999999"] {
        let (status, problem) = ask(&mut operator, "DELETE", &format!("/admin/connections/{id}")).await;
        assert_eq!((status, &problem["status"]), (404, &json!(404)), "{id}");
    }
    let mut elsewhere = world.connect();
    let own = format!("/admin/connections/{first}");
    for (method, path, allow) in
        [("GET", &*own, "DELETE, OPTIONS"), ("POST", "/admin/connections", "GET, HEAD, OPTIONS")]
    {
        elsewhere.send(method, path, &[TOKEN], b"").await;
        let answer = elsewhere.answer().await;
        assert_eq!((answer.status, answer.field("allow")), (405, Some(allow)), "{method} {path}");
    }
    let fields = [TOKEN, ("sec-fetch-site", "cross-site")];
    assert_eq!(world.ask("DELETE", &own, &fields, b"").await.status, 403);
    assert_eq!(listed(&mut operator).await[0]["id"], first);
}

#[tokio::test(start_paused = true)]
async fn an_operator_who_cuts_the_own_connection_is_answered_first() {
    let world = world();
    let mut operator = world.connect();
    let own = first_of(&mut operator).await;
    assert_eq!(ask(&mut operator, "DELETE", &format!("/admin/connections/{own}")).await.0, 204);
    let closed = tokio::time::timeout(Duration::from_secs(1), operator.is_closed()).await;
    assert_eq!(closed, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn without_administration_nothing_is_kept_of_connections() {
    let world = World::new();
    let mut before = world.connect();
    assert!(world.service.list_connection(([192, 0, 2, 1], 1).into()).is_none());
    let administration = Administration { tokens: vec!["t".to_owned()], ..Administration::default() };
    world.service.replace_administration(administration);
    let mut after = world.connect();
    settle().await;
    let only = first_of(&mut after).await;
    assert_eq!(listed(&mut before).await.len(), 1, "those that came since");
    for id in [only - 1, only + 1] {
        assert_eq!(ask(&mut before, "DELETE", &format!("/admin/connections/{id}")).await.0, 404);
    }
}

/// Behind a balancer a request to cut may reach another server than the list came from.
#[tokio::test(start_paused = true)]
async fn the_number_of_a_connection_cuts_none_of_another_server() {
    let (here, there) = (world(), world());
    let (mut first, mut second) = (here.connect(), there.connect());
    let id = first_of(&mut first).await;
    assert_eq!(ask(&mut second, "DELETE", &format!("/admin/connections/{id}")).await.0, 404);
    assert_eq!((listed(&mut first).await.len(), listed(&mut second).await.len()), (1, 1));
}
