//! Each operation, by what it is asked and what it answers.

use std::time::Duration;

use super::fixture::{Redis, name, next, text};
use super::forget::Forget;
use crate::journal::redis::connect::refusal::Refusal;
use crate::journal::redis::log::announcement::{Change, Content};
use crate::journal::redis::log::generation::Generation;
use crate::journal::redis::log::partition::Partition;
use crate::journal::redis::log::script::{
    HasLife, Load, Newest, Place, Published, Renew, Seal, State, Verdict, partition::Writer,
};
use crate::journal::{Fault, FaultKind};
use crate::types::{Ending, Limit, Payload, Retention, Seq};

#[test]
fn a_partition_has_no_generation_until_one_node_gives_it_one() {
    let mut redis = Redis::empty(Retention::default());
    let channel = name("default");
    let partition = Partition::of(&channel);
    let publish = redis.publish(&channel, text("a"));
    assert!(matches!(redis.call(&publish), Verdict::Lost(mark) if mark == Default::default()));
    let mut announced = redis.subscribe(&channel);
    let [first, second] = [1, 2].map(|random| Generation::default().next(random));
    assert!(matches!(redis.call(&Renew { partition, next: first }), Verdict::Done(mark, ()) if
        mark.generation == first && mark.count == 1));
    // The other node that saw that there was none.
    assert!(matches!(redis.call(&Renew { partition, next: second }), Verdict::Renewed(mark) if
        mark.generation == first));
    assert!(matches!(redis.call(&publish), Verdict::Renewed(mark) if mark.generation == first));
    assert_eq!(next(&mut announced).change, Change::Renewed);
}

#[test]
fn what_is_published_is_announced_and_loaded() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let mut announced = redis.subscribe(&channel);
    assert!(redis.done(&Load { channel: channel.clone(), limit: Limit::default() }).is_none());
    let payloads = vec![Payload::json(b"{\"a\":1}").unwrap(), Payload::text("é"), Payload::bytes(b"\xff\0")];
    let publish = redis.publish(&channel, payloads);
    let kept = redis.kept(&publish);
    assert_eq!((kept.before, kept.count, kept.ending), (Seq::ZERO, 3, Ending::Open));
    assert_eq!(kept.birth, publish.birth);
    let heard = next(&mut announced);
    assert_eq!(heard.mark, redis.known.mark);
    let messages: Vec<_> =
        publish.drafts.iter().zip(kept.stamps()).map(|(d, (seq, at))| d.stamped(seq, at)).collect();
    let Change::Kept(announced_name, announced_kept, Content::Messages(heard)) = heard.change else {
        panic!("{heard:?}")
    };
    assert_eq!((announced_name, announced_kept), (channel.clone(), kept));
    assert!(heard.iter().map(|message| &**message).eq(&messages));

    let loaded = redis.done(&Load { channel, limit: Limit::default() }).unwrap();
    assert_eq!(loaded.epoch, redis.known.mark.generation.epoch(kept.birth));
    assert_eq!(loaded.oldest, (Seq::new(1), kept.first_at));
    assert_eq!(loaded.newest, kept.stamps().last().unwrap());
    assert!(!loaded.ended && loaded.damaged.is_none());
    assert!(loaded.tail.iter().map(|message| &**message).eq(&messages));
}

#[test]
fn times_grow_by_a_microsecond_at_least() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let first = redis.keep(&channel, vec![Payload::text("a"); 1_000]);
    let second = redis.keep(&channel, text("b"));
    assert!(second.first_at > first.stamps().last().unwrap().1);
    assert_eq!(second.before, Seq::new(1_000));
}

