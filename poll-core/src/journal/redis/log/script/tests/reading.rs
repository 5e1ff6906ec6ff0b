//! Reading: limits, bounds, landmarks, and what is unusual in names and sizes.

use std::time::Duration;

use super::fixture::{Redis, name, next, text};
use crate::journal::redis::log::announcement::{Change, Content};
use crate::journal::redis::log::partition::Partition;
use crate::journal::redis::log::script::{Load, Locate, Range, Read};
use crate::journal::{Landmark, Stretch};
use crate::types::{ChannelName, Epoch, Limit, Payload, Retention, Seq, mint_id};

fn load(redis: &mut Redis, channel: &ChannelName, limit: Limit) -> crate::journal::Loaded {
    redis.done(&Load { channel: channel.clone(), limit }).unwrap()
}

fn read(redis: &mut Redis, channel: &ChannelName, epoch: Epoch, after: u64, limit: Limit) -> Range {
    let stretch = Stretch { channel: channel.clone(), epoch, after: Seq::new(after), limit };
    redis.done(&Read(stretch)).unwrap()
}

fn numbers(messages: &[std::sync::Arc<crate::types::Message>]) -> Vec<u64> {
    messages.iter().map(|message| message.seq.get()).collect()
}

#[test]
fn a_batch_of_a_thousand_is_read_in_steps() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let payloads: Vec<_> = (0..1_000).map(|number| Payload::text(format!("{number}"))).collect();
    let kept = redis.keep(&channel, payloads);
    let epoch = redis.known.mark.generation.epoch(kept.birth);
    let mut after = 0;
    while after < 1_000 {
        let range = read(&mut redis, &channel, epoch, after, Limit::messages(300));
        let expected: Vec<u64> = (after + 1..=(after + 300).min(1_000)).collect();
        assert_eq!(numbers(&range.piece.messages), expected);
        assert_eq!((range.newest, range.piece.oldest.0), (Seq::new(1_000), Seq::new(1)));
        after += 300;
    }
    assert_eq!(numbers(&read(&mut redis, &channel, epoch, 1_000, Limit::default()).piece.messages), [0; 0]);
    assert_eq!(load(&mut redis, &channel, Limit::default()).tail.len(), 1_000);
    assert_eq!(numbers(&load(&mut redis, &channel, Limit::messages(2)).tail), [999, 1_000]);
}

#[test]
fn bytes_limit_what_is_read_but_one_is_always_given() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let kept = redis.keep(&channel, vec![Payload::bytes(vec![b'x'; 100_000]); 20]);
    let epoch = redis.known.mark.generation.epoch(kept.birth);
    for (bytes, many) in [(0, 1), (1, 1), (100_000, 1), (250_000, 2), (300_000, 3)] {
        let limit = Limit { messages: 1_000, bytes };
        assert_eq!(read(&mut redis, &channel, epoch, 3, limit).piece.messages.len(), many, "{bytes}");
        let loaded = load(&mut redis, &channel, limit);
        assert_eq!((loaded.tail.len(), loaded.oldest.0), (many, Seq::new(1)), "{bytes}");
    }
}

#[test]
fn another_epoch_is_not_there() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    redis.keep(&channel, text("a"));
    let epoch = Epoch::new(5);
    let (after, limit) = (Seq::ZERO, Limit::default());
    assert!(redis.done(&Read(Stretch { channel: channel.clone(), epoch, after, limit })).is_none());
    assert!(redis.done(&Locate { channel, epoch, landmark: Landmark::Id(Default::default()) }).is_none());
}

#[test]
fn the_bound_on_number_is_exact_for_readers() {
    let mut redis = Redis::new(Retention { messages: 150, ..Retention::default() });
    let channel = name("default");
    let mut kept = redis.keep(&channel, text("first"));
    for _ in 0..499 {
        kept = redis.keep(&channel, text("more"));
    }
    let epoch = redis.known.mark.generation.epoch(kept.birth);
    let stream = Partition::of(&channel).stream(redis.script.prefix(), &channel);
    let length: u64 = redis::cmd("XLEN").arg(stream).query(&mut redis.connection).unwrap();
    assert!((150..=250).contains(&length), "{length}");
    let loaded = load(&mut redis, &channel, Limit::default());
    assert_eq!((loaded.oldest.0, loaded.tail.len()), (Seq::new(351), 150));
    assert_eq!(loaded.oldest.1, loaded.tail[0].at);
    let range = read(&mut redis, &channel, epoch, 10, Limit::messages(2));
    assert_eq!((range.piece.oldest.0, numbers(&range.piece.messages)), (Seq::new(351), vec![351, 352]));
}

