//! Where nothing is lost, nothing is asked for.

use std::time::Duration;

use proptest::prelude::*;

use super::node::{Heard, Node};
use super::redis::{Redis, Request, Size, channels};
use crate::journal::redis::follower::{Effect, Shown};
use crate::types::{Ending, Timestamp};

/// A node that has begun, with a channel in memory.
fn begun(redis: &mut Redis, now: Timestamp) -> Node {
    let (partition, names) = channels(1);
    let mut node = Node::new(partition);
    node.subscribe();
    for _ in 0..10 {
        deliver(redis, &mut node, now);
    }
    node.load(&names[0]);
    deliver(redis, &mut node, now);
    assert!(node.memory.newest(&names[0]).is_some());
    (node.asks, node.reads) = (0, 0);
    node
}

fn execute(redis: &mut Redis, node: &mut Node) {
    let Some((asked, request)) = node.requests.pop_front() else { return };
    let (reply, announced) = redis.execute(asked.mark, request);
    node.replies.push_back((asked, reply));
    node.heard.extend(announced.map(Heard::Announced));
}

fn deliver(redis: &mut Redis, node: &mut Node, now: Timestamp) {
    while !(node.requests.is_empty() && node.replies.is_empty() && node.heard.is_empty()) {
        execute(redis, node);
        node.receive(now);
        node.react(redis);
        node.hear(now);
        node.react(redis);
    }
}

proptest! {
    /// Replies and announcements come on two connections, in any order to each other.
    #[test]
    fn no_order_of_arrival_asks_for_anything(steps in prop::collection::vec(0..5, 1..200)) {
        let (mut redis, mut now) = (Redis::default(), Timestamp::from_millis(1_000));
        let mut node = begun(&mut redis, now);
        let (_, names) = channels(1);
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                0 => {
                    node.publishers.insert(number);
                    let channel = names[0].clone();
                    node.send(Request::Publish(number, channel, Ending::Open, Size::Announced));
                }
                1 => execute(&mut redis, &mut node),
                2 => node.receive(now),
                3 => node.hear(now),
                _ => {
                    now = now.after(Duration::from_micros(400));
                    node.follower.tick(now, &node.memory);
                }
            }
            node.react(&redis);
        }
        deliver(&mut redis, &mut node, now);
        prop_assert_eq!((node.asks, node.reads, *node.memory.resets.borrow()), (0, 0, 0));
        prop_assert!(node.publishers.is_empty());
        prop_assert_eq!(node.memory.newest(&names[0]).filter(|(epoch, ..)| epoch.get() > 0), redis.newest(&names[0]));
    }
}

/// A subscription that was away while nothing changed costs one question.
#[test]
fn a_new_subscription_compares_only_what_changed() {
    let (mut redis, now) = (Redis::default(), Timestamp::from_millis(1_000));
    let mut node = begun(&mut redis, now);
    let (_, names) = channels(1);
    node.lose_subscription();
    node.subscribe();
    node.hear(now);
    node.react(&redis);
    assert_eq!(node.requests.len(), 1);
    deliver(&mut redis, &mut node, now);
    assert_eq!((node.asks, node.reads, node.follower.is_pending()), (1, 0, false));
    // What was published meanwhile is read.
    node.lose_subscription();
    let known = node.follower.ask(channels(0).0).mark;
    redis.execute(known, Request::Publish(1, names[0].clone(), Ending::Open, Size::Announced));
    node.subscribe();
    deliver(&mut redis, &mut node, now);
    assert_eq!((node.asks, node.reads, node.follower.is_pending()), (2, 1, false));
    assert_eq!(node.memory.newest(&names[0]), redis.newest(&names[0]));
    assert_eq!(*node.memory.resets.borrow(), 0);
}

/// However much is published while a channel is being loaded, it is loaded once, and the rest is read.
#[test]
fn a_busy_channel_is_loaded_once() {
    let (small, large) = (Size::Announced, Size::TooLarge);
    let table = [
        vec![(small, Ending::Open); 100],
        vec![(large, Ending::Open)],
        vec![(large, Ending::Close)],
        vec![(small, Ending::Open), (large, Ending::Open), (small, Ending::Open), (small, Ending::Close)],
        [vec![(small, Ending::Open); 64], vec![(small, Ending::Close)]].concat(),
    ];
    for (row, publishes) in table.iter().enumerate() {
        for there in [0, 1] {
            is_loaded_once(&format!("row {row}, with {there} before"), publishes, there);
        }
    }
}

