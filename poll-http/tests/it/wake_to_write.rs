//! From a wake to its first delivery: measured once a wake and worker.

use std::time::Duration;

use crate::world::{World, settle};

/// Two workers of one server.
fn workers() -> [World; 2] {
    let world = World::new();
    [world.worker(), world.worker()]
}

fn measured(worlds: &[World; 2]) -> [u64; 2] {
    let sample = |worker| format!("poll_wake_to_write_seconds_count{{worker=\"{worker}\"}}");
    [0, 1].map(|worker| worlds[0].metric(&sample(worker)))
}

#[tokio::test(start_paused = true)]
async fn a_wake_is_measured_once_on_each_worker_that_delivers() {
    let worlds = workers();
    assert_eq!(measured(&worlds), [0, 0], "there from the start");
    let polls: Vec<_> = (0..5).map(|_| worlds[0].later("/api/longpoll")).collect();
    let mut list = worlds[0].connect();
    list.open("/api/stream?channel=x&channel=y", &[]).await;
    let mut streams = [worlds[1].connect(), worlds[1].connect()];
    for stream in &mut streams {
        stream.open("/api/stream", &[]).await;
    }
    worlds[0].until_waiting(8).await;

    worlds[0].publish("default", "one").await;
    for poll in polls {
        assert_eq!(poll.await.unwrap().contents(), ["one"]);
    }
    settle().await;
    assert_eq!(measured(&worlds), [1, 1]);
    for number in 2..5 {
        worlds[1].publish("default", "more").await;
        settle().await;
        assert_eq!(measured(&worlds), [1, number]);
    }
    worlds[0].publish("y", "two").await;
    settle().await;
    assert_eq!(measured(&worlds), [2, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_wake_without_a_delivery_is_not_measured_and_lengthens_no_other() {
    let worlds = workers();
    let world = &worlds[0];
    world.ask("PUT", "/v1/stream/ends", &[("content-type", "text/plain")], b"").await;
    let ended = world.later("/v1/stream/ends?offset=now&live=long-poll");
    world.until_waiting(1).await;
    world.ask("POST", "/v1/stream/ends", &[("stream-closed", "true")], b"").await;
    assert_eq!(ended.await.unwrap().status, 204);
    assert_eq!(measured(&worlds), [0, 0]);

    tokio::time::advance(Duration::from_secs(3_600)).await;
    let poll = world.later("/api/longpoll");
    world.until_waiting(1).await;
    world.publish("default", "x").await;
    poll.await.unwrap();
    assert_eq!(measured(&worlds), [1, 0]);
    let at_once = "poll_wake_to_write_seconds_bucket{le=\"1e-5\",worker=\"0\"}";
    let bucket = world.metric(at_once).max(world.metric(&at_once.replace("1e-5", "0.00001")));
    assert_eq!(bucket, 1, "no time has passed since");
}
