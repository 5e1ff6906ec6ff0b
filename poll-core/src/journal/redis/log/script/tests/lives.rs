//! What the script itself does with the bounds of a life.

use std::sync::Arc;
use std::time::Duration;

use super::fixture::{Redis, name, text};
use super::tables::same_partition;
use crate::journal::redis::log::partition::Partition;
use crate::journal::redis::log::script::{Look, Publish, PublishChange, Published};
use crate::journal::{Audience, ForkChange, Holds, SharedChange};
use crate::life::{Bound, Bounds, Change, Content, Life};
use crate::types::{ChannelName, Retention};

impl Redis {
    /// A publish without messages that changes its channel.
    fn changing(&mut self, channel: &ChannelName, content: Content, life: Option<Life>) -> Publish {
        let token = self.done(&Look { channel: channel.clone(), producer: None }).token;
        let change = SharedChange {
            token,
            holds: Holds::Exactly,
            change: Change { life: life.map(Arc::new), content, ..Change::default() },
            producer_before: None,
            audience: Audience::Log,
            forks: ForkChange::Same,
            fork: None,
        };
        let change = Some(PublishChange { change: Box::new(change), version: 1 });
        Publish { change, ..self.publish(channel, Vec::new()) }
    }

    /// In how many seconds the messages of a channel expire; -1 if never.
    fn expiry(&mut self, channel: &ChannelName) -> i64 {
        let stream = Partition::of(channel).stream(self.script.prefix(), channel);
        redis::cmd("TTL").arg(stream).query(&mut self.connection).unwrap()
    }
}

/// It was not there when the bounds were looked at.
#[test]
fn a_stream_that_begins_anew_expires() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let born = redis.changing(&channel, Content::Born, Some(Life::default()));
    redis.kept(&born);
    redis.keep(&channel, text("a"));
    assert!(redis.expiry(&channel) >= 300, "after its birth");
    let purged = redis.changing(&channel, Content::Purged, None);
    redis.kept(&purged);
    redis.keep(&channel, text("b"));
    assert!(redis.expiry(&channel) >= 300, "after a purge");
}

/// What is there already is written down once more, so that it can be waited for, and changes nothing.
#[test]
fn what_is_so_already_can_be_waited_for() {
    let mut redis = Redis::new(Retention::default());
    let channel = name("default");
    let keys = |redis: &mut Redis| redis::cmd("DBSIZE").query::<u64>(&mut redis.connection).unwrap();
    let changes = |redis: &mut Redis| {
        let info: String = redis::cmd("INFO").arg("persistence").query(&mut redis.connection).unwrap();
        let field = info.lines().find_map(|line| line.strip_prefix("rdb_changes_since_last_save:"));
        field.unwrap().parse::<u64>().unwrap()
    };
    for is_there in [false, true] {
        let again = redis.changing(&channel, Content::Same, None);
        let (count, keys_before, before) = (redis.known.mark.count, keys(&mut redis), changes(&mut redis));
        assert!(matches!(redis.done(&again), Published::Unchanged(_)));
        assert_eq!((redis.known.mark.count, keys(&mut redis)), (count, keys_before));
        assert_eq!(changes(&mut redis), before + 1);
        let next = match is_there {
            false => redis.changing(&channel, Content::Born, Some(Life::default())),
            true => redis.publish(&channel, text("a")).closing(),
        };
        redis.kept(&next);
        assert_eq!(redis.done(&again), Published::Outdated);
    }
}

#[test]
fn room_is_made_by_the_bound_of_the_server() {
    let second = Duration::from_secs(1);
    let retention = Retention { age: second * 3_600, idempotency: second, ..Retention::default() };
    let mut redis = Redis::new(retention);
    let (old, new) = (name("default"), same_partition(0));
    let kept = redis.keep(&old, text("a"));
    // Unused for ten minutes.
    let used = kept.first_at.before(second * 600).as_micros();
    let key = Partition::of(&old).announcements(redis.script.prefix()).replace(":n", ":u");
    redis::cmd("ZADD").arg(key).arg(used).arg("default").exec(&mut redis.connection).unwrap();
    let bounds = Bounds { seconds: Bound::Most(1), ..Bounds::SERVER };
    let life = Life { bounds, ..Life::default() };
    let publish = redis.changing(&new, Content::Born, Some(life)).in_place_of_another();
    assert_eq!(redis.done(&publish), Published::Full);
}
