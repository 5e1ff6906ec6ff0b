//! What the script itself does with the bounds of a life.

use std::sync::Arc;

use super::fixture::{Redis, name, text};
use crate::journal::redis::log::partition::Partition;
use crate::journal::redis::log::script::{Look, Publish, PublishChange};
use crate::journal::{Audience, ForkChange, Holds, SharedChange};
use crate::life::{Change, Content, Life};
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
