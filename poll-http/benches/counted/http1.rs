//! Whole requests over HTTP/1.1: on one connection, or on a hundred where a crowd waits.

use poll_core::Cursor;

use crate::CROWD;
use crate::wire::Wire;
use crate::world::{CONTENT, World, block_on};

/// The fields that a plain client sends with every request.
const FIELDS: &str = "host: poll.test\r\nuser-agent: counted\r\naccept: */*\r\n";

fn get(target: &str, cursor: Cursor, more: &str) -> String {
    format!("GET {target}?channel=counted&cursor={cursor} HTTP/1.1\r\n{FIELDS}{more}\r\n")
}

/// The same question again and again on one connection.
async fn again(wire: &mut Wire, request: &str, status: &str, rounds: u64) {
    for _ in 0..rounds {
        wire.send(request).await;
        wire.answer(status).await;
    }
}

/// A short poll by somebody who has everything, with the entity tag of the last answer.
pub(crate) fn short_304(rounds: u64) {
    block_on(async { unchanged(&World::warm().await, "", rounds).await });
}

/// The same with these fields besides.
pub(crate) async fn unchanged(world: &World, fields: &str, rounds: u64) {
    let (mut wire, end) = (Wire::new(world.connect()), world.end().await);
    wire.send(&get("/api/poll", end, fields)).await;
    let answer = String::from_utf8_lossy(wire.answer("200").await).into_owned();
    let tag = answer.lines().find_map(|line| line.strip_prefix("etag: ")).expect("an entity tag");
    let request = get("/api/poll", end, &format!("if-none-match: {tag}\r\n{fields}"));
    again(&mut wire, &request, "304", rounds).await;
}

/// A short poll that is given one message, which others were given before.
pub(crate) fn short_one(rounds: u64) {
    block_on(async {
        let world = World::warm().await;
        let request = get("/api/poll", world.last().await, "");
        again(&mut Wire::new(world.connect()), &request, "200", rounds).await;
    });
}

/// A long poll for which a message is there already.
pub(crate) fn long_ready(rounds: u64) {
    block_on(async {
        let world = World::warm().await;
        let request = get("/api/longpoll", world.last().await, "");
        again(&mut Wire::new(world.connect()), &request, "200", rounds).await;
    });
}

/// A hundred long polls on a hundred connections wait, and one publish answers them all.
pub(crate) fn long_answered(rounds: u64) {
    block_on(async {
        let world = World::warm().await;
        let mut crowd: Vec<Wire> = (0..CROWD).map(|_| Wire::new(world.connect())).collect();
        for _ in 0..rounds {
            let request = get("/api/longpoll", world.end().await, "");
            for wire in &mut crowd {
                wire.send(&request).await;
            }
            world.until_waiting(CROWD).await;
            world.publish(1).await;
            for wire in &mut crowd {
                wire.answer("200").await;
            }
        }
    });
}

/// The same, where each waits for ten channels, of which one has the message.
pub(crate) fn list_answered(rounds: u64) {
    block_on(async {
        let world = World::warm().await;
        let mut crowd: Vec<Wire> = (0..CROWD).map(|_| Wire::new(world.connect())).collect();
        let mut cursor = first_token(&world).await;
        for _ in 0..rounds {
            let request = get_list("/api/longpoll", &cursor, "");
            for wire in &mut crowd {
                wire.send(&request).await;
            }
            world.until_registered(LIST).await;
            world.publish(1).await;
            let (last, others) = crowd.split_last_mut().expect("a crowd");
            for wire in others {
                wire.answer("200").await;
            }
            cursor = token(last.answer("200").await);
        }
    });
}

/// A short poll of ten channels by somebody who has everything.
pub(crate) fn list_304(rounds: u64) {
    block_on(async {
        let world = World::warm().await;
        let (mut wire, cursor) = (Wire::new(world.connect()), first_token(&world).await);
        wire.send(&get_list("/api/poll", &cursor, "")).await;
        let answer = String::from_utf8_lossy(wire.answer("200").await).into_owned();
        let tag = answer.lines().find_map(|line| line.strip_prefix("etag: ")).expect("an entity tag");
        let request = get_list("/api/poll", &cursor, &format!("if-none-match: {tag}\r\n"));
        again(&mut wire, &request, "304", rounds).await;
    });
}

