//! Streams that are written to together: every reader gets what it would get alone.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use poll_core::{ChannelName, Payload, Publish, Retention};
use proptest::prelude::*;
use serde_json::Value;
use tokio::io::{AsyncWrite, DuplexStream, Join, ReadHalf, WriteHalf};
use tokio::sync::Notify;

use crate::world::{ADDRESS, Wire, World, pass};

/// A stream of one channel, and one of several: whatever holds of one holds of the other.
const STREAMS: [&str; 2] = ["/api/stream", "/api/stream?channel=default&channel=other"];

/// A stream that has said that it is there.
async fn opened(world: &World, target: &str, capacity: usize) -> Wire {
    let mut wire = world.connect_through(capacity, ADDRESS);
    wire.open(target, &[]).await;
    assert_eq!(wire.json_line().await["type"], "connected");
    wire
}

/// Readers of one stream who have caught up and have been written to together.
async fn caught_up<const N: usize>(world: &World, target: &str) -> [Wire; N] {
    let mut wires = Vec::new();
    world.publish("default", "0").await;
    for _ in 0..N {
        wires.push(opened(world, target, 1 << 20).await);
    }
    for text in ["1", "2"] {
        world.publish("default", text).await;
        for wire in &mut wires {
            assert_eq!(wire.json_line().await["message"], text);
        }
    }
    wires.try_into().map_err(drop).unwrap()
}

#[tokio::test(start_paused = true)]
async fn readers_that_have_caught_up_are_written_to_without_their_connections() {
    for target in STREAMS {
        let world = World::new();
        world.publish("default", "0").await;
        let (mut wires, mut polls) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (mut wire, count) = world.connect_counted();
            wire.open(target, &[]).await;
            wire.chunk().await;
            wires.push(wire);
            polls.push(count);
        }
        let counted = |polls: &[Arc<AtomicUsize>]| -> Vec<usize> {
            polls.iter().map(|polls| polls.load(Ordering::Relaxed)).collect()
        };
        let mut before = Vec::new();
        for number in 2..100 {
            world.publish("default", "x").await;
            for wire in &mut wires {
                assert_eq!(wire.json_line().await["id"], number);
            }
            if number == 3 {
                before = counted(&polls);
            }
        }
        assert_eq!(counted(&polls), before, "once they have caught up");
        assert_eq!(world.metric("poll_messages_delivered_total"), 98 * 3);
        assert_eq!(world.metric("poll_delivery_lag_seconds_count"), 98 * 3);
    }
}

