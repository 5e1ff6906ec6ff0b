//! A log that several servers share, with waiters here and publishers elsewhere. The journal's own work is not modelled:
//! it answers at once, and what becomes visible through a load or through `Host::follow` is one step each.

use std::sync::{Arc, OnceLock};

use loom::sync::Mutex;
use loom::thread;
use poll_core::environment::Environment;
use poll_core::journal::{
    Archive, Damage, Health, Host, Landmark, Loaded, Located, Piece, PublishReply, Reply, Run, SharedJournal,
    SharedPublish, Stretch, Tail,
};
use poll_core::{
    ChannelName, Ending, Epoch, Lane, Limit, Memory, Message, Payload, Pinned, Position, Retention, Seq,
    Store, Timestamp, mint_id,
};
use tokio::sync::watch;

use crate::worker::run;
use crate::{channel, now};

const LIFE: Epoch = Epoch::new(7);

#[derive(Default)]
struct Elsewhere {
    host: OnceLock<Host>,
    health: watch::Sender<Health>,
    /// How many messages the log has.
    messages: Mutex<u64>,
}

fn message(number: u64) -> Arc<Message> {
    let at = now().after(std::time::Duration::from_micros(number));
    Arc::new(Message { seq: Seq::new(number), id: mint_id(at, number), at, payload: Payload::text("x") })
}

impl Elsewhere {
    fn store() -> (Arc<Self>, Store) {
        let journal = Arc::new(Self::default());
        let (environment, memory) = (Environment::seeded(1), Memory::default());
        let retention = Retention { age: std::time::Duration::ZERO, ..Retention::default() };
        (journal.clone(), Store::following(environment, journal, retention, memory))
    }

    /// Another server publishes, and this one is told.
    fn publish(&self) {
        let mut messages = self.messages.lock().unwrap();
        *messages += 1;
        let (after, messages) = (Seq::new(*messages - 1), [message(*messages)]);
        let run = Run { epoch: LIFE, after, messages: &messages, ending: Ending::Open };
        self.host.get().unwrap().follow(&channel(), &run);
    }

    /// What is in memory counts no longer.
    fn reset(&self) {
        let _messages = self.messages.lock().unwrap();
        self.host.get().unwrap().reset(&channel());
    }
}

impl SharedJournal for Elsewhere {
    fn publish(&self, _: &ChannelName, _: SharedPublish, _: PublishReply) {
        unreachable!("only others publish");
    }

    fn check(&self, _: &ChannelName, reply: Reply<()>) {
        reply(Ok(()));
    }

    fn refresh(&self, _: &ChannelName) {}

    fn seal(&self, _: &ChannelName, millis: u64, reply: Reply<u64>) {
        reply(Ok(millis));
    }

    fn attach(&self, host: Host) {
        assert!(self.host.set(host).is_ok());
    }
}

impl Archive for Elsewhere {
    fn load(&self, _: &ChannelName, _: Timestamp, reply: Reply<Option<Loaded>>) {
        let messages = self.messages.lock().unwrap();
        let tail: Vec<_> = (1..=*messages).map(message).collect();
        let newest = tail.last().map(|newest| (newest.seq, newest.at));
        let loaded = newest.map(|newest| Loaded {
            life: None,
            epoch: LIFE,
            oldest: (Seq::new(1), tail[0].at),
            newest,
            ended: false,
            tail,
            damaged: None,
        });
        reply(Ok(loaded));
    }

    fn read(&self, _: Stretch, reply: Reply<Option<Piece>>) {
        reply(Ok(None));
    }

    fn locate(&self, _: &ChannelName, _: Epoch, _: Landmark, reply: Reply<Option<Located>>) {
        reply(Ok(None));
    }

    fn sweep(&self, _: Timestamp) {}

    fn channels(&self) -> u64 {
        0
    }

    fn tail(&self) -> Tail {
        Tail::default()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    fn damage(&self) -> watch::Receiver<Damage> {
        watch::Sender::new(Damage::default()).subscribe()
    }

    fn close(&self, reply: Reply<()>) {
        reply(Ok(()));
    }
}

/// Reads until it has `messages`, waiting in between.
async fn read_until(store: Store, lane: Lane, messages: u64) {
    let mut pinned = store.pin(now(), &channel(), Position::Start).await.unwrap();
    let mut seen = Vec::new();
    while (seen.len() as u64) < messages {
        store.wait(&channel(), &pinned, &lane).await;
        let view = store.read(now(), &channel(), &pinned, Limit::default()).await.unwrap();
        seen.extend(view.batch.iter().flat_map(|batch| batch.messages()).map(|message| message.seq.get()));
        pinned = Pinned::after(view.next);
    }
    assert_eq!(seen, (1..=messages).collect::<Vec<_>>());
}

#[test]
fn what_is_followed_is_read_or_its_waiter_is_notified() {
    loom::model(|| {
        let (journal, store) = Elsewhere::store();
        let following = thread::spawn(move || (0..2).for_each(|_| journal.publish()));
        run(read_until(store.clone(), store.lane(), 2), vec![]);
        following.join().unwrap();
        assert_eq!(store.notifier().waiting(), 0);
    });
}

#[test]
fn no_waiter_stays_behind_when_its_channel_leaves_memory() {
    loom::model(|| {
        let (journal, store) = Elsewhere::store();
        let (unloading, lane) = (store.clone(), store.lane());
        let unloading = thread::spawn(move || {
            let later = now().after(Tail::default().idle * 2);
            // Every page of the directory.
            (0..66).for_each(|_| unloading.sweep(later, 1));
        });
        let following = thread::spawn(move || journal.publish());
        run(read_until(store.clone(), lane, 1), vec![]);
        unloading.join().unwrap();
        following.join().unwrap();
    });
}

#[test]
fn a_reset_loses_no_message_and_no_wake() {
    loom::model(|| {
        let (journal, store) = Elsewhere::store();
        let resetting = thread::spawn({
            let journal = journal.clone();
            move || journal.reset()
        });
        let following = thread::spawn(move || journal.publish());
        run(read_until(store.clone(), store.lane(), 1), vec![]);
        resetting.join().unwrap();
        following.join().unwrap();
    });
}
