//! While the journal cannot be used, its health says so and why, nothing spins, and no new file is started.

use std::io;
use std::ops::Bound;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use poll_core::environment::{Directory, Environment, Location};
use poll_core::journal::disk::{DiskJournal, Durability, Options};
use poll_core::journal::{
    Archive, Damage, FaultKind, Health, KeptKey, Landmark, Loaded, Located, Mint, Piece, Reply, SoleArchive,
    Stretch, Tail, Taken,
};
use poll_core::life::{Bounds, Create, Deleted, ForkPoint, Producer, ProducerId};
use poll_core::{
    Append, ChannelName, Ending, Epoch, Journal, JournalError, Payload, Position, Publish, Store, Timestamp,
};
use redb::{BackendError, StorageBackend};

use crate::fake::{FakeDisk, Fault};
use crate::fixture::{Disk, NOON, is_unavailable, is_unknown, name, open, second, unbounded};

/// Waits until the journal's health is this kind of fault.
async fn falls_ill(store: &Disk, kind: FaultKind) -> Health {
    let mut health = store.journal.health();
    let is = |health: &Health| health.fault().is_some_and(|fault| fault.kind == kind);
    health.wait_for(is).await.unwrap().clone()
}

type Hook = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// A directory in which something happens behind the next sync, such as that it is told to have failed.
#[derive(Clone)]
struct Eventful {
    directory: Arc<Directory>,
    event: Arc<Mutex<Option<Hook>>>,
}

struct EventfulFile(Box<dyn StorageBackend>, Arc<Mutex<Option<Hook>>>);

impl Eventful {
    fn new(directory: Directory) -> Self {
        Self { directory: Arc::new(directory), event: Arc::default() }
    }

    fn at_next_sync(&self, event: impl FnOnce() -> io::Result<()> + Send + 'static) {
        *self.event.lock().unwrap() = Some(Box::new(event));
    }

    fn wrap(&self, file: Box<dyn StorageBackend>) -> Box<dyn StorageBackend> {
        Box::new(EventfulFile(file, self.event.clone()))
    }
}

impl std::fmt::Debug for Eventful {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.directory.fmt(f)
    }
}

impl std::fmt::Debug for EventfulFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Location for Eventful {
    fn name(&self) -> String {
        self.directory.name()
    }

    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        self.directory.open().map(|file| self.wrap(file))
    }

    fn reopen(&self) -> io::Result<Box<dyn StorageBackend>> {
        self.directory.reopen().map(|file| self.wrap(file))
    }

    fn verify(&self) -> io::Result<()> {
        self.directory.verify()
    }

    fn release(&self) {
        self.directory.release();
    }

    fn segments(&self) -> io::Result<Vec<u64>> {
        self.directory.segments()
    }

    fn open_segment(&self, number: u64) -> io::Result<Box<dyn StorageBackend>> {
        self.directory.open_segment(number).map(|file| self.wrap(file))
    }

    fn remove_segment(&self, number: u64) -> io::Result<()> {
        self.directory.remove_segment(number)
    }

    fn note_panic(&self, message: &str) -> io::Result<()> {
        self.directory.note_panic(message)
    }

    fn noted_panic(&self) -> io::Result<Option<String>> {
        self.directory.noted_panic()
    }
}

impl StorageBackend for EventfulFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()?;
        let event = self.1.lock().unwrap().take();
        event.map_or(Ok(()), |event| event())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }
}

#[tokio::test]
async fn a_journal_whose_file_is_gone_says_so_and_goes_on_when_it_is_back() {
    let root = tempfile::tempdir().unwrap();
    let (here, there) = (root.path().join("here"), root.path().join("there"));
    let location = Directory::new(&here);
    let (file, away) = (location.file().to_owned(), root.path().join("away"));
    let store = open(location.clone(), unbounded(), Options::default()).await;
    store.send(NOON, "a", "first").await;
    for (from, to) in [(&file, &away), (&here, &there)] {
        for found in ["looking", "publishing"] {
            std::fs::rename(from, to).unwrap();
            if found == "looking" {
                store.journal.verify();
            } else {
                assert!(is_unavailable(&store.try_send(NOON, "a", "refused").await));
            }
            let health = falls_ill(&store, FaultKind::Gone).await;
            assert!(health.check_readable().is_ok(), "what is open can be read: {health:?}");
            assert!(is_unavailable(&store.try_send(NOON, "new", "refused").await));
            assert!(!file.exists(), "nothing is made in its place");
            // Another file of that name is not the one.
            if from == &file {
                std::fs::write(&file, b"something else").unwrap();
                store.journal.verify();
                assert!(is_unavailable(&store.try_send(NOON, "new", "refused").await));
            }
            std::fs::rename(to, from).unwrap();
            store.until_writable().await;
            store.send(NOON, "a", found).await;
        }
    }
    let all = store.all(NOON, "a").await;
    assert_eq!(all.len(), 5);
    store.close().await;
    let again = open(location, unbounded(), Options::default()).await;
    assert_eq!(again.all(NOON, "a").await, all);
}