#[tokio::test(start_paused = true)]
async fn several_messages_are_a_chunk_each() {
    for target in STREAMS {
        let world = World::new();
        let [mut one, mut other] = caught_up(&world, target).await;
        world.post("/api/message", "application/x-ndjson", "{\"a\":1}\n2\n3\n").await;
        for wire in [&mut one, &mut other] {
            for id in 4..=6 {
                assert_eq!(wire.json_line().await["id"], id);
            }
        }
        // More than is written to all at once, and what is more than a pipe holds.
        let large = "x".repeat(60_000);
        world.post("/api/message", "application/x-ndjson", &format!("\"{large}\"\n").repeat(10)).await;
        world.publish("default", "after").await;
        for wire in [&mut one, &mut other] {
            for id in 7..=17 {
                assert_eq!(wire.json_line().await["id"], id);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_counted_from_the_last_message() {
    for target in STREAMS {
        let world = World::new();
        let [mut one, mut other] = caught_up(&world, target).await;
        for _ in 0..3 {
            pass(14_000).await;
            world.publish("default", "x").await;
            let told = world.millis();
            assert_eq!(one.json_line().await["type"], "update");
            assert_eq!(other.json_line().await["type"], "update");
            assert_eq!(one.json_line().await["type"], "heartbeat");
            assert_eq!(other.json_line().await["type"], "heartbeat");
            let silent = world.millis() - told;
            assert!((15_000..15_020).contains(&silent), "{silent}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_whose_socket_is_full_goes_on_by_itself() {
    for target in STREAMS {
        let world = World::new();
        let [mut quick, _other] = caught_up(&world, target).await;
        let mut slow = opened(&world, target, 300).await;
        for id in 4..50 {
            world.publish("default", &"y".repeat(id)).await;
            assert_eq!(quick.json_line().await["id"], id);
        }
        for id in 4..50 {
            assert_eq!(slow.json_line().await["id"], id);
        }
        // Level again.
        world.publish("default", "z").await;
        assert_eq!(slow.json_line().await["id"], 50);
        // One who takes nothing is cut off as it would be alone, and others do not notice.
        for _ in 51..60 {
            world.publish("default", &"y".repeat(100)).await;
        }
        pass(31_000).await;
        world.until_waiting(2).await;
        while quick.json_line().await["id"] != 59 {}
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_slow_reader_misses_is_told() {
    for target in STREAMS {
        let world = World::retaining(Retention { messages: 3, ..Retention::default() });
        let [mut quick, _other] = caught_up(&world, target).await;
        let mut slow = opened(&world, target, 300).await;
        for id in 4..50 {
            world.publish("default", &"y".repeat(100)).await;
            assert_eq!(quick.json_line().await["id"], id);
        }
        let (mut last, mut told) = (3, 0);
        while last < 49 {
            let line = slow.json_line().await;
            if line["type"] == "reset" {
                told = line["missed"].as_u64().unwrap();
            } else {
                let id = line["id"].as_u64().unwrap();
                assert_eq!(id, last + told + 1, "in order, and every hole told");
                (last, told) = (id, 0);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_ends_for_all() {
    let world = World::new();
    let job = "/api/progress/j";
    let step = async |body: &str| world.post(job, "application/json", body).await;
    step(r#"{"step":1,"total":9}"#).await;
    let mut wires = Vec::new();
    for _ in 0..3 {
        let mut wire = world.connect();
        wire.open(job, &[]).await;
        wires.push(wire);
    }
    for number in 1..9 {
        for wire in &mut wires {
            assert_eq!(wire.json_line().await["step"], number);
        }
        step(&format!(r#"{{"step":{},"total":9}}"#, number + 1)).await;
    }
    step(r#"{"step":9,"total":9,"status":"done"}"#).await;
    for wire in &mut wires {
        assert_eq!(wire.json_line().await["step"], 9);
        assert_eq!(wire.json_line().await["status"], "done");
        assert_eq!(wire.chunk().await, None);
    }
    // The same connections read another channel, and nothing of the first one's.
    for wire in &mut wires {
        wire.open("/api/stream", &[]).await;
        wire.chunk().await;
    }
    for number in 1..5 {
        world.publish("default", "x").await;
        for wire in &mut wires {
            assert_eq!(wire.json_line().await["id"], number);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_all_within_its_time() {
    for target in STREAMS {
        let world = World::new();
        let [mut one, mut other] = caught_up(&world, target).await;
        world.drain.begin(std::time::Duration::from_secs(2));
        for wire in [&mut one, &mut other] {
            let line = wire.json_line().await;
            assert_eq!((&line["type"], &line["reason"]), (&"closed".into(), &"draining".into()));
            assert_eq!(wire.chunk().await, None);
        }
        world.until_waiting(0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_leaves_nothing_behind() {
    for target in STREAMS {
        let world = World::new();
        for _ in 0..3 {
            let [one, two, three] = caught_up(&world, target).await;
            one.leave().await;
            world.publish("default", "x").await;
            two.leave().await;
            three.leave().await;
            world.until_waiting(0).await;
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert_eq!(world.store.notifier().waiting(), 0, "nobody waits for nobody");
        }
        // Thousands who come and go while nothing is published.
        let [mut one, mut other] = caught_up(&world, target).await;
        for _ in 0..500 {
            opened(&world, target, 1 << 10).await.leave().await;
        }
        world.publish("default", "last").await;
        for wire in [&mut one, &mut other] {
            assert_eq!(wire.json_line().await["message"], "last");
        }
    }
}

/// The runtime ends whose task writes for all.
#[test]
fn readers_outlive_the_runtime_that_wrote_for_them() {
    for target in STREAMS {
        let staying = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let going = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let (staying, going) = (staying.unwrap(), going.unwrap());
        let world = staying.block_on(async { World::new() });
        let open = async |count| {
            let mut wires = Vec::new();
            for _ in 0..count {
                wires.push(opened(&world, target, 1 << 20).await);
            }
            wires
        };
        let tell = async |wires: &mut [Wire], text: &str| {
            world.publish("default", text).await;
            for wire in wires {
                assert_eq!(wire.json_line().await["message"], text);
            }
        };
        let first = going.block_on(async {
            world.publish("default", "0").await;
            let mut wires = open(2).await;
            tell(&mut wires, "1").await;
            wires
        });
        let mut second = staying.block_on(open(2));
        drop((going, first));
        for text in ["2", "3", "4"] {
            staying.block_on(tell(&mut second, text));
        }
    }
}

/// The same while it has written a part of a message, whose rest its reader's connection is still to write.
#[test]
fn what_a_full_socket_left_outlives_the_runtime_that_wrote_it() {
    for target in STREAMS {
        let [staying, going] =
            [(); 2].map(|()| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());
        let (world, mut first) = going.block_on(async {
            let world = World::new();
            world.publish("default", "0").await;
            let first = [opened(&world, target, 1 << 20).await, opened(&world, target, 1 << 20).await];
            (world, first)
        });
        let mut slow = staying.block_on(opened(&world, target, 300));
        going.block_on(async {
            world.publish("default", &"y".repeat(500)).await;
            for wire in &mut first {
                assert_eq!(wire.json_line().await["id"], 2);
            }
        });
        drop((going, first));
        staying.block_on(async {
            world.publish("default", "last").await;
            assert_eq!(slow.json_line().await["id"], 2);
            assert_eq!(slow.json_line().await["message"], "last");
        });
    }
}

/// The writing half of a socket, on which each write finds that something was published meanwhile.
struct Busy<F> {
    io: WriteHalf<DuplexStream>,
    publish: F,
}

/// A socket that writes so.
fn busy<F: FnMut() + Unpin>(io: DuplexStream, publish: F) -> Join<ReadHalf<DuplexStream>, Busy<F>> {
    let (reads, io) = tokio::io::split(io);
    tokio::io::join(reads, Busy { io, publish })
}

impl<F: FnMut() + Unpin> AsyncWrite for Busy<F> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        (self.publish)();
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Other workers publish faster than a worker makes a pass: its other tasks get their turns all the same.
#[tokio::test(start_paused = true)]
async fn a_channel_that_is_never_silent_leaves_others_their_turns() {
    for target in STREAMS {
        let world = World::new();
        world.publish("default", "0").await;
        let (begun, published) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut wires = Vec::new();
        for _ in 0..2 {
            let (world, begun, published) = (world.clone(), begun.clone(), published.clone());
            let mut wire = world.clone().connect_over(1 << 20, ADDRESS, move |io| {
                let publish = move || {
                    if begun.load(Ordering::Relaxed) && published.fetch_add(1, Ordering::Relaxed) < 1_000 {
                        let text = Publish::one(Payload::text("x"));
                        world
                            .store
                            .start_publish(world.now(), &ChannelName::parse("default").unwrap(), text)
                            .unwrap();
                    }
                };
                busy(io, publish)
            });
            wire.open(target, &[]).await;
            wire.chunk().await;
            wires.push(wire);
        }
        begun.store(true, Ordering::Relaxed);
        world.publish("default", "1").await;
        let mut turns = 0;
        while published.load(Ordering::Relaxed) < 1_000 {
            tokio::task::yield_now().await;
            turns += 1;
        }
        // The test itself has one turn in 61, as the runtime has it.
        assert!(turns > 10, "{turns}");
        for wire in &mut wires {
            for id in 2..1_000 {
                assert_eq!(wire.json_line().await["id"], id);
            }
        }
    }
}

/// A channel is forgotten and born again while a pass is under way: the readers served before hear of it, though
/// one who was gone to behind them stands in the new life already.
#[tokio::test(start_paused = true)]
async fn another_life_of_a_channel_reaches_all() {
    for target in STREAMS {
        let world = World::retaining(Retention { channels: 2, ..Retention::default() });
        let publish = |world: &World, name: &str| {
            let (channel, text) = (ChannelName::parse(name).unwrap(), Publish::one(Payload::text("x")));
            world.store.start_publish(world.now(), &channel, text).map(drop).unwrap();
        };
        publish(&world, "default");
        let (begun, reborn) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
        let mut wires = Vec::new();
        for _ in 0..130 {
            let (told, begun, reborn) = (world.clone(), begun.clone(), reborn.clone());
            let mut wire = world.connect_over(1 << 20, ADDRESS, |io| {
                let publish = move || {
                    if begun.swap(false, Ordering::Relaxed) {
                        // Nobody else may be forgotten at first, and then one of these two is.
                        told.set_clock(700_000_000);
                        publish(&told, "one");
                        publish(&told, "two");
                        told.set_clock(700_000_000);
                        publish(&told, "default");
                        reborn.notify_one();
                    }
                };
                busy(io, publish)
            });
            wire.open(target, &[]).await;
            wire.chunk().await;
            wires.push(wire);
        }
        for id in 2..4 {
            world.publish("default", "1").await;
            for wire in &mut wires {
                assert_eq!(wire.json_line().await["id"], id);
            }
        }
        let mut last = wires.pop().unwrap();
        let woken = tokio::spawn(async move {
            reborn.notified().await;
            // Its connection looks, and finds the new life, before its turn comes.
            last.send_raw(b"G").await;
            last
        });
        tokio::task::yield_now().await;
        let begin = tokio::time::Instant::now();
        begun.store(true, Ordering::Relaxed);
        publish(&world, "default");
        // The first one was alone at first, so it is behind the others.
        for wire in &mut wires[1..] {
            assert_eq!(wire.json_line().await["id"], 4);
        }
        wires.push(woken.await.unwrap());
        for wire in &mut wires {
            assert_eq!(wire.json_line().await["type"], "reset");
            assert_eq!(wire.json_line().await["id"], 1);
        }
        assert_eq!(begin.elapsed().as_millis(), 0);
    }
}

/// The channels of the list that is streamed; of one channel, the first.
const CHANNELS: [&str; 2] = ["default", "other"];

#[derive(Clone, Debug)]
enum Act {
    Publish(usize, usize),
    Read(usize),
    Open(usize),
    Leave(usize),
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1usize..2_000, 0usize..2).prop_map(|(size, channel)| Act::Publish(size, channel)),
        4 => (0usize..8).prop_map(Act::Read),
        2 => (64usize..4_000).prop_map(Act::Open),
        1 => (0usize..8).prop_map(Act::Leave),
        1 => (0u64..16_000).prop_map(Act::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever readers do, each gets every message behind its first one once and in order.
    #[test]
    fn nothing_is_lost_or_doubled(acts in prop::collection::vec(act(), 1..60)) {
        for (target, channels) in STREAMS.into_iter().zip([1, 2]) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
            runtime.unwrap().block_on(run(&acts, target, channels));
        }
    }
}

/// The numbers of the newest messages, by channel.
type Newest = [u64; 2];

/// Reads a message, which is the next one of its channel.
async fn read(wire: &mut Wire, last: &mut Newest) {
    loop {
        let line: Value = wire.json_line().await;
        if line["type"] == "heartbeat" {
            continue;
        }
        assert_eq!(line["type"], "update");
        let channel = CHANNELS.iter().position(|name| line["channel"] == *name).unwrap_or(0);
        last[channel] += 1;
        assert_eq!(line["id"], last[channel]);
        return;
    }
}

async fn run(acts: &[Act], target: &str, channels: usize) {
    let world = World::new();
    world.publish("default", "first").await;
    let mut newest: Newest = [1, 0];
    let mut readers: Vec<(Wire, Newest)> = Vec::new();
    for act in acts {
        match *act {
            Act::Publish(size, channel) if channel < channels => {
                world.publish(CHANNELS[channel], &"x".repeat(size)).await;
                newest[channel] += 1;
            }
            Act::Open(capacity) => readers.push((opened(&world, target, capacity).await, newest)),
            Act::Read(index) if index < readers.len() => {
                let (wire, last) = &mut readers[index];
                if *last != newest {
                    read(wire, last).await;
                }
            }
            Act::Leave(index) if index < readers.len() => readers.swap_remove(index).0.leave().await,
            Act::Publish(..) | Act::Read(_) | Act::Leave(_) => {}
            Act::Pass(millis) => {
                // Nobody stalls for so long that it is cut off.
                for (wire, last) in &mut readers {
                    while *last != newest {
                        read(wire, last).await;
                    }
                }
                pass(millis).await;
            }
        }
    }
    for (mut wire, mut last) in readers {
        while last != newest {
            read(&mut wire, &mut last).await;
        }
    }
}
