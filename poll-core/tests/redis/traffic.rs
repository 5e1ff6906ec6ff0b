//! Publishers and readers on several servers while something happens to the log, and what they are entitled to.
//!
//! Every publisher sends texts that are sent once only. Every reader follows one channel on one server from its start, by
//! its cursor. Afterwards: all saw one order, no reader saw a text twice without a reset in between, and what was
//! acknowledged was seen by every reader that was not told of a reset.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use poll_core::{
    ChannelName, Continuity, Cursor, Epoch, JournalError, Limit, Payload, Pinned, Publish, PublishError, Seq,
    Store,
};
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

use super::nodes::{Node, PATIENCE, until};

/// A publisher is always answered by then.
const ANSWERED: Duration = Duration::from_secs(10);
const CHANNELS: usize = 3;
const PUBLISHERS: usize = 4;
const END: &str = "end";

/// What is going on.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    stores: Vec<Store>,
    publishers: Vec<JoinHandle<Vec<Sent>>>,
    readers: Vec<JoinHandle<Seen>>,
    /// How much each reader has seen, and each publisher was told to be kept.
    progress: Vec<Arc<AtomicU64>>,
}

/// What became of a text.
struct Sent {
    channel: usize,
    text: String,
    outcome: Told,
}

/// What a publisher was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Kept(Cursor),
    Unknown,
    Refused,
}

/// What a reader saw.
struct Seen {
    reader: String,
    channel: usize,
    messages: Vec<(Epoch, Seq, String)>,
    resets: usize,
}

/// What became of it all.
pub(crate) struct Report {
    sent: Vec<Sent>,
    seen: Vec<Seen>,
}

/// Whether Redis may have lost something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Losses {
    None,
    Told,
}

impl Traffic {
    pub(crate) fn start(nodes: &[Node]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stores: Vec<_> = nodes.iter().map(|node| node.store.clone()).collect();
        let (mut publishers, mut readers, mut progress) = (Vec::new(), Vec::new(), Vec::new());
        for (node, store) in stores.iter().enumerate() {
            for number in 0..PUBLISHERS {
                let kept = Arc::<AtomicU64>::default();
                progress.push(kept.clone());
                let publisher = format!("{node}/{number}");
                publishers.push(tokio::spawn(publish(
                    store.clone(),
                    publisher,
                    number % CHANNELS,
                    stop.clone(),
                    kept,
                )));
            }
            for channel in 0..CHANNELS {
                let seen = Arc::<AtomicU64>::default();
                progress.push(seen.clone());
                readers.push(tokio::spawn(read(store.clone(), format!("{node}"), channel, seen)));
            }
        }
        Self { stop, stores, publishers, readers, progress }
    }

    /// Waits until all readers have got on.
    pub(crate) async fn flows(&self) {
        let before: Vec<_> = self.progress.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        until("all readers get on", async || {
            self.progress
                .iter()
                .zip(&before)
                .all(|(count, before)| count.load(Ordering::Relaxed) > before + 5)
        })
        .await;
    }

    /// Stops publishing, and waits until every reader has seen everything.
    pub(crate) async fn end(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let mut sent = Vec::new();
        for publisher in self.publishers {
            sent.append(&mut timeout(PATIENCE, publisher).await.expect("publishers end").unwrap());
        }
        for channel in 0..CHANNELS {
            until("a last message", async || {
                let message = Publish::one(Payload::text(END));
                let store = &self.stores[channel % self.stores.len()];
                store.publish(store.environment().now(), &name(channel), message).await.is_ok()
            })
            .await;
        }
        let mut seen = Vec::new();
        for reader in self.readers {
            seen.push(timeout(PATIENCE, reader).await.expect("readers catch up").unwrap());
        }
        Report { sent, seen }
    }
}

fn name(channel: usize) -> ChannelName {
    ChannelName::parse(&format!("channel-{channel}")).unwrap()
}