#[tokio::test]
async fn a_file_that_has_to_be_opened_again_and_is_gone_is_not_made_anew() {
    let root = tempfile::tempdir().unwrap();
    let location = Eventful::new(Directory::new(root.path().join("poll-data")));
    let (file, away) = (location.directory.file().to_owned(), root.path().join("away"));
    let tail = Tail { channels: 1, ..Tail::default() };
    let store = open(location.clone(), unbounded(), Options { tail, ..Options::default() }).await;
    store.send(NOON, "cold", "one").await;
    store.send(NOON, "warm", "one").await;
    let (from, to) = (file.clone(), away.clone());
    location.at_next_sync(move || {
        std::fs::rename(from, to)?;
        Err(io::Error::other("the sync failed"))
    });
    store.settle().await.unwrap_err();
    let health = falls_ill(&store, FaultKind::Gone).await;
    assert!(health.check_readable().is_err(), "there is nothing to read: {health:?}");
    assert!(store.load("cold").await.is_err(), "it is not told to be empty");
    assert!(is_unavailable(&store.try_send(NOON, "new", "refused").await));
    assert!(!file.exists(), "nothing is made in its place");
    for content in ["", "something else"] {
        std::fs::write(&file, content).unwrap();
        assert!(location.reopen().is_err(), "another file of that name is not the one");
        assert_eq!(std::fs::read(&file).unwrap(), content.as_bytes(), "it is left as it was");
    }
    std::fs::rename(&away, &file).unwrap();
    store.until_writable().await;
    assert_eq!(store.all(NOON, "warm").await.len(), 1);
    assert_eq!(store.all(NOON, "cold").await.len(), 1);
}

#[tokio::test]
async fn a_file_that_was_emptied_is_not_begun_anew() {
    let root = tempfile::tempdir().unwrap();
    let location = Eventful::new(Directory::new(root.path().join("poll-data")));
    let file = location.directory.file().to_owned();
    let store = open(location.clone(), unbounded(), Options::default()).await;
    store.send(NOON, "a", "one").await;
    let emptied = file.clone();
    location.at_next_sync(move || {
        std::fs::File::create(emptied)?;
        Err(io::Error::other("the sync failed"))
    });
    store.settle().await.unwrap_err();
    falls_ill(&store, FaultKind::Gone).await;
    assert_eq!(std::fs::metadata(&file).unwrap().len(), 0);
}

#[tokio::test]
async fn closing_ends_if_what_was_shown_can_never_be_kept() {
    let disk = FakeDisk::default();
    let durability = Durability::Interval(Duration::from_secs(3_600));
    let store = open(disk.port(), unbounded(), Options { durability, ..Options::default() }).await;
    store.send(NOON, "a", "shown").await;
    disk.cut_power();
    let closed = tokio::time::timeout(Duration::from_secs(60), store.store.shut_down()).await;
    assert!(matches!(closed, Ok(Err(JournalError::Unavailable(_)))), "{closed:?}");
}