#[test]
fn a_closed_channel_takes_nothing() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let mut announced = redis.subscribe(&channel);
    // With a message.
    let publish = redis.publish(&channel, text("a")).closing();
    assert_eq!(redis.kept(&publish).ending, Ending::Close);
    let before = redis.known.mark.count;
    for publish in [redis.publish(&channel, text("b")), redis.publish(&channel, vec![]).closing()] {
        assert_eq!(redis.done(&publish), Published::Closed);
    }
    assert_eq!(redis.known.mark.count, before);
    assert!(redis.done(&Load { channel: channel.clone(), limit: Limit::default() }).unwrap().ended);
    next(&mut announced);
    // Without one, and before there was any.
    assert!(redis.done(&Forget(channel.clone())).is_some());
    assert!(matches!(next(&mut announced).change, Change::Forgotten(forgotten, _) if forgotten == channel));
    let publish = redis.publish(&channel, vec![]).closing();
    let kept = redis.kept(&publish);
    assert_eq!((kept.count, kept.before, kept.ending), (0, Seq::ZERO, Ending::Close));
    let Change::Kept(_, heard, Content::Messages(none)) = next(&mut announced).change else { panic!() };
    assert_eq!((heard, none), (kept, vec![]));
    let loaded = redis.done(&Load { channel, limit: Limit::default() }).unwrap();
    assert!(loaded.ended && loaded.tail.is_empty() && loaded.newest.0 == Seq::ZERO);
}

#[test]
fn what_was_forgotten_is_born_anew() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    assert_eq!(redis.done(&Forget(channel.clone())), None);
    let publish = redis.publish(&channel, text("a")).under("k");
    let first = redis.kept(&publish);
    assert_eq!(redis.done(&Forget(channel.clone())), Some(redis.known.mark.generation.epoch(first.birth)));
    assert!(redis.done(&Load { channel: channel.clone(), limit: Limit::default() }).is_none());
    let mut publish = redis.publish(&channel, text("a")).under("k");
    publish.birth = crate::journal::redis::log::generation::Birth::random(99);
    let second = redis.kept(&publish);
    assert_eq!(second.before, Seq::ZERO);
    assert_ne!(second.birth, first.birth);
}

#[test]
fn a_state_counts_channels_and_knows_its_process() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let partition = Partition::of(&channel);
    let status = redis.done(&State(partition));
    assert_eq!((status.channels, status.writer), (0, Writer::ThisProcess));
    redis.keep(&channel, text("a"));
    let status = redis.done(&State(partition));
    assert_eq!(status.channels, 1);
    redis.known.process.0[0] = 0;
    assert_eq!(redis.done(&State(partition)).writer, Writer::Another);
    redis.keep(&channel, text("b"));
    assert_eq!(redis.done(&State(partition)).writer, Writer::ThisProcess);
    assert!(redis.done(&Forget(channel)).is_some());
    assert_eq!(redis.done(&State(partition)).channels, 0);
}

#[test]
fn the_newest_of_some_channels() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let partition = Partition::of(&channel);
    let kept = redis.keep(&channel, vec![Payload::text("a"); 3]);
    let publish = redis.publish(&channel, vec![]).closing();
    redis.kept(&publish);
    let channels = vec![same_partition(1), channel];
    let epoch = redis.known.mark.generation.epoch(kept.birth);
    let found = redis.done(&Newest { partition, channels });
    let place = Place { epoch, newest: Seq::new(3), ending: Ending::Close, life: HasLife::No };
    assert_eq!(found, [None, Some(place)]);
}

/// Another channel in the partition of `default`.
pub(super) fn same_partition(number: usize) -> crate::types::ChannelName {
    let partition = Partition::of(&name("default"));
    let all = (0..).map(|number| name(&format!("other/{number}")));
    all.filter(|name| Partition::of(name) == partition).nth(number).unwrap()
}

#[test]
fn a_full_log_makes_room_by_forgetting() {
    let idle = Retention {
        age: Duration::from_micros(1),
        idempotency: Duration::from_micros(1),
        ..Retention::default()
    };
    let mut redis = Redis::new(Retention::default());
    let (old, new) = (name("default"), same_partition(0));
    let mut announced = redis.subscribe(&old);
    redis.keep(&old, text("a"));
    // Its messages and keys are still promised.
    let publish = redis.publish(&new, text("b")).in_place_of_another();
    assert_eq!(redis.done(&publish), Published::Full);
    // A channel that is there is not affected.
    let more = redis.publish(&old, text("c")).in_place_of_another();
    redis.kept(&more);
    let before = redis.known.mark.count;
    redis.bounded(idle);
    // Bounds are looked at once a second: that long it counts as used.
    let key = Partition::of(&old).announcements(redis.script.prefix()).replace(":n", ":u");
    redis::cmd("ZADD").arg(key).arg(0).arg("default").exec(&mut redis.connection).unwrap();
    redis.kept(&publish);
    assert_eq!(redis.known.mark.count, before + 2);
    assert!(redis.done(&Load { channel: old.clone(), limit: Limit::default() }).is_none());
    let heard: Vec<_> = (0..4).map(|_| next(&mut announced)).collect();
    assert!(heard.windows(2).all(|pair| pair[1].mark.count == pair[0].mark.count + 1));
    assert!(matches!(&heard[2].change, Change::Forgotten(forgotten, _) if *forgotten == old));
    assert!(matches!(&heard[3].change, Change::Kept(born, ..) if *born == new));
}