async fn publish(
    store: Store,
    publisher: String,
    channel: usize,
    stop: Arc<AtomicBool>,
    kept: Arc<AtomicU64>,
) -> Vec<Sent> {
    let name = name(channel);
    let (mut sent, mut pace) = (Vec::new(), interval(Duration::from_millis(3)));
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let text = format!("{publisher}/{}", sent.len());
        let message = Publish::one(Payload::text(text.clone()));
        let publishing = store.publish(store.environment().now(), &name, message);
        let outcome = match timeout(ANSWERED, publishing).await.expect("a publisher is answered") {
            Ok(published) => Told::Kept(published.stamps[0].cursor),
            Err(PublishError::Journal(JournalError::OutcomeUnknown(_))) => Told::Unknown,
            Err(PublishError::Journal(_)) => Told::Refused,
            Err(error) => panic!("{error}"),
        };
        if let Told::Kept(_) = outcome {
            kept.fetch_add(1, Ordering::Relaxed);
        }
        sent.push(Sent { channel, text, outcome });
    }
    sent
}

async fn read(store: Store, reader: String, channel: usize, count: Arc<AtomicU64>) -> Seen {
    let (name, lane) = (name(channel), store.lane());
    let mut seen = Seen { reader, channel, messages: Vec::new(), resets: 0 };
    let mut pinned = Pinned::after(Cursor::ZERO);
    loop {
        let now = store.environment().now();
        // While the log is away a reader waits for it.
        let Ok(view) = store.read(now, &name, &pinned, Limit::default()).await else {
            let mut health = store.watch_health().unwrap();
            let _ = health.wait_for(|health| health.check_readable().is_ok()).await;
            continue;
        };
        if view.read_state.continuity == Continuity::Reset {
            seen.resets += 1;
        }
        let epoch = view.read_state.epoch;
        for message in view.batch.iter().flat_map(|batch| batch.messages()) {
            let text = String::from_utf8(message.payload.as_bytes().to_vec()).unwrap();
            if text == END {
                return seen;
            }
            seen.messages.push((epoch, message.seq, text));
            count.fetch_add(1, Ordering::Relaxed);
        }
        pinned = Pinned::after(view.next);
        store.wait(&name, &pinned, &lane).await;
    }
}

impl Report {
    /// Judges it. What was acknowledged counts as lost unless `losses` says that it may be and the reader was told.
    pub(crate) fn judge(&self, losses: Losses) {
        let mut order: BTreeMap<(usize, u64, Seq), &str> = BTreeMap::new();
        let mut check = |channel: usize, epoch: Epoch, seq: Seq, text| {
            let old = *order.entry((channel, epoch.get(), seq)).or_insert(text);
            assert_eq!(old, text, "two messages are number {seq} of channel {channel}");
        };
        for sent in &self.sent {
            if let Told::Kept(cursor) = sent.outcome {
                check(sent.channel, cursor.epoch, cursor.seq, &sent.text);
            }
        }
        for seen in &self.seen {
            let (reader, mut texts, mut within) = (&seen.reader, BTreeSet::new(), BTreeSet::new());
            for (epoch, seq, text) in &seen.messages {
                check(seen.channel, *epoch, *seq, text);
                // After a reset it begins anew with what is retained, under another epoch.
                let is_new = within.insert((epoch.get(), text.as_str()));
                assert!(is_new, "reader {reader} saw {text} twice");
                texts.insert(text.as_str());
            }
            let in_order = seen.messages.windows(2).all(|two| two[0].0 != two[1].0 || two[0].1 < two[1].1);
            assert!(in_order, "reader {reader} saw another order");
            assert!(losses == Losses::Told || seen.resets == 0, "reader {reader} was reset");
            for sent in self.sent.iter().filter(|sent| sent.channel == seen.channel) {
                let was_seen = texts.contains(sent.text.as_str());
                match sent.outcome {
                    Told::Kept(_) => {
                        assert!(was_seen || seen.resets > 0, "reader {reader} did not see {}", sent.text);
                    }
                    Told::Refused => assert!(!was_seen, "{} was refused, and {reader} saw it", sent.text),
                    Told::Unknown => {}
                }
            }
        }
    }

    /// How many publishers were told that their outcome is unknown.
    pub(crate) fn unknown(&self) -> usize {
        self.sent.iter().filter(|sent| sent.outcome == Told::Unknown).count()
    }

    /// How often readers were told of a reset.
    pub(crate) fn resets(&self) -> usize {
        self.seen.iter().map(|seen| seen.resets).sum()
    }
}