#[tokio::test]
async fn a_second_server_is_refused_whatever_was_renamed() {
    let root = tempfile::tempdir().unwrap();
    let (here, there) = (root.path().join("here"), root.path().join("there"));
    let location = Directory::new(&here);
    let first = open(location.clone(), unbounded(), Options::default()).await;
    first.send(NOON, "a", "one").await;
    let in_use = async |directory: &std::path::Path| {
        let second =
            DiskJournal::open(&Environment::system(), Directory::new(directory), Options::default(), |_| {})
                .await;
        assert_eq!(second.unwrap_err().kind, FaultKind::InUse);
    };
    in_use(&here).await;
    // The file is renamed: its name is free, and its directory is not.
    let away = here.join("away");
    std::fs::rename(location.file(), &away).unwrap();
    in_use(&here).await;
    assert!(!location.file().exists(), "nothing is made in its place");
    // It lies in another directory: that is free, and the file is not.
    std::fs::create_dir(&there).unwrap();
    std::fs::rename(&away, Directory::new(&there).file()).unwrap();
    in_use(&there).await;
    std::fs::rename(Directory::new(&there).file(), location.file()).unwrap();
    std::fs::remove_dir(&there).unwrap();
    // The directory is renamed.
    std::fs::rename(&here, &there).unwrap();
    in_use(&there).await;
    std::fs::rename(&there, &here).unwrap();
    first.close().await;
    let next = open(Directory::new(&here), unbounded(), Options::default()).await;
    assert_eq!(next.all(NOON, "a").await.len(), 1);
}

#[tokio::test]
async fn what_was_shown_before_it_was_kept_is_kept_once_through_any_doubt() {
    for shut in 0..3 {
        let disk = FakeDisk::default();
        let durability = Durability::Interval(Duration::from_millis(1));
        let store = open(disk.port(), unbounded(), Options { durability, ..Options::default() }).await;
        let mut all = Vec::new();
        for number in 1..200 {
            if number % 16 == 0 {
                disk.fail(Fault::SyncDone(0, shut));
            }
            let text = format!("{number}");
            while store.try_send(NOON, "a", &text).await.is_err() {
                store.until_writable().await;
            }
            all.push((number, text));
            // Now and then a commit has begun, mostly.
            tokio::task::yield_now().await;
        }
        disk.heal();
        assert_eq!(store.all(NOON, "a").await, all);
        // A channel is unloaded once all of it is stored. A close before that, in the middle of a repair, reports that some of
        // it is not.
        while store.store.channels_in_memory() > 0 {
            store.store.sweep(second(3_600), usize::MAX);
            tokio::task::yield_now().await;
        }
        store.close().await;
        disk.crash(|_| false);
        let again = open(disk.port(), unbounded(), Options::default()).await;
        assert_eq!(again.all(NOON, "a").await, all, "{shut}");
    }
}

/// A journal that counts what it is asked to load.
struct Counted(DiskJournal, Arc<AtomicU64>);

impl Journal for Counted {
    fn append(&self, append: Append, mint: &mut Mint<'_>) -> Taken {
        self.0.append(append, mint)
    }

    fn archive(self: Arc<Self>) -> Option<Arc<dyn SoleArchive>> {
        Some(self)
    }
}

impl Archive for Counted {
    fn load(&self, channel: &ChannelName, now: Timestamp, reply: Reply<Option<Loaded>>) {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.load(channel, now, reply);
    }

    fn read(&self, stretch: Stretch, reply: Reply<Option<Piece>>) {
        self.0.read(stretch, reply);
    }

    fn locate(&self, channel: &ChannelName, epoch: Epoch, landmark: Landmark, reply: Reply<Option<Located>>) {
        self.0.locate(channel, epoch, landmark, reply);
    }

    fn sweep(&self, now: Timestamp) {
        self.0.sweep(now);
    }

    fn channels(&self) -> u64 {
        self.0.channels()
    }

    fn tail(&self) -> Tail {
        self.0.tail()
    }

    fn health(&self) -> tokio::sync::watch::Receiver<Health> {
        self.0.health()
    }

    fn damage(&self) -> tokio::sync::watch::Receiver<Damage> {
        self.0.damage()
    }

    fn close(&self, reply: Reply<()>) {
        self.0.close(reply);
    }
}

impl SoleArchive for Counted {
    fn has_forks(&self, channel: &ChannelName, reply: Reply<bool>) {
        self.0.has_forks(channel, reply);
    }

    fn lapsed(&self, now: Timestamp, reply: Reply<Vec<ChannelName>>) {
        self.0.lapsed(now, reply);
    }

    fn producers(&self, channel: &ChannelName, reply: Reply<Vec<(ProducerId, Producer)>>) {
        self.0.producers(channel, reply);
    }