/// Channels in a list.
const LIST: u64 = 10;

fn get_list(target: &str, cursor: &str, more: &str) -> String {
    let names: String = (1..LIST).map(|number| format!("channel=other-{number}&")).collect();
    let cursor = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
    format!("GET {target}?{names}channel=counted{cursor} HTTP/1.1\r\n{FIELDS}{more}\r\n")
}

/// The position after everything in all channels of a list.
async fn first_token(world: &World) -> String {
    let mut wire = Wire::new(world.connect());
    wire.send(&get_list("/api/stream", "", "accept: application/x-ndjson\r\n")).await;
    wire.head().await;
    token(wire.chunk().await)
}

/// The last compound token in an answer.
fn token(answer: &[u8]) -> String {
    let answer = String::from_utf8_lossy(answer);
    let (_, rest) = answer.rsplit_once("\"cursor\":\"").expect("a cursor");
    rest.split('"').next().unwrap_or_default().to_owned()
}

pub(crate) fn stream_lines(rounds: u64) {
    stream(rounds, "accept: application/x-ndjson\r\n");
}

pub(crate) fn stream_events(rounds: u64) {
    stream(rounds, "accept: text/event-stream\r\n");
}

/// A hundred readers of a stream of ten channels are given each message of one of them.
pub(crate) fn list_lines(rounds: u64) {
    block_on(async {
        let world = World::warm().await;
        let mut crowd: Vec<Wire> = (0..CROWD).map(|_| Wire::new(world.connect())).collect();
        let request = get_list("/api/stream", "", "accept: application/x-ndjson\r\n");
        for wire in &mut crowd {
            wire.send(&request).await;
            wire.head().await;
            wire.chunk().await;
        }
        for _ in 0..rounds {
            world.until_registered(LIST).await;
            world.publish(1).await;
            for wire in &mut crowd {
                wire.chunk().await;
            }
        }
    });
}

/// A hundred readers of a stream are given each message as one chunk.
fn stream(rounds: u64, accept: &str) {
    block_on(async {
        let world = World::warm().await;
        let mut crowd: Vec<Wire> = (0..CROWD).map(|_| Wire::new(world.connect())).collect();
        let request = get("/api/stream", world.end().await, accept);
        for wire in &mut crowd {
            wire.send(&request).await;
            wire.head().await;
            // That it is connected.
            wire.chunk().await;
        }
        for _ in 0..rounds {
            world.until_level().await;
            world.publish(1).await;
            for wire in &mut crowd {
                wire.chunk().await;
            }
        }
    });
}

/// A publish of 100 bytes while nobody waits.
pub(crate) fn publish(rounds: u64) {
    block_on(async {
        let world = World::warm().await;
        let mut wire = Wire::new(world.connect());
        let fields = format!("{FIELDS}content-type: text/plain\r\ncontent-length: {}\r\n", CONTENT.len());
        let request = format!("POST /api/message?channel=counted HTTP/1.1\r\n{fields}\r\n{CONTENT}");
        for _ in 0..rounds {
            world.tick();
            wire.send(&request).await;
            wire.answer("201").await;
        }
    });
}

/// The same whose content comes in a second segment, as some clients send it: by hyper, and back.
pub(crate) fn publish_split(rounds: u64) {
    block_on(async {
        let world = World::warm().await;
        let mut wire = Wire::new(world.connect());
        let fields = format!("{FIELDS}content-type: text/plain\r\ncontent-length: {}\r\n", CONTENT.len());
        let head = format!("POST /api/message?channel=counted HTTP/1.1\r\n{fields}\r\n");
        for _ in 0..rounds {
            world.tick();
            wire.send(&head).await;
            tokio::task::yield_now().await;
            wire.send(CONTENT).await;
            wire.answer("201").await;
        }
    });
}