#[test]
fn a_seal_is_kept() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let first = redis.keep(&channel, text("a"));
    let millis = first.first_at.as_millis();
    // The millisecond of the message, or the clock's: no later message has it.
    let sealed = redis.done(&Seal { channel: channel.clone(), millis });
    assert_eq!(sealed.millis, millis);
    assert_eq!(sealed.newest.unwrap().1, Seq::new(1));
    let second = redis.keep(&channel, text("b"));
    assert!(second.first_at.as_millis() > millis);
    // One in the past is sealed already.
    assert_eq!(redis.done(&Seal { channel: channel.clone(), millis: 5 }).millis, 5);
    // The future is not.
    let far = second.first_at.as_millis() + 100_000;
    let sealed = redis.done(&Seal { channel: channel.clone(), millis: far }).millis;
    assert!(sealed == far, "a channel may lead by one seal in a millisecond");
    let next = redis.done(&Seal { channel: channel.clone(), millis: far + 100_000 }).millis;
    assert!(next <= far + 100_000);
    let third = redis.keep(&channel, text("c"));
    assert!(third.first_at.as_millis() > next);
}

#[test]
fn a_seal_holds_for_a_birth() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let far = 1 << 41;
    let sealed = redis.done(&Seal { channel: channel.clone(), millis: far });
    assert!(sealed.millis < far && sealed.newest.is_none());
    assert!(redis.keep(&channel, text("a")).first_at.as_millis() > sealed.millis);
}

#[test]
fn out_of_memory_refuses_the_whole() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    redis.keep(&channel, text("a"));
    let digest = |redis: &mut Redis| -> String {
        redis::cmd("DEBUG").arg("DIGEST").query(&mut redis.connection).unwrap()
    };
    let before = digest(&mut redis);
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(1).exec(&mut redis.connection).unwrap();
    let born = same_partition(0);
    let calls = [
        redis.publish(&channel, text("b")),
        redis.publish(&born, vec![Payload::text("c"); 100]).under("k"),
        redis.publish(&channel, vec![]).closing(),
    ];
    for publish in &calls {
        assert!(matches!(redis.refused(publish), Refusal::Refused(Fault { kind: FaultKind::Full, .. })));
    }
    let forget = redis.refused(&Forget(channel.clone()));
    assert!(matches!(forget, Refusal::Refused(Fault { kind: FaultKind::Full, .. })), "{forget:?}");
    assert_eq!(digest(&mut redis), before);
    // What writes nothing works.
    assert_eq!(redis.done(&Load { channel, limit: Limit::default() }).unwrap().newest.0, Seq::new(1));
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(0).exec(&mut redis.connection).unwrap();
    for publish in &calls {
        redis.kept(publish);
    }
}

#[test]
fn refusals_of_a_real_redis() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let publish = redis.publish(&channel, text("a"));
    redis::cmd("CONFIG").arg("SET").arg("min-replicas-to-write").arg(1).exec(&mut redis.connection).unwrap();
    assert!(
        matches!(redis.refused(&publish), Refusal::Refused(fault) if fault.why.starts_with("NOREPLICAS"))
    );
    redis::cmd("CONFIG").arg("SET").arg("min-replicas-to-write").arg(0).exec(&mut redis.connection).unwrap();
    redis::cmd("REPLICAOF").arg("127.0.0.1").arg(1).exec(&mut redis.connection).unwrap();
    assert!(matches!(redis.refused(&publish), Refusal::Refused(fault) if fault.why.starts_with("READONLY")));
    redis::cmd("REPLICAOF").arg("NO").arg("ONE").exec(&mut redis.connection).unwrap();
    redis::cmd("SCRIPT").arg("FLUSH").exec(&mut redis.connection).unwrap();
    assert_eq!(
        redis.refused(&publish),
        Refusal::Resend(crate::journal::redis::connect::refusal::Remedy::LoadScript)
    );
}
