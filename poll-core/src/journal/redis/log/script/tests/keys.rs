//! Idempotency keys: what is published again under its key is published once.

use std::time::Duration;

use super::fixture::{Redis, name, text};
use crate::journal::redis::log::partition::Partition;
use crate::journal::redis::log::script::{Publish, Published};
use crate::types::{Payload, Retention, Seq, SeqRange};

#[test]
fn the_same_again_and_something_else_under_the_key() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    redis.keep(&channel, text("zero"));
    let publish = redis.publish(&channel, vec![Payload::text("a"), Payload::text("b")]).under("k");
    let kept = redis.kept(&publish);
    let epoch = redis.known.mark.generation.epoch(kept.birth);
    let numbers = SeqRange { after: Seq::new(1), count: 2 };
    let before = redis.known.mark.count;
    assert_eq!(redis.done(&publish), Published::Repeated(epoch, numbers));
    let other = redis.publish(&channel, text("c")).under("k");
    assert_eq!(redis.done(&other), Published::KeyReused);
    // Keys are known in a closed channel as well, before it refuses.
    let publish_closing = redis.publish(&channel, text("end")).under("l").closing();
    redis.kept(&publish_closing);
    assert_eq!(redis.done(&publish), Published::Repeated(epoch, numbers));
    assert!(matches!(redis.done(&publish_closing), Published::Repeated(_, numbers) if numbers.count == 1));
    assert_eq!(redis.done(&without_key(&other)), Published::Closed);
    assert_eq!(redis.known.mark.count, before + 1);
}

/// The same publish under no key.
fn without_key(publish: &Publish) -> Publish {
    Publish { key: None, ..publish.clone() }
}

#[test]
fn a_key_is_forgotten_after_its_window() {
    let mut redis = Redis::new(Retention { idempotency: Duration::from_micros(1), ..Retention::default() });
    let channel = name("default");
    let publish = redis.publish(&channel, text("a")).under("k");
    redis.kept(&publish);
    assert_eq!(redis.kept(&publish).before, Seq::new(1));
}

#[test]
fn the_oldest_keys_are_forgotten_first() {
    let mut redis = Redis::new(Retention { keys: 3, ..Retention::default() });
    let channel = name("default");
    for number in 0..10 {
        let publish = redis.publish(&channel, text("a")).under(&format!("{number}"));
        redis.kept(&publish);
    }
    for number in 7..10 {
        let publish = redis.publish(&channel, text("a")).under(&format!("{number}"));
        assert!(matches!(redis.done(&publish), Published::Repeated(..)), "{number}");
    }
    let publish = redis.publish(&channel, text("a")).under("6");
    redis.kept(&publish);
    // The table is as small as it should be.
    let fields: Vec<usize> = ["k", "o"]
        .iter()
        .map(|letter| {
            let partition = Partition::of(&channel);
            let key =
                partition.channel(redis.script.prefix(), &channel).replace(":m:", &format!(":{letter}:"));
            let command = if *letter == "k" { "HLEN" } else { "LLEN" };
            redis::cmd(command).arg(key).query(&mut redis.connection).unwrap()
        })
        .collect();
    assert_eq!(fields, [3, 3]);
}

#[test]
fn without_a_window_no_key_is_known() {
    for retention in [
        Retention { idempotency: Duration::ZERO, ..Retention::default() },
        Retention { keys: 0, ..Retention::default() },
    ] {
        let mut redis = Redis::new(retention);
        let channel = name("default");
        let publish = redis.publish(&channel, text("a")).under("k");
        redis.kept(&publish);
        redis.kept(&publish);
        let keys: Vec<String> = redis::cmd("KEYS").arg("*:k:*").query(&mut redis.connection).unwrap();
        assert_eq!(keys, [""; 0]);
    }
}

#[test]
fn keys_expire_by_themselves() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let publish = redis.publish(&channel, text("a")).under("k");
    redis.kept(&publish);
    for letter in ["k", "o", "s"] {
        let partition = Partition::of(&channel);
        let key = partition.channel(redis.script.prefix(), &channel).replace(":m:", &format!(":{letter}:"));
        let left: i64 = redis::cmd("PTTL").arg(key).query(&mut redis.connection).unwrap();
        assert!((300_000..500_000).contains(&left), "{letter}: {left}");
    }
}

/// WAIT and WAITAOF wait for what was written over the same connection, and what is repeated may have come over another.
#[test]
fn what_is_answered_for_again_can_be_waited_for() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let publish = redis.publish(&channel, text("a")).under("k").closing();
    redis.kept(&publish);
    let changes = |redis: &mut Redis| {
        let info: String = redis::cmd("INFO").arg("persistence").query(&mut redis.connection).unwrap();
        let field = info.lines().find_map(|line| line.strip_prefix("rdb_changes_since_last_save:"));
        field.unwrap().parse::<u64>().unwrap()
    };
    for again in [publish.clone(), without_key(&publish)] {
        let before = changes(&mut redis);
        assert!(matches!(redis.done(&again), Published::Repeated(..) | Published::Closed));
        assert!(changes(&mut redis) > before, "{again:?}");
    }
}