#[test]
fn what_is_too_old_is_not_loaded_and_goes() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    for _ in 0..300 {
        redis.keep(&channel, text("old"));
    }
    redis.bounded(Retention { age: Duration::from_micros(1), ..Retention::default() });
    let loaded = load(&mut redis, &channel, Limit::default());
    assert_eq!((loaded.oldest.0, loaded.tail.len()), (Seq::new(301), 0));
    assert_eq!(loaded.newest.0, Seq::new(300));
    // The next look at the bounds drops it from Redis, but for what shares a node with what stays.
    let record = Partition::of(&channel).channel(redis.script.prefix(), &channel);
    let mut bytes: Vec<u8> = redis::cmd("GET").arg(&record).query(&mut redis.connection).unwrap();
    bytes[29..37].fill(0);
    redis::cmd("SET").arg(&record).arg(bytes).exec(&mut redis.connection).unwrap();
    redis.keep(&channel, text("new"));
    let stream = Partition::of(&channel).stream(redis.script.prefix(), &channel);
    let length: u64 = redis::cmd("XLEN").arg(&stream).query(&mut redis.connection).unwrap();
    assert!(length <= 101, "{length}");
    // When nothing is left of it the channel goes on.
    redis::cmd("UNLINK").arg(&stream).exec(&mut redis.connection).unwrap();
    let loaded = load(&mut redis, &channel, Limit::default());
    assert_eq!((loaded.oldest.0, loaded.newest.0), (Seq::new(302), Seq::new(301)));
    assert_eq!(redis.keep(&channel, text("next")).before, Seq::new(301));
}

/// Also for what is published right after a server was started with another bound, and if nothing follows.
#[test]
fn a_stream_expires_by_the_bound_that_is_in_force() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let stream = Partition::of(&channel).stream(redis.script.prefix(), &channel);
    for seconds in [300, 0, 3_600, 60, 86_400, 0] {
        redis.bounded(Retention { age: Duration::from_secs(seconds), ..Retention::default() });
        redis.keep(&channel, text("a"));
        let left: i64 = redis::cmd("TTL").arg(&stream).query(&mut redis.connection).unwrap();
        let seconds = i64::try_from(seconds).unwrap();
        let expected = if seconds == 0 { -1..=-1 } else { seconds..=seconds + 120 };
        assert!(expected.contains(&left), "{left} of {seconds}");
    }
}

#[test]
fn landmarks() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let kept = redis.keep(&channel, vec![Payload::text("a"); 10]);
    let epoch = redis.known.mark.generation.epoch(kept.birth);
    let messages = load(&mut redis, &channel, Limit::default()).tail;
    let mut locate = |landmark| {
        let located = redis.done(&Locate { channel: channel.clone(), epoch, landmark }).unwrap();
        assert_eq!(located.end, Seq::new(11));
        (located.before.map(Seq::get), located.after.map(|(seq, at)| (seq.get(), at)))
    };
    let at = |seq: u64| messages[seq as usize - 1].at;
    let after = |seq: u64| (seq <= 10).then(|| (seq, at(seq)));
    let just_before = |seq: u64| at(seq).before(Duration::from_micros(1));
    assert_eq!(locate(Landmark::Time(just_before(1))), (None, after(1)));
    for seq in 1..=10 {
        assert_eq!(locate(Landmark::Time(at(seq))), (Some(seq), after(seq + 1)), "{seq}");
        let id = messages[seq as usize - 1].id;
        assert_eq!(locate(Landmark::Id(id)), (Some(seq), after(seq + 1)), "{seq}");
        let below = uuid::Uuid::from_u128(id.as_u128() - 1);
        assert_eq!(locate(Landmark::Id(below)), ((seq > 1).then(|| seq - 1), after(seq)), "{seq}");
        let above = uuid::Uuid::from_u128(id.as_u128() + 1);
        assert_eq!(locate(Landmark::Id(above)), (Some(seq), after(seq + 1)), "{seq}");
    }
    assert_eq!(locate(Landmark::Id(uuid::Uuid::nil())), (None, after(1)));
    assert_eq!(locate(Landmark::Id(uuid::Uuid::max())), (Some(10), None));
    // An id of another version in the same millisecond.
    let other = uuid::Uuid::from_u64_pair(at(5).as_millis() << 16 | 0x8000, 0);
    let last = (1..=10).rev().find(|&seq| at(seq).as_millis() <= at(5).as_millis());
    assert_eq!(locate(Landmark::Id(other)).0, last);
    assert_eq!(mint_id(at(5), 0).get_version_num(), 7);
}

