//! What operators ask of channels, request by request.

use poll_core::Retention;
use poll_http::{Administration, Cors, ServiceSettings};
use serde_json::{Value, json};

use crate::world::World;

const TOKEN: (&str, &str) = ("authorization", "Bearer t");

fn world() -> World {
    let administration = Administration { tokens: vec!["t".to_owned()], ..Administration::default() };
    let settings = ServiceSettings { administration, ..ServiceSettings::default() };
    World::with(settings, Retention::default())
}

#[tokio::test(start_paused = true)]
async fn no_other_origin_administers_whichever_may_publish() {
    let origin = ("origin", "https://app.test");
    for cors in [Cors::Any, Cors::Origins(vec![origin.1.to_owned()])] {
        let administration = Administration { tokens: vec!["t".to_owned()], ..Administration::default() };
        let settings = ServiceSettings { administration, cors, ..ServiceSettings::default() };
        let world = World::with(settings, Retention::default());
        publish(&world, "a", "x").await;
        for site in [("sec-fetch-site", "cross-site"), ("accept", "*/*")] {
            let purged = world.ask("POST", "/admin/channels/a/purge", &[TOKEN, origin, site], b"").await;
            assert_eq!((purged.status, purged.field("access-control-allow-origin")), (403, None));
        }
        let listed = world.ask("GET", "/admin/channels", &[TOKEN, origin], b"").await;
        assert_eq!((listed.status, listed.field("access-control-allow-origin")), (200, None));
        assert_eq!(listed.json()["channels"][0]["messages"], 1);
    }
}

/// The status, and the content as JSON.
async fn ask(world: &World, method: &str, path: &str, content: &str) -> (u16, Value) {
    let answer = world.ask(method, path, &[TOKEN], content.as_bytes()).await;
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
}

