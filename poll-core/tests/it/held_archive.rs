//! An archive that answers when the test says so, and shows publishes before they are kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use poll_core::journal::{
    Archive, Damage, Health, KeptKey, Landmark, Loaded, Located, Mint, Piece, Reply, SoleArchive, Stretch,
    Tail, Taken, WriteBehind,
};
use poll_core::life::{Producer, ProducerId};
use poll_core::{Append, ChannelName, Epoch, Journal, Message, Retention, Store, Timestamp};
use tokio::sync::watch;

#[derive(Default)]
pub(crate) struct HeldArchive {
    pub(crate) loads: Mutex<VecDeque<Reply<Option<Loaded>>>>,
    pub(crate) reads: Mutex<VecDeque<(Stretch, Reply<Option<Piece>>)>>,
    pub(crate) locates: Mutex<VecDeque<(Landmark, Reply<Option<Located>>)>>,
    pub(crate) keys: Mutex<VecDeque<Reply<Vec<KeptKey>>>>,
    pub(crate) kept: Mutex<Vec<Arc<Message>>>,
    shown: Mutex<VecDeque<WriteBehind>>,
    pub(crate) health: watch::Sender<Health>,
    damage: watch::Sender<Damage>,
}

impl HeldArchive {
    pub(crate) fn store(retention: Retention) -> (Arc<Self>, Store) {
        let archive = Arc::new(Self::default());
        (archive.clone(), Store::new(archive, retention))
    }

    /// Keeps everything that was shown.
    pub(crate) fn keep(&self) {
        self.shown.lock().unwrap().drain(..).for_each(WriteBehind::kept);
    }

    pub(crate) fn answer_load(&self, loaded: Option<Loaded>) {
        let reply = self.loads.lock().unwrap().pop_front().expect("a load");
        reply(Ok(loaded));
    }
}

impl Journal for HeldArchive {
    fn append(&self, append: Append, mint: &mut Mint<'_>) -> Taken {
        let append = mint.mint(append);
        self.shown.lock().unwrap().push_back(append.write_behind());
        self.kept.lock().unwrap().extend(append.messages().iter().cloned());
        Taken::Kept(append)
    }

    fn archive(self: Arc<Self>) -> Option<Arc<dyn SoleArchive>> {
        Some(self)
    }
}

impl Archive for HeldArchive {
    fn load(&self, _: &ChannelName, _: Timestamp, reply: Reply<Option<Loaded>>) {
        self.loads.lock().unwrap().push_back(reply);
    }

    fn read(&self, stretch: Stretch, reply: Reply<Option<Piece>>) {
        self.reads.lock().unwrap().push_back((stretch, reply));
    }

    fn locate(&self, _: &ChannelName, _: Epoch, landmark: Landmark, reply: Reply<Option<Located>>) {
        self.locates.lock().unwrap().push_back((landmark, reply));
    }

    fn sweep(&self, _: Timestamp) {}

    fn channels(&self) -> u64 {
        0
    }

    /// Room for the newest message, and hardly another.
    fn tail(&self) -> Tail {
        Tail { bytes: 200, channels: 10, idle: Duration::from_secs(60) }
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    fn damage(&self) -> watch::Receiver<Damage> {
        self.damage.subscribe()
    }

    fn close(&self, reply: Reply<()>) {
        reply(Ok(()));
    }
}

impl SoleArchive for HeldArchive {
    fn has_forks(&self, _: &ChannelName, reply: Reply<bool>) {
        reply(Ok(false));
    }

    fn lapsed(&self, _: Timestamp, reply: Reply<Vec<ChannelName>>) {
        reply(Ok(Vec::new()));
    }

    fn producers(&self, _: &ChannelName, reply: Reply<Vec<(ProducerId, Producer)>>) {
        reply(Ok(Vec::new()));
    }

    fn keys(&self, _: &ChannelName, _: Timestamp, reply: Reply<Vec<KeptKey>>) {
        self.keys.lock().unwrap().push_back(reply);
    }

    fn admit(&self, _: u64) -> bool {
        true
    }

    fn dismiss(&self) {}

    fn make_room(&self, _: Timestamp, reply: Reply<bool>) {
        reply(Ok(false));
    }
}