#[test]
fn odd_names_are_names() {
    let mut redis = Redis::empty(Retention::default());
    let long = "é".repeat(512);
    for odd in ["{", "}{", "a:b:s:c", "*", "%s", "'\"\\", "-inf", "0-0", "☃\u{2028}", " ", &long] {
        let channel = name(odd);
        redis.begin(Partition::of(&channel));
        let mut announced = redis.subscribe(&channel);
        let publish = redis.publish(&channel, text(odd)).under(odd.get(..10).unwrap_or(odd));
        redis.kept(&publish);
        let Change::Kept(heard, ..) = next(&mut announced).change else { panic!("{odd}") };
        assert_eq!(heard, channel);
        let loaded = load(&mut redis, &channel, Limit::default());
        assert_eq!(loaded.tail[0].payload, Payload::text(odd), "{odd}");
        // Names share no key.
        redis::cmd("FLUSHALL").exec(&mut redis.connection).unwrap();
    }
}

#[test]
fn large_payloads_are_not_announced() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let mut announced = redis.subscribe(&channel);
    for (payloads, within) in [
        (vec![8_192 - 17], true),
        (vec![8_192 - 16], false),
        (vec![4_000, 4_000], true),
        (vec![4_100, 4_100], false),
        (vec![1 << 20], false),
        (vec![0], true),
    ] {
        let payloads: Vec<_> = payloads.iter().map(|&size| Payload::bytes(vec![0xff; size])).collect();
        let kept = redis.keep(&channel, payloads.clone());
        let Change::Kept(_, heard, content) = next(&mut announced).change else { panic!() };
        assert_eq!(heard, kept);
        assert_eq!(matches!(content, Content::Messages(_)), within, "{payloads:?}");
        let loaded = load(&mut redis, &channel, Limit::messages(payloads.len()));
        assert!(loaded.tail.iter().map(|message| &message.payload).eq(&payloads));
    }
}

#[test]
fn an_entry_that_cannot_be_read_is_damaged() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let kept = redis.keep(&channel, vec![Payload::text("a"); 3]);
    let epoch = redis.known.mark.generation.epoch(kept.birth);
    // A later version wrote messages 2 and 3.
    let mut publish = redis.publish(&channel, text("\u{0}"));
    let stream = Partition::of(&channel).stream(redis.script.prefix(), &channel);
    let entries: Vec<(String, Vec<Vec<u8>>)> =
        redis::cmd("XRANGE").arg(&stream).arg("-").arg("+").query(&mut redis.connection).unwrap();
    redis::cmd("DEL").arg(&stream).exec(&mut redis.connection).unwrap();
    for (place, (id, fields)) in entries.into_iter().enumerate() {
        let mut entry = fields[1].clone();
        if place > 0 {
            entry[8] = 0x20;
        }
        redis::cmd("XADD").arg(&stream).arg(id).arg("m").arg(entry).exec(&mut redis.connection).unwrap();
    }
    let range = read(&mut redis, &channel, epoch, 0, Limit::default());
    assert_eq!((numbers(&range.piece.messages), range.piece.damaged), (vec![1], None));
    let range = read(&mut redis, &channel, epoch, 1, Limit::default());
    assert_eq!((numbers(&range.piece.messages), range.piece.damaged), (vec![], Some(Seq::new(3))));
    let loaded = load(&mut redis, &channel, Limit::default());
    assert_eq!((loaded.tail.len(), loaded.damaged), (0, Some((Seq::new(2), Seq::new(3)))));
    publish.drafts[0].payload = Payload::text("b");
    redis.kept(&publish);
    let loaded = load(&mut redis, &channel, Limit::default());
    assert_eq!((numbers(&loaded.tail), loaded.damaged), (vec![4], None));
}

#[test]
fn an_entry_that_was_removed_is_damaged() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let kept = redis.keep(&channel, vec![Payload::text("a"); 5]);
    let epoch = redis.known.mark.generation.epoch(kept.birth);
    let stream = Partition::of(&channel).stream(redis.script.prefix(), &channel);
    redis::cmd("XDEL").arg(&stream).arg("2-0").arg("3-0").exec(&mut redis.connection).unwrap();
    for (after, messages, damaged) in [
        (0, vec![1], None),
        (1, vec![], Some(Seq::new(3))),
        (2, vec![], Some(Seq::new(3))),
        (3, vec![4, 5], None),
        (5, vec![], None),
    ] {
        let range = read(&mut redis, &channel, epoch, after, Limit::default());
        assert_eq!(
            (numbers(&range.piece.messages), range.piece.damaged),
            (messages, damaged),
            "after {after}"
        );
    }
    redis::cmd("XDEL").arg(&stream).arg("5-0").exec(&mut redis.connection).unwrap();
    for (after, messages, damaged) in [(3, vec![4], None), (4, vec![], Some(Seq::new(5))), (5, vec![], None)]
    {
        let range = read(&mut redis, &channel, epoch, after, Limit::default());
        let found = (numbers(&range.piece.messages), range.piece.damaged);
        assert_eq!(found, (messages, damaged), "after {after}, without the newest");
    }
    let loaded = load(&mut redis, &channel, Limit::default());
    assert_eq!((loaded.tail.len(), loaded.damaged), (0, Some((Seq::new(5), Seq::new(5)))));
}
