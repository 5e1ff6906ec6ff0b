//! A Redis that lost something, and who notices.

use super::fixture::{Redis, name, text};
use super::tables::same_partition;
use crate::journal::redis::log::generation::Process;
use crate::journal::redis::log::partition::Partition;
use crate::journal::redis::log::script::{Known, Renew, State, Verdict};
use crate::types::Retention;

/// Everything in Redis, to be put back as a restart from an older file does.
fn save(redis: &mut Redis) -> Vec<(Vec<u8>, Vec<u8>)> {
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut redis.connection).unwrap();
    let mut dump = |key: Vec<u8>| {
        let value = redis::cmd("DUMP").arg(&key).query(&mut redis.connection).unwrap();
        (key, value)
    };
    keys.into_iter().map(&mut dump).collect()
}

fn restore(redis: &mut Redis, saved: &[(Vec<u8>, Vec<u8>)], process: Process) {
    redis::cmd("FLUSHALL").exec(&mut redis.connection).unwrap();
    for (key, value) in saved {
        redis::cmd("RESTORE").arg(key).arg(0).arg(value).exec(&mut redis.connection).unwrap();
    }
    redis.known.process = process;
}

#[test]
fn a_lower_count_is_a_loss_and_an_equal_one_is_not() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let partition = Partition::of(&channel);
    redis.keep(&channel, text("a"));
    let (saved, seen) = (save(&mut redis), redis.known);
    redis.keep(&channel, text("b"));
    let more = redis.known;
    restore(&mut redis, &saved, Process(*b"process2"));
    // The node that saw the second message.
    redis.known.mark = more.mark;
    let publish = redis.publish(&channel, text("c"));
    assert!(matches!(redis.call(&publish), Verdict::Lost(mark) if mark == seen.mark));
    assert!(matches!(redis.call(&State(partition)), Verdict::Lost(_)));
    // The node that did not.
    redis.known.mark = seen.mark;
    redis.done(&State(partition));
    redis.keep(&channel, text("c"));
    assert_eq!(redis.known.mark.count, more.mark.count);
    assert_ne!(redis.known.mark.reign, more.mark.reign);
}

#[test]
fn a_count_that_was_reached_again_does_not_hide_a_loss() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let partition = Partition::of(&channel);
    redis.keep(&channel, text("a"));
    let (saved, seen) = (save(&mut redis), redis.known);
    redis.keep(&channel, text("b"));
    let more = redis.known;
    restore(&mut redis, &saved, Process(*b"process2"));
    redis.known.mark = seen.mark;
    for _ in 0..5 {
        redis.keep(&channel, text("c"));
    }
    // After one more change of process without a loss.
    redis.known.process = Process(*b"process3");
    redis.keep(&channel, text("d"));
    let last = redis.known;
    redis.known.mark = more.mark;
    assert!(matches!(redis.call(&State(partition)), Verdict::Lost(mark) if mark == last.mark));
    // Nothing that was seen before is lost.
    redis.known.mark = seen.mark;
    assert!(matches!(redis.call(&State(partition)), Verdict::Done(mark, _) if mark == last.mark));
    redis.known = last;
    redis.done(&State(partition));
}

#[test]
fn a_process_without_a_loss_makes_no_new_generation() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let generation = redis.known.mark.generation;
    for process in [*b"process2", *b"process1", *b"process3"] {
        redis.known.process = Process(process);
        redis.keep(&channel, text("a"));
    }
    assert_eq!(redis.known.mark.generation, generation);
}

#[test]
fn after_flushall_a_new_generation_begins() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let partition = Partition::of(&channel);
    let first = redis.keep(&channel, text("a"));
    let before = redis.known;
    redis::cmd("FLUSHALL").exec(&mut redis.connection).unwrap();
    let publish = redis.publish(&channel, text("b"));
    let Verdict::Lost(found) = redis.call(&publish) else { panic!("not lost") };
    assert_eq!(found, Default::default());
    redis.known.mark = found;
    redis.done(&Renew { partition, next: before.mark.generation.next(1) });
    let second = redis.kept(&publish);
    let epochs =
        [(before, first), (redis.known, second)].map(|(known, kept)| known.mark.generation.epoch(kept.birth));
    assert_ne!(epochs[0], epochs[1]);
    // Another node that saw the old generation.
    redis.known = before;
    assert!(matches!(redis.call(&publish), Verdict::Renewed(_)));
}

#[test]
fn a_generation_that_was_lost_is_followed_by_a_later_one() {
    let mut redis = Redis::new(Retention::default());
    let (channel, other) = (name("default"), same_partition(0));
    let partition = Partition::of(&channel);
    redis.keep(&channel, text("a"));
    let (saved, old) = (save(&mut redis), redis.known);
    redis.done(&Renew { partition, next: old.mark.generation.next(1) });
    redis.keep(&other, text("b"));
    let new = redis.known;
    restore(&mut redis, &saved, Process(*b"process2"));
    redis.known.mark = new.mark;
    let Verdict::Lost(found) = redis.call(&State(partition)) else { panic!("not lost") };
    redis.known = Known { mark: found, ..redis.known };
    redis.done(&Renew { partition, next: new.mark.generation.next(3) });
    assert!(redis.known.mark.generation > new.mark.generation);
    // What is there keeps its messages and goes on, in another epoch.
    assert_eq!(redis.keep(&channel, text("c")).before.get(), 1);
}