    fn keys(&self, channel: &ChannelName, now: Timestamp, reply: Reply<Vec<KeptKey>>) {
        self.0.keys(channel, now, reply);
    }

    fn admit(&self, most: u64) -> bool {
        self.0.admit(most)
    }

    fn dismiss(&self) {
        self.0.dismiss();
    }

    fn make_room(&self, now: Timestamp, reply: Reply<bool>) {
        self.0.make_room(now, reply);
    }
}

#[tokio::test]
async fn a_read_while_the_file_is_away_waits_and_does_not_ask_again_and_again() {
    const READERS: u64 = 20;
    let disk = FakeDisk::default();
    let filled = open(disk.port(), unbounded(), Options::default()).await;
    for reader in 0..READERS {
        filled.send(NOON, &reader.to_string(), "one").await;
    }
    filled.close().await;
    let journal = DiskJournal::open(
        &Environment::system(),
        disk.port(),
        Options { cache_bytes: 0, ..Options::default() },
        |_| {},
    )
    .await;
    let (journal, loads) = (journal.unwrap(), Arc::new(AtomicU64::new(0)));
    let counted = Counted(journal.clone(), loads.clone());
    let store = Store::new(Arc::new(counted), unbounded());
    disk.gate().hold_after(0);
    disk.fail(Fault::Read(0));
    let readers = (0..READERS).map(|reader| {
        let store = store.clone();
        tokio::spawn(async move { store.pin(NOON, &name(&reader.to_string()), Position::Start).await })
    });
    let readers: Vec<_> = readers.collect();
    tokio::task::yield_now().await;
    // It is being opened again, for as long as that takes.
    disk.gate().wait_for_sync();
    for _ in 0..1_000 {
        let (reply, answer) = tokio::sync::oneshot::channel();
        journal.load(&name("0"), NOON, Box::new(move |loaded| reply.send(loaded.is_err()).unwrap()));
        assert!(answer.await.unwrap());
    }
    let asked = loads.load(Ordering::Relaxed);
    assert!(asked <= 2 * READERS, "{READERS} readers asked {asked} times");
    disk.gate().free();
    for reader in readers {
        reader.await.unwrap().unwrap();
    }
    assert!(loads.load(Ordering::Relaxed) <= 3 * READERS);
}

/// Does something once, where it is woken.
struct OnWake(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Wake for OnWake {
    fn wake(self: Arc<Self>) {
        let work = self.0.lock().unwrap().take();
        work.into_iter().for_each(|work| work());
    }
}

/// Polls a future until it is ready.
fn finish<F: Future + Unpin>(mut future: F) -> F::Output {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Poll::Ready(output) = Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
        assert!(Instant::now() < deadline, "it never ends");
        std::thread::yield_now();
    }
}