async fn publish(world: &World, channel: &str, content: &str) {
    let path = format!("/api/message?channel={channel}&content={content}");
    assert_eq!(world.ask("POST", &path, &[], b"").await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn channels_are_listed_by_name_a_page_at_a_time() {
    let world = world();
    assert_eq!(ask(&world, "GET", "/admin/channels", "").await, (200, json!({"channels": [], "next": null})));
    for channel in ["b", "a%2F2", "a%2F1", "c"] {
        publish(&world, channel, "x").await;
    }
    for (query, names, next) in [
        ("", &["a/1", "a/2", "b", "c"][..], None),
        ("?prefix=&after=", &["a/1", "a/2", "b", "c"], None),
        ("?limit=2", &["a/1", "a/2"], Some("a/2")),
        ("?limit=2&after=a%2F2", &["b", "c"], None),
        ("?prefix=a%2F&limit=1", &["a/1"], Some("a/1")),
        ("?prefix=a%2F&limit=99999&after=a%2F1", &["a/2"], None),
        ("?prefix=z", &[], None),
    ] {
        let (status, page) = ask(&world, "GET", &format!("/admin/channels{query}"), "").await;
        let found =
            page["channels"].as_array().unwrap().iter().map(|channel| channel["channel"].as_str().unwrap());
        assert_eq!((status, found.collect::<Vec<_>>()), (200, names.to_vec()), "{query}");
        assert_eq!(page["next"].as_str(), next, "{query}");
    }
    for (query, named) in [
        ("limit=0", "`limit`"),
        ("limit=x", "`limit`"),
        ("limit=1&limit=2", "`limit`"),
        ("prefix=%0a", "`prefix`"),
        ("after=%ff", "`after`"),
    ] {
        let (status, problem) = ask(&world, "GET", &format!("/admin/channels?{query}"), "").await;
        assert_eq!(status, 400, "{query}");
        assert!(problem["detail"].as_str().unwrap().contains(named), "{query}: {problem}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_is_shown_with_what_it_retains_and_who_waits() {
    let world = world();
    assert_eq!(ask(&world, "GET", "/admin/channels/a", "").await.0, 404);
    publish(&world, "a", "one").await;
    publish(&world, "a", "two").await;
    let (status, channel) = ask(&world, "GET", "/admin/channels/a", "").await;
    let poll: Value = serde_json::from_slice(&world.get("/api/poll?channel=a").await.body).unwrap();
    let expected = json!({
        "channel": "a", "messages": 2, "bytes": 2 * (128 + 3), "oldest": 1, "newest": 2,
        "waiters": {"long": 0, "stream": 0, "push": 0},
        "epoch": poll["cursor"].as_str().unwrap()[..16], "closed": false,
        "settings": {"retain_messages": null, "retain_seconds": null, "retain_bytes": null},
    });
    assert_eq!((status, &channel), (200, &expected));
    let mut stream = world.connect();
    stream.send("GET", "/api/stream?channel=a", &[], b"").await;
    world.until_waiting(1).await;
    let (_, channel) = ask(&world, "GET", "/admin/channels/a", "").await;
    assert_eq!(channel["waiters"], json!({"long": 0, "stream": 1, "push": 0}));
    drop(stream);
    let head = world.ask("HEAD", "/admin/channels/a", &[TOKEN], b"").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test(start_paused = true)]
async fn a_purge_drops_messages_and_their_numbers_go_on() {
    let world = world();
    publish(&world, "a", "one").await;
    let (status, channel) = ask(&world, "POST", "/admin/channels/a/purge", "").await;
    assert_eq!((status, &channel["messages"], &channel["bytes"]), (200, &json!(0), &json!(0)));
    assert_eq!((&channel["oldest"], &channel["newest"]), (&json!(2), &json!(1)));
    publish(&world, "a", "two").await;
    let poll: Value = serde_json::from_slice(&world.get("/api/poll?channel=a").await.body).unwrap();
    assert_eq!((&poll["messages"][0]["id"], &poll["missed"]), (&json!(2), &json!(1)));
}

#[tokio::test(start_paused = true)]
async fn a_closed_channel_takes_nothing_more_and_may_be_closed_again() {
    let world = world();
    publish(&world, "a", "one").await;
    for _ in 0..2 {
        let (status, channel) = ask(&world, "POST", "/admin/channels/a/close", "").await;
        assert_eq!((status, &channel["closed"]), (200, &json!(true)));
    }
    assert_eq!(world.ask("POST", "/api/message?channel=a&content=x", &[], b"").await.status, 409);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_channel_is_gone_and_begins_anew() {
    let world = world();
    publish(&world, "a", "one").await;
    let (_, before) = ask(&world, "GET", "/admin/channels/a", "").await;
    assert_eq!(ask(&world, "DELETE", "/admin/channels/a", "").await, (204, Value::Null));
    assert_eq!(ask(&world, "DELETE", "/admin/channels/a", "").await.0, 404);
    publish(&world, "a", "one").await;
    let (_, after) = ask(&world, "GET", "/admin/channels/a", "").await;
    assert_eq!(after["newest"], 1);
    assert_ne!(before["epoch"], after["epoch"]);
}

#[tokio::test(start_paused = true)]
async fn settings_are_of_one_channel_and_replace_what_was_set() {
    let world = world();
    publish(&world, "a", "one").await;
    publish(&world, "b", "one").await;
    let (status, channel) =
        ask(&world, "PUT", "/admin/channels/a/settings", r#"{"retain_messages":2}"#).await;
    let expected = json!({"retain_messages": 2, "retain_seconds": null, "retain_bytes": null});
    assert_eq!((status, &channel["settings"]), (200, &expected));
    for channel in ["a", "a", "b", "b"] {
        publish(&world, channel, "more").await;
    }
    let (_, page) = ask(&world, "GET", "/admin/channels", "").await;
    assert_eq!((&page["channels"][0]["messages"], &page["channels"][1]["messages"]), (&json!(2), &json!(3)));
    let (_, channel) = ask(&world, "PUT", "/admin/channels/a/settings", r#"{"retain_seconds":0}"#).await;
    let expected = json!({"retain_messages": null, "retain_seconds": 0, "retain_bytes": null});
    assert_eq!(channel["settings"], expected);
    for content in ["", "[]", r#"{"retain":1}"#, r#"{"retain_bytes":-1}"#] {
        assert_eq!(ask(&world, "PUT", "/admin/channels/a/settings", content).await.0, 400, "{content}");
    }
    let large = format!("{{\"retain_bytes\":{}1}}", " ".repeat(5_000));
    assert_eq!(ask(&world, "PUT", "/admin/channels/a/settings", &large).await.0, 413);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_404_and_another_method_405() {
    let world = world();
    for (method, path) in [
        ("GET", "/admin/channels/none"),
        ("DELETE", "/admin/channels/none"),
        ("POST", "/admin/channels/none/purge"),
        ("POST", "/admin/channels/none/close"),
        ("PUT", "/admin/channels/none/settings"),
        ("GET", "/admin/channels/none/else"),
        ("GET", "/admin/else"),
    ] {
        let answer = world.ask(method, path, &[TOKEN], b"{}").await;
        assert_eq!(answer.status, 404, "{method} {path}");
        assert_eq!(answer.field("content-type"), Some("application/problem+json"), "{method} {path}");
    }
    assert_eq!(ask(&world, "GET", "/admin/channels", "").await.1["channels"], json!([]), "nothing was made");
    for (method, path, allow) in [
        ("POST", "/admin/channels", "GET, HEAD, OPTIONS"),
        ("PUT", "/admin/channels/a", "GET, HEAD, DELETE, OPTIONS"),
        ("GET", "/admin/channels/a/purge", "POST, OPTIONS"),
        ("DELETE", "/admin/channels/a/close", "POST, OPTIONS"),
        ("POST", "/admin/channels/a/settings", "PUT, OPTIONS"),
    ] {
        let answer = world.ask(method, path, &[TOKEN], b"").await;
        assert_eq!((answer.status, answer.field("allow")), (405, Some(allow)), "{method} {path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_of_another_origin_writes_nothing() {
    let world = world();
    publish(&world, "a", "one").await;
    for (method, path) in [
        ("DELETE", "/admin/channels/a"),
        ("POST", "/admin/channels/a/purge"),
        ("POST", "/admin/channels/a/close"),
        ("PUT", "/admin/channels/a/settings"),
    ] {
        let fields = [TOKEN, ("sec-fetch-site", "cross-site")];
        assert_eq!(world.ask(method, path, &fields, b"{}").await.status, 403, "{method} {path}");
    }
    let (_, channel) = ask(&world, "GET", "/admin/channels/a", "").await;
    assert_eq!((&channel["messages"], &channel["closed"]), (&json!(1), &json!(false)));
}