fn is_loaded_once(case: &str, publishes: &[(Size, Ending)], there: usize) {
    let (mut redis, now) = (Redis::default(), Timestamp::from_millis(1_000));
    let (partition, names) = channels(1);
    let mut node = Node::new(partition);
    node.subscribe();
    for _ in 0..10 {
        deliver(&mut redis, &mut node, now);
    }
    let publish = |redis: &mut Redis, node: &mut Node, number, (size, ending)| {
        let known = node.follower.ask(partition).mark;
        let request = Request::Publish(number, names[0].clone(), ending, size);
        node.heard.extend(redis.execute(known, request).1.map(Heard::Announced));
        node.hear(now);
        node.react(redis);
    };
    (0..there).for_each(|number| publish(&mut redis, &mut node, number, (Size::Announced, Ending::Open)));
    node.load(&names[0]);
    execute(&mut redis, &mut node);
    for (number, what) in publishes.iter().enumerate() {
        publish(&mut redis, &mut node, there + number, *what);
    }
    node.receive(now);
    node.react(&redis);
    assert!(node.loading.is_empty(), "{case}: it is loaded again");
    deliver(&mut redis, &mut node, now);
    assert_eq!(node.memory.newest(&names[0]), redis.newest(&names[0]), "{case}");
    assert!(!node.follower.is_pending() && *node.memory.resets.borrow() == 0, "{case}");
}

/// An announcement that never came is noticed although none follows: Redis says that it is further.
#[test]
fn a_lost_announcement_is_noticed_by_the_next_state() {
    let (mut redis, mut now) = (Redis::default(), Timestamp::from_millis(1_000));
    let mut node = begun(&mut redis, now);
    let (_, names) = channels(1);
    let known = node.follower.ask(channels(0).0).mark;
    redis.execute(known, Request::Publish(1, names[0].clone(), Ending::Open, Size::Announced));
    node.send(Request::State(Vec::new()));
    deliver(&mut redis, &mut node, now);
    assert!(node.follower.is_pending());
    assert_eq!(node.asks, 0);
    now = now.after(Duration::from_millis(100));
    node.follower.tick(now, &node.memory);
    node.react(&redis);
    deliver(&mut redis, &mut node, now);
    assert_eq!(node.memory.newest(&names[0]), redis.newest(&names[0]));
    assert!(!node.follower.is_pending());
}

/// What was published before a partition lost something may be lost as well: as its reply comes, and while it waits.
#[test]
fn a_publisher_of_a_generation_that_is_over_is_not_told_that_it_is_kept() {
    for is_parked in [false, true] {
        let (mut redis, now) = (Redis::default(), Timestamp::from_millis(1_000));
        let mut node = begun(&mut redis, now);
        let (partition, names) = channels(1);
        let publish = |number| Request::Publish(number, names[0].clone(), Ending::Open, Size::Announced);
        // One that is not heard of.
        redis.execute(node.follower.ask(partition).mark, publish(1));
        node.publishers.insert(2);
        node.send(publish(2));
        let (asked, request) = node.requests.pop_front().unwrap();
        let (reply, _) = redis.execute(asked.mark, request);
        node.replies.push_back((asked, reply));
        if is_parked {
            node.receive(now);
            node.react(&redis);
            assert!(node.publishers.contains(&2) && node.replies.is_empty());
            // It is repeated.
            let (epoch, seq, _) = redis.newest(&names[0]).unwrap();
            node.follower.await_shown(now, &names[0], (epoch, seq), 3, &node.memory);
        }
        let known = redis.mark();
        let (_, renewed) = redis.execute(known, Request::Renew(known.generation.next(1), known));
        node.heard.extend(renewed.map(Heard::Announced));
        node.hear(now);
        node.receive(now);
        let effects = node.follower.effects();
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Doubt(2))), "{effects:?}");
        assert_eq!(effects.iter().any(|effect| matches!(effect, Effect::Over(3))), is_parked, "{effects:?}");
    }
}

/// A publisher whose predecessors never become visible is answered after a second.
#[test]
fn a_publisher_is_answered_in_bounded_time() {
    let (mut redis, mut now) = (Redis::default(), Timestamp::from_millis(1_000));
    let mut node = begun(&mut redis, now);
    let (_, names) = channels(1);
    let known = node.follower.ask(channels(0).0).mark;
    redis.execute(known, Request::Publish(1, names[0].clone(), Ending::Open, Size::Announced));
    node.publishers.insert(2);
    node.send(Request::Publish(2, names[0].clone(), Ending::Open, Size::Announced));
    execute(&mut redis, &mut node);
    node.receive(now);
    node.react(&redis);
    assert_eq!(node.publishers.len(), 1);
    for _ in 0..40 {
        now = now.after(Duration::from_millis(25));
        // Redis answers nothing.
        node.follower.tick(now, &node.memory);
        node.react(&redis);
    }
    assert!(node.publishers.is_empty() && node.reads >= 1);
    // Nothing here reads past it.
    assert_eq!(node.memory.newest(&names[0]), None);
}
