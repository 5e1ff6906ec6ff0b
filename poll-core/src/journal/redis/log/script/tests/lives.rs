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
