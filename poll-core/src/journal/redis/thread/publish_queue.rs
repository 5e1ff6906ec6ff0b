//! Publishes that wait to be sent to one server, in the order in which they came.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use crate::journal::PublishReply;
use crate::journal::redis::connect::connection::ANSWER;
use crate::journal::redis::log::entry::HEAD_BYTES;
use crate::journal::redis::log::partition::Partition;
use crate::journal::redis::log::script::Publish;

/// How much one batch may hold: as much as Redis executes within a few milliseconds.
const BATCH_BYTES: u64 = 1 << 20;
const BATCH_PUBLISHES: usize = 1_000;
/// What a publish takes beside its channel and its payloads.
const RECORD_BYTES: usize = 256;

/// A publish that has no answer yet.
pub(crate) struct PendingPublish {
    pub(crate) partition: Partition,
    pub(crate) publish: Publish,
    pub(crate) reply: PublishReply,
    /// Whether the channels were counted because it was refused.
    pub(crate) count: Count,
    /// When it is too late to send it.
    pub(crate) deadline: Instant,
    room: Room,
}

/// Whether all channels have been counted for a publish that may begin one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    Estimated,
    Exact,
}

/// Room for what waits, in bytes. A clone is the same room.
#[derive(Clone)]
pub(crate) struct QueueRoom {
    used: Arc<AtomicU64>,
    bound: u64,
}

/// Room that is taken until this is dropped.
struct Room {
    of: QueueRoom,
    bytes: u64,
}

/// What waits for one server.
#[derive(Default)]
pub(crate) struct PublishQueue(VecDeque<PendingPublish>);

impl QueueRoom {
    pub(crate) fn new(bound: u64) -> Self {
        Self { used: Arc::default(), bound }
    }

    /// Takes a publish, if there is room for it. One publish always has room.
    pub(crate) fn admit(
        &self,
        publish: Publish,
        reply: PublishReply,
    ) -> Result<PendingPublish, PublishReply> {
        let payloads = publish.drafts.iter().map(|draft| draft.payload.len() + HEAD_BYTES).sum::<usize>();
        let bytes = (payloads + publish.channel.as_str().len() + RECORD_BYTES) as u64;
        let room = |used: u64| (used == 0 || used + bytes <= self.bound).then_some(used + bytes);
        if self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            return Err(reply);
        }
        let (partition, deadline) = (Partition::of(&publish.channel), Instant::now() + ANSWER);
        let room = Room { of: self.clone(), bytes };
        Ok(PendingPublish { partition, publish, reply, count: Count::Estimated, deadline, room })
    }

    /// Bytes that wait.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

impl PublishQueue {
    pub(crate) fn push(&mut self, publish: PendingPublish) {
        self.0.push_back(publish);
    }

    /// Puts publishes back that were not executed, in front of what came after them.
    pub(crate) fn put_back(&mut self, publishes: impl DoubleEndedIterator<Item = PendingPublish>) {
        for publish in publishes.rev() {
            self.0.push_front(publish);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As many as may be sent together, of the partitions that may be written to.
    pub(crate) fn take_batch(&mut self, may_write: impl Fn(Partition) -> bool) -> Vec<PendingPublish> {
        let (mut batch, mut bytes, mut passed) = (Vec::new(), 0, Vec::new());
        while batch.len() < BATCH_PUBLISHES && bytes < BATCH_BYTES {
            let Some(publish) = self.0.pop_front() else { break };
            if may_write(publish.partition) {
                bytes += publish.room.bytes;
                batch.push(publish);
            } else {
                passed.push(publish);
            }
        }
        self.put_back(passed.into_iter());
        batch
    }

    /// Takes out those whose deadline is over.
    pub(crate) fn take_late(&mut self, now: Instant) -> Vec<PendingPublish> {
        if self.0.iter().all(|publish| publish.deadline > now) {
            return Vec::new();
        }
        let (late, rest) = self.0.drain(..).partition(|publish| publish.deadline <= now);
        self.0 = rest;
        Vec::from_iter::<VecDeque<_>>(late)
    }

    pub(crate) fn take_all(&mut self) -> impl DoubleEndedIterator<Item = PendingPublish> + use<> {
        std::mem::take(&mut self.0).into_iter()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.of.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;
    use crate::journal::redis::log::entry::Draft;
    use crate::journal::redis::log::generation::Birth;
    use crate::journal::redis::log::script::Births;
    use crate::types::{ChannelName, Ending, Payload};

    fn admit(room: &QueueRoom, name: &str, text: &str) -> Option<PendingPublish> {
        let draft = Draft { payload: Payload::text(text.to_owned()), random: 1 };
        let publish = Publish {
            channel: ChannelName::parse(name).unwrap(),
            drafts: smallvec![draft],
            ending: Ending::Open,
            key: None,
            birth: Birth::random(1),
            births: Births::Allowed,
            change: None,
        };
        room.admit(publish, Box::new(|_| {})).ok()
    }

    fn names(publishes: &[PendingPublish]) -> Vec<&str> {
        publishes.iter().map(|publish| publish.publish.channel.as_str()).collect()
    }

    #[test]
    fn room_is_bounded_and_given_back() {
        let room = QueueRoom::new(1_000);
        let first = admit(&room, "a", &"x".repeat(5_000)).expect("one publish always has room");
        assert!(admit(&room, "b", "x").is_none());
        drop(first);
        assert!(admit(&room, "b", "x").is_some());
        assert_eq!(room.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_batch_is_bounded_and_keeps_the_order() {
        let room = QueueRoom::new(u64::MAX);
        let mut queue = PublishQueue::default();
        for number in 0..1_500 {
            queue.push(admit(&room, &format!("c{number}"), "x").unwrap());
        }
        let batch = queue.take_batch(|_| true);
        assert_eq!((batch.len(), names(&batch)[0], names(&batch)[999]), (1_000, "c0", "c999"));
        queue.put_back(batch.into_iter());
        assert_eq!(names(&queue.take_batch(|_| true))[0], "c0");
        let large = "x".repeat(700_000);
        let mut queue = PublishQueue::default();
        for name in ["a", "b", "c"] {
            queue.push(admit(&room, name, &large).unwrap());
        }
        assert_eq!(names(&queue.take_batch(|_| true)), ["a", "b"]);
    }

    #[test]
    fn what_may_not_be_written_yet_keeps_its_place() {
        let room = QueueRoom::new(u64::MAX);
        let mut queue = PublishQueue::default();
        for name in ["a", "b", "a", "c"] {
            queue.push(admit(&room, name, "x").unwrap());
        }
        let b = Partition::of(&ChannelName::parse("b").unwrap());
        assert_eq!(names(&queue.take_batch(|partition| partition != b)), ["a", "a", "c"]);
        assert_eq!(names(&queue.take_batch(|_| true)), ["b"]);
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_publish_is_late_after_its_deadline() {
        let room = QueueRoom::new(u64::MAX);
        let mut queue = PublishQueue::default();
        queue.push(admit(&room, "a", "x").unwrap());
        tokio::time::advance(ANSWER / 2).await;
        queue.push(admit(&room, "b", "x").unwrap());
        assert!(queue.take_late(Instant::now()).is_empty());
        tokio::time::advance(ANSWER / 2).await;
        assert_eq!(names(&queue.take_late(Instant::now())), ["a"]);
        assert_eq!(names(&queue.take_batch(|_| true)), ["b"]);
    }
}