/// While publishes that waited for a slow commit are given back, one of them after the other, that commit ends; and another
/// publish comes behind the one that is given back last.
async fn give_back(disk: &FakeDisk, store: &Disk) {
    for channel in ["slow", "first", "second"] {
        drop(store.store.load(NOON, &name(channel)).await);
    }
    let publish = |channel: &'static str, text: &'static str| {
        let store = store.store.clone();
        let publish = Publish::one(Payload::text(text));
        Box::pin(async move { store.publish(NOON, &name(channel), publish).await })
    };
    let mut noop = Context::from_waker(Waker::noop());
    let (mut slow, mut first) = (publish("slow", "slow"), publish("first", "given back"));
    let mut second = publish("second", "given back");
    disk.gate().hold_after(0);
    assert!(slow.as_mut().poll(&mut noop).is_pending());
    disk.gate().wait_for_sync();
    let follower = publish("second", "behind");
    let (gate, health, outcome) = (disk.clone(), store.journal.health(), Arc::new(Mutex::new(None)));
    let told = outcome.clone();
    let given_back = move || {
        gate.gate().free();
        let deadline = Instant::now() + Duration::from_secs(60);
        while health.borrow().check_writable().is_err() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        *told.lock().unwrap() = Some(finish(follower));
    };
    let waker = Waker::from(Arc::new(OnWake(Mutex::new(Some(Box::new(given_back))))));
    assert!(first.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(second.as_mut().poll(&mut noop).is_pending());
    store.journal.verify();
    let behind = outcome.lock().unwrap().take().expect("the first was given back");
    assert!(is_unavailable(&behind), "{behind:?}");
    assert!(is_unavailable(&first.await) && is_unavailable(&second.await));
    assert!(is_unknown(&slow.await));
}

#[tokio::test]
async fn nothing_is_kept_behind_a_publish_that_is_being_given_back() {
    let disk = FakeDisk::default();
    let options = Options { stall: Duration::ZERO, ..Options::default() };
    let store = open(disk.port(), unbounded(), options).await;
    for channel in ["slow", "first", "second"] {
        store.send(NOON, channel, "before").await;
    }
    give_back(&disk, &store).await;
    store.send(NOON, "second", "after").await;
    (0..100).for_each(|_| store.store.sweep(second(120), 16));
    let there = [(1, "before".to_owned()), (2, "after".to_owned())];
    assert_eq!(store.all(NOON, "second").await, there);
    store.settle().await.unwrap();
    assert_eq!(store.all(NOON, "second").await, there);
}

#[tokio::test]
async fn nothing_is_kept_behind_what_is_given_back_of_a_channel_that_never_was_for_the_second_time() {
    let disk = FakeDisk::default();
    let options = Options { stall: Duration::ZERO, ..Options::default() };
    let store = open(disk.port(), unbounded(), options).await;
    for channel in ["slow", "first"] {
        store.send(NOON, channel, "before").await;
    }
    for _ in 0..2 {
        give_back(&disk, &store).await;
        store.until_writable().await;
        // It leaves memory, and begins in another epoch the next time.
        (0..100).for_each(|_| store.store.sweep(second(120), 16));
        assert_eq!(store.all(NOON, "second").await, []);
    }
}

/// The database's commit fails; then nothing does.
#[tokio::test]
async fn nothing_is_taken_while_a_segment_waits_for_a_database_that_failed() {
    let disk = FakeDisk::default();
    let store = open(disk.port(), unbounded(), Options::default()).await;
    store.send(NOON, "a", "one").await;
    disk.gate().hold_after(0);
    let journal = store.journal.clone();
    let settled = tokio::spawn(async move { journal.settle().await });
    tokio::task::yield_now().await;
    disk.gate().wait_for_sync();
    disk.fail(Fault::Sync(0));
    disk.gate().pass_one();
    while !settled.is_finished() {
        if disk.gate().is_waited_at() {
            let health = store.journal.health().borrow().clone();
            assert!(
                health.check_writable().is_err(),
                "it is not known yet whether the database can be written"
            );
            disk.gate().pass_one();
        }
        tokio::task::yield_now().await;
    }
    disk.gate().free();
    settled.await.unwrap().unwrap();
    store.until_writable().await;
    assert_eq!(store.all(NOON, "a").await, [(1, "one".to_owned())]);
}

#[tokio::test]
async fn what_is_deleted_or_forked_while_the_database_is_away_is_refused_and_does_not_wait() {
    let disk = FakeDisk::default();
    let before = open(disk.port(), unbounded(), Options::default()).await;
    before.send(NOON, "a", "one").await;
    before.send(NOON, "b", "one").await;
    before.close().await;
    let store = open(disk.port(), unbounded(), Options::default()).await;
    store.send(NOON, "b", "two").await;
    disk.fail(Fault::Sync(0));
    disk.fail(Fault::Shut(1_000_000));
    store.settle().await.unwrap_err();
    let soon = Duration::from_secs(60);
    let deleted = tokio::time::timeout(soon, store.store.delete(NOON, &name("a"))).await;
    assert!(is_unavailable(&deleted.expect("it waits for as long as the database is away")));
    let fork = |origin| Create {
        content_type: None,
        lifetime: None,
        bounds: Bounds::SERVER,
        payloads: Default::default(),
        ending: Ending::Open,
        origin: Some(ForkPoint { source: name(origin), after: None, further: 0 }),
    };
    let forked = tokio::time::timeout(soon, store.store.create(NOON, &name("c"), fork("a"))).await;
    forked.expect("it waits for as long as the database is away").unwrap_err();
    disk.heal();
    store.until_writable().await;
    assert_eq!(store.store.delete(NOON, &name("a")).await.unwrap(), Deleted::Gone);
    store.store.create(NOON, &name("c"), fork("b")).await.unwrap();
    assert_eq!(store.all(NOON, "c").await.len(), 2);
}
