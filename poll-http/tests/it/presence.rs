//! Presence over the wire: who is there, told as messages, by every pattern, and over several servers of one log.

use poll_core::{ChannelName, Retention};
use poll_http::{Access, Administration, DurableStreams, KeepPresence, Limits, ServiceSettings};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::world::{Answer, World, pass};

fn settings() -> ServiceSettings {
    ServiceSettings { presence: KeepPresence::On, ..ServiceSettings::default() }
}

/// A server that keeps presence, and the task that does.
fn kept(world: World) -> (World, JoinHandle<()>) {
    let keeper = tokio::spawn(world.service.keep_presence());
    (world, keeper)
}

fn one() -> (World, JoinHandle<()>) {
    kept(World::set(settings()))
}

/// A request of a named client that may take its time.
fn wait(world: &World, client: &'static str, target: &str) -> JoinHandle<Answer> {
    let (world, target) = (world.clone(), target.to_owned());
    tokio::spawn(async move { world.ask("GET", &target, &[("x-client-id", client)], b"").await })
}

async fn present(world: &World, channel: &str) -> Vec<String> {
    let answer = world.get(&format!("/api/presence?channel={channel}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let clients = answer["clients"].as_array().unwrap();
    assert_eq!((&answer["channel"], &answer["count"]), (&channel.into(), &clients.len().into()));
    clients.iter().map(|client| client["id"].as_str().unwrap().to_owned()).collect()
}

/// What was told of a channel: `+` and `-` with the client.
async fn told(world: &World, channel: &str) -> Vec<String> {
    let answer = world.get(&format!("/api/poll?channel=presence/{channel}")).await.json();
    let sign = |content: &Value| match content["event"].as_str() {
        Some("join") => format!("+{}", content["id"].as_str().unwrap()),
        Some("leave") => format!("-{}", content["id"].as_str().unwrap()),
        _ => panic!("{content}"),
    };
    answer["messages"].as_array().unwrap().iter().map(|message| sign(&message["content"])).collect()
}

#[tokio::test(start_paused = true)]
async fn a_client_is_present_over_its_polls_and_for_ten_seconds_after() {
    let (world, _keeper) = one();
    let begin = world.now();
    let poll = wait(&world, "ann", "/api/longpoll?channel=c&timeout=20");
    world.until_waiting(1).await;
    assert_eq!(present(&world, "c").await, ["ann"], "at once");
    let polled = poll.await.unwrap();
    pass(9_000).await;
    assert_eq!(present(&world, "c").await, ["ann"]);
    wait(&world, "ann", &format!("/api/longpoll?channel=c&timeout=20&cursor={}", polled.cursor()))
        .await
        .unwrap();
    pass(9_900).await;
    assert_eq!((present(&world, "c").await.len(), told(&world, "c").await), (1, vec!["+ann".to_owned()]));
    pass(200).await;
    assert_eq!(present(&world, "c").await, [""; 0]);
    assert_eq!(told(&world, "c").await, ["+ann", "-ann"]);
    assert_eq!(world.metric("poll_presence_clients "), 0);

    let messages = world.get("/api/poll?channel=presence/c").await.json();
    let join = &messages["messages"][0]["content"];
    let text = format!(r#"{{"event":"join","id":"ann","at":{}}}"#, join["at"]);
    assert!(world.get("/api/poll?channel=presence/c").await.text().contains(&text));
    let begin = String::from_utf8(begin.to_rfc3339().to_vec()).unwrap();
    assert_eq!(join["at"].as_str().unwrap()[..20], begin[..20]);
}

#[tokio::test(start_paused = true)]
async fn streams_pushes_and_lists_count_and_those_without_a_name_do_not() {
    let (world, _keeper) = one();
    wait(&world, "poller", "/api/poll?channel=a").await.unwrap();
    wait(&world, "head", "/api/poll?channel=a").await.unwrap();
    world.ask("HEAD", "/api/longpoll?channel=a", &[("x-client-id", "head")], b"").await;
    let nameless = world.later("/api/longpoll?channel=a&timeout=5");
    let mut wires = Vec::new();
    let several = "/api/stream?channel=a&channel=b";
    for (client, target) in [("s", "/api/stream?channel=a"), ("p", "/api/push?channel=a"), ("l", several)] {
        let mut wire = world.connect();
        wire.send("GET", target, &[("x-client-id", client)], b"").await;
        wires.push(wire);
    }
    let durable = wait(&world, "d", "/v1/stream/a?offset=now&live=long-poll");
    world.publish("busy", "x").await;
    wait(&world, "e", "/api/longpoll?channel=busy").await.unwrap();
    world.until_waiting(4).await;
    assert_eq!(present(&world, "a").await, ["l", "p", "s"]);
    assert_eq!(present(&world, "b").await, ["l"]);
    assert_eq!(present(&world, "busy").await, ["e"], "answered at once, and still a wait");
    assert_eq!(durable.await.unwrap().status, 404);
    nameless.await.unwrap();
    for wire in wires {
        drop(wire);
    }
    pass(10_100).await;
    assert_eq!(present(&world, "a").await, [""; 0]);
    assert_eq!(told(&world, "b").await, ["+l", "-l"]);
}

#[tokio::test(start_paused = true)]
async fn only_the_server_writes_there_through_every_dialect() {
    let (world, _keeper) = one();
    let json = "application/json";
    for (method, target, body) in [
        ("POST", "/api/message?channel=presence/c", "1"),
        ("POST", "/publish", r#"{"category":"presence/c","data":1}"#),
        ("POST", "/api/publish/presence%2Fc", "{}"),
        ("POST", "/v1/stream/presence/c", "{}"),
        ("PUT", "/v1/stream/presence/c", ""),
        ("DELETE", "/v1/stream/presence/c", ""),
        ("POST", "/api/message?channel=presence/", "1"),
    ] {
        let answer = world.ask(method, target, &[("content-type", json)], body.as_bytes()).await;
        assert_eq!(answer.status, 403, "{method} {target}: {}", answer.text());
    }
    // Nor does anyone else read what servers write to each other.
    assert_eq!(world.get("/api/poll?channel=presence/").await.status, 403);
    let answer = world.get("/api/poll?channel=presence/&channel=c").await.json();
    assert_eq!(answer["refused"], serde_json::json!(["presence/"]));
}

#[tokio::test(start_paused = true)]
async fn without_it_there_is_no_such_path_and_its_channels_are_like_any_other() {
    let world = World::new();
    for method in ["GET", "HEAD", "POST", "OPTIONS"] {
        assert_eq!(world.ask(method, "/api/presence?channel=c", &[], b"").await.status, 404, "{method}");
    }
    world.publish("presence/c", "x").await;
    let document = world.get("/openapi.json").await.json();
    assert!(document["paths"]["/api/presence"].is_null() && !document["paths"]["/api/poll"].is_null());
    // It ends by itself.
    world.service.keep_presence().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_may_not_read_the_channel_may_not_ask_who_does() {
    let access = Access { publish: vec![], subscribe: vec!["s".into()] };
    let off = DurableStreams::Off;
    let (world, _keeper) = kept(World::set(ServiceSettings { access, durable_streams: off, ..settings() }));
    assert_eq!(world.get("/api/presence").await.status, 401);
    assert_eq!(world.get("/api/presence?access_token=s").await.json()["channel"], "default");
    assert_eq!(world.get("/api/presence?access_token=s&channel=").await.status, 400);
    assert_eq!(world.ask("POST", "/api/presence?access_token=s", &[], b"").await.status, 405);
}

/// Operators see who is connected in any case.
#[tokio::test(start_paused = true)]
async fn operators_see_who_is_present_whatever_reading_takes() {
    let administration = Administration { tokens: vec!["o".to_owned()], ..Administration::default() };
    let access = Access { publish: vec![], subscribe: vec!["s".into()] };
    let settings = ServiceSettings { administration, access, ..settings() };
    let (world, _keeper) = kept(World::set(settings.clone()));
    let _ann = wait(&world, "ann", "/api/longpoll?channel=a%2Fb&timeout=20&access_token=s");
    world.until_waiting(1).await;
    let path = "/admin/channels/a%2Fb/presence?access_token=";
    let answer = world.get(&format!("{path}o")).await;
    assert_eq!(answer.text(), world.get("/api/presence?channel=a/b&access_token=s").await.text());
    assert_eq!((answer.json()["channel"].as_str(), answer.json()["count"].as_u64()), (Some("a/b"), Some(1)));
    assert_eq!(world.get(&format!("{path}s")).await.status, 401);
    let posted = world.ask("POST", &format!("{path}o"), &[], b"").await;
    assert_eq!((posted.status, posted.field("allow")), (405, Some("GET, HEAD, OPTIONS")));
    let off = World::set(ServiceSettings { presence: KeepPresence::Off, ..settings });
    assert_eq!(off.get(&format!("{path}o")).await.status, 404);
    let document = off.get("/openapi.json?access_token=o").await.json();
    assert!(document["paths"]["/admin/channels/{channel}/presence"].is_null());
}

/// What servers write to each other has to go on, and to be kept for as long as it takes to know everyone again.
#[tokio::test(start_paused = true)]
async fn an_operator_cannot_end_what_servers_write_to_each_other() {
    let administration = Administration { tokens: vec!["o".to_owned()], ..Administration::default() };
    let with = |presence| ServiceSettings { administration: administration.clone(), presence, ..settings() };
    let (world, _keeper) = kept(World::set(with(KeepPresence::On)));
    let _ann = wait(&world, "ann", "/api/longpoll?channel=c&timeout=40");
    world.until_waiting(1).await;
    pass(100).await;
    let ask = async |world: &World, method: &str, path: &str| {
        let path = format!("/admin/channels/{path}?access_token=o");
        world.ask(method, &path, &[("content-type", "application/json")], b"{}").await.status
    };
    for channel in ["presence%2F", "__ds%2Fx"] {
        assert_eq!(ask(&world, "POST", &format!("{channel}/close")).await, 403, "{channel}");
        assert_eq!(ask(&world, "PUT", &format!("{channel}/settings")).await, 403, "{channel}");
    }
    assert_eq!(ask(&world, "PUT", "presence%2Fc/settings").await, 200, "what is told may be kept for longer");
    // Without its records, each server says again who is there.
    assert_eq!(ask(&world, "DELETE", "presence%2F").await, 204);
    pass(3_000).await;
    let _bob = wait(&world, "bob", "/api/longpoll?channel=c&timeout=40");
    world.until_waiting(2).await;
    pass(100).await;
    assert_eq!(told(&world, "c").await.last().map(String::as_str), Some("+bob"));
    let off = World::set(with(KeepPresence::Off));
    off.publish("presence/", "x").await;
    assert_eq!(ask(&off, "POST", "presence%2F/close").await, 200, "then it is a channel like any other");
}

#[tokio::test(start_paused = true)]
async fn servers_of_one_log_know_each_other_s_clients_and_tell_once() {
    let (here, _first) = one();
    let (there, _second) = kept(here.beside(settings()));
    let poll = wait(&here, "ann", "/api/longpoll?channel=c&timeout=5");
    here.until_waiting(1).await;
    pass(10).await;
    assert_eq!(present(&there, "c").await, ["ann"]);
    // The next poll comes to the other server.
    poll.await.unwrap();
    let poll = wait(&there, "ann", "/api/longpoll?channel=c&timeout=30");
    there.until_waiting(1).await;
    pass(15_000).await;
    assert_eq!(
        (present(&here, "c").await, told(&here, "c").await),
        (vec!["ann".to_owned()], vec!["+ann".into()])
    );
    let since = |answer: &Answer| answer.json()["clients"][0]["since"].clone();
    let (one, two) = (here.get("/api/presence?channel=c").await, there.get("/api/presence?channel=c").await);
    assert_eq!(since(&one), since(&two), "the first wait, wherever it was");
    poll.await.unwrap();
    pass(10_100).await;
    assert_eq!(
        (present(&here, "c").await.len(), told(&there, "c").await),
        (0, vec!["+ann".into(), "-ann".into()])
    );
}

#[tokio::test(start_paused = true)]
async fn the_clients_of_a_killed_server_leave_within_its_lease_and_are_told_once() {
    // Whichever of the two is killed, the one that tells or another.
    for kills_the_first in [1, 0] {
        let (first, one) = one();
        let (second, two) = kept(first.beside(settings()));
        let (third, _three) = kept(first.beside(settings()));
        let all = [&first, &second, &third];
        for (world, client) in all.iter().zip(["ann", "bob", "cleo"]) {
            let mut wire = world.connect();
            wire.send("GET", "/api/stream?channel=c", &[("x-client-id", client)], b"").await;
            tokio::spawn(async move { wire.rest().await });
            pass(10).await;
        }
        assert_eq!(told(&third, "c").await, ["+ann", "+bob", "+cleo"]);
        let (killed, gone) = if kills_the_first == 1 { (one, "ann") } else { (two, "bob") };
        killed.abort();
        pass(9_900).await;
        assert_eq!(present(&third, "c").await.len(), 3, "for as long as after a wait");
        pass(2_300).await;
        let mut left = vec!["ann", "bob", "cleo"];
        left.retain(|client| *client != gone);
        assert_eq!(present(&third, "c").await, left);
        pass(60_000).await;
        assert_eq!(told(&third, "c").await, ["+ann", "+bob", "+cleo", &format!("-{gone}")]);
    }
}

/// A log that outlives the process: here it is the same in memory, and the server is another.
#[tokio::test(start_paused = true)]
async fn after_a_restart_clients_that_do_not_return_leave_once_and_those_that_do_were_never_away() {
    // Killed before the log knew what was told, and long after.
    for (lived, away, told_before) in [(10, 1_000, &["+ann", "+bob"][..]), (1_000, 3_600_000, &[])] {
        restart(lived, away, told_before).await;
    }
}

async fn restart(lived: u64, away: u64, told_before: &[&str]) {
    let (before, keeper) = one();
    for client in ["ann", "bob"] {
        wait(&before, client, "/api/longpoll?channel=c&timeout=1").await.unwrap();
    }
    pass(lived).await;
    keeper.abort();
    pass(away).await;
    let (after, _keeper) = kept(before.beside(settings()));
    let _bob = wait(&after, "bob", "/api/longpoll?channel=c&timeout=49");
    pass(11_000).await;
    assert_eq!(present(&after, "c").await, ["ann", "bob"]);
    pass(1_500).await;
    assert_eq!(present(&after, "c").await, ["bob"]);
    assert_eq!(told(&after, "c").await, [told_before, &["-ann"]].concat());
}

/// As after a Redis that lost them.
#[tokio::test(start_paused = true)]
async fn servers_whose_records_are_lost_write_down_again_who_is_there() {
    let (here, _first) = one();
    let (there, _second) = kept(here.beside(settings()));
    let _ann = wait(&here, "ann", "/api/longpoll?channel=c&timeout=40");
    let _bob = wait(&there, "bob", "/api/longpoll?channel=c&timeout=40");
    wait(&here, "cleo", "/api/longpoll?channel=c&timeout=1").await.unwrap();
    here.until_waiting(1).await;
    pass(100).await;
    here.store.delete(here.now(), &ChannelName::parse("presence/").unwrap()).await.unwrap();
    pass(3_000).await;
    for world in [&here, &there] {
        assert_eq!(present(world, "c").await, ["ann", "bob", "cleo"]);
    }
    pass(9_000).await;
    for world in [&here, &there] {
        assert_eq!(present(world, "c").await, ["ann", "bob"]);
    }
    let told = told(&here, "c").await;
    assert_eq!(told.iter().filter(|change| change.starts_with('-')).collect::<Vec<_>>(), ["-cleo"]);
}

#[tokio::test(start_paused = true)]
async fn many_clients_are_counted_and_a_thousand_listed() {
    let limits = Limits { per_address: 0, ..Limits::default() };
    let (world, _keeper) = kept(World::set(ServiceSettings { limits, ..settings() }));
    for number in 0..1_100 {
        let name = format!("n{number:04}");
        world.ask("GET", "/api/longpoll?channel=c&timeout=0", &[("x-client-id", &name)], b"").await;
    }
    pass(1_000).await;
    let answer = world.get("/api/presence?channel=c").await.json();
    let clients = answer["clients"].as_array().unwrap();
    assert_eq!((&answer["count"], clients.len()), (&1_100.into(), 1_000));
    assert_eq!((&clients[0]["id"], &clients[999]["id"]), (&"n0000".into(), &"n0999".into()));
    assert_eq!(world.metric("poll_presence_clients "), 1_100);
    pass(10_100).await;
    let answer = world.get("/api/presence?channel=c").await.json();
    assert_eq!(answer["count"], 0);
    assert_eq!(world.get("/api/poll?channel=presence/c&limit=1").await.json()["missed"], 1_200);
}

/// What servers write is kept for longer than messages are.
#[tokio::test(start_paused = true)]
async fn a_server_that_comes_later_knows_who_came_before() {
    let retention = Retention { messages: 1, ..Retention::default() };
    let (first, _first) = kept(World::with(settings(), retention));
    let _polls = ["ann", "bob", "cleo"].map(|client| wait(&first, client, "/api/stream?channel=c"));
    first.until_waiting(3).await;
    pass(3_600_000).await;
    let (second, _second) = kept(first.beside(settings()));
    pass(10).await;
    assert_eq!(present(&second, "c").await, ["ann", "bob", "cleo"]);
    assert_eq!(told(&second, "c").await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_server_writes_nothing() {
    let (world, _keeper) = one();
    wait(&world, "ann", "/api/longpoll?channel=c&timeout=1").await.unwrap();
    pass(60_000).await;
    let published = world.store.published();
    pass(3_600_000).await;
    assert_eq!(world.store.published(), published);
}

#[tokio::test(start_paused = true)]
async fn clients_beyond_the_memory_are_not_counted_and_wait_all_the_same() {
    let (world, _keeper) = kept(World::budgeted_with(8 * 2_000, settings()));
    let polls: Vec<_> = (0..10)
        .map(|number| {
            let target = format!("/api/longpoll?channel=c{number}&timeout=5");
            wait(&world, "ann", &target)
        })
        .collect();
    let mut waited = 0;
    for poll in polls {
        waited += u32::from(poll.await.unwrap().status == 200);
    }
    assert_eq!(waited, 6, "the limit of one client, and no other");
    assert!(world.metric("poll_presence_refused_total ") > 0);
    pass(30_000).await;
    assert_eq!(world.metric("poll_presence_clients "), 0);
}
