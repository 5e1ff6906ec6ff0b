//! Forks on disk: what a read of one costs, and that nothing of them is left.

use std::time::Duration;

use poll_core::journal::Tail;
use poll_core::journal::disk::{Durability, Options};
use poll_core::life::{Bounds, ContentType, Create, Deleted, ForkPoint};
use poll_core::{Ending, Kind, Payload, Position};

use crate::backups::lines;
use crate::fake::FakeDisk;
use crate::fixture::{Disk, NOON, name, open, second, unbounded};

/// Every page that is read is read from the disk, and little of a channel when it is loaded.
fn uncached() -> Options {
    Options { cache_bytes: 0, tail: Tail { bytes: 1 << 15, ..Tail::default() }, ..Options::default() }
}

pub(crate) fn stream(text: &str, source: Option<&str>) -> Create {
    let origin = source.map(|source| ForkPoint { source: name(source), after: None, further: 0 });
    Create {
        content_type: Some(ContentType::parse("text/plain").unwrap()),
        lifetime: None,
        bounds: Bounds::UNLIMITED,
        payloads: [Payload::text(text.to_owned())].into_iter().collect(),
        ending: Ending::Open,
        origin,
    }
}

/// Does something for each of so many numbers, a hundred side by side.
async fn each<F: Future<Output = ()> + Send + 'static>(
    count: usize,
    act: impl Fn(usize) -> F + Clone + Send + Sync + 'static,
) {
    let mut acts = tokio::task::JoinSet::new();
    for first in 0..count.min(100) {
        let act = act.clone();
        acts.spawn(async move {
            for number in (first..count).step_by(100) {
                act(number).await;
            }
        });
    }
    acts.join_all().await;
}

/// A channel `a` with so many forks, a message in each.
async fn fan(disk: &FakeDisk, forks: usize) {
    let open = open(disk.port(), unbounded(), Options::default()).await;
    open.store.create(NOON, &name("a"), stream("x", None)).await.unwrap();
    let store = open.store.clone();
    each(forks, move |number| {
        let store = store.clone();
        async move {
            let fork = name(&format!("fork {number}"));
            store.create(NOON, &fork, stream("y", Some("a"))).await.unwrap();
        }
    })
    .await;
    open.close().await;
}

/// A channel `0`, and a chain of so many forks, a message in each.
async fn chain(disk: &FakeDisk, depth: usize) {
    let open = open(disk.port(), unbounded(), Options::default()).await;
    open.store.create(NOON, &name("0"), stream("x", None)).await.unwrap();
    for at in 1..=depth {
        let create = stream("y", Some(&(at - 1).to_string()));
        open.store.create(NOON, &name(&at.to_string()), create).await.unwrap();
    }
    open.close().await;
}

/// How often the disk is read for the first read of a channel, and how many messages that gives.
async fn first_read(disk: &FakeDisk, channel: &str) -> (u64, usize) {
    let open = open(disk.port(), unbounded(), uncached()).await;
    let before = disk.counts().reads;
    let view = open.read(NOON, channel, Position::Start).await;
    let read = disk.counts().reads - before;
    open.close().await;
    (read, view.batch.unwrap().messages().len())
}

/// Nothing is in memory, on the account, or in the file.
async fn is_empty(disk: &FakeDisk, open: Disk) {
    let memory = open.store.memory();
    let charged: u64 = Kind::ALL.iter().map(|kind| memory.used(*kind)).sum();
    assert_eq!((open.store.channels(), open.store.weight(), charged), (0, 0, 0));
    let store = open.store.clone();
    open.close().await;
    assert_eq!((lines(disk), disk.segments().len()), (Vec::new(), 1));
    drop(store);
}

#[tokio::test]
async fn a_fork_is_read_at_the_same_cost_however_many_there_are() {
    let (few, many) = (FakeDisk::default(), FakeDisk::default());
    fan(&few, 10).await;
    fan(&many, 1_000).await;
    let (read, given) = first_read(&few, "fork 7").await;
    assert_eq!(given, 2);
    let (read_of_many, given) = first_read(&many, "fork 7").await;
    // The trees are higher.
    assert!(given == 2 && read_of_many <= 3 * read, "{read_of_many} reads instead of {read}");

    let open = open(many.port(), unbounded(), Options::default()).await;
    assert_eq!(open.store.delete(NOON, &name("a")).await, Ok(Deleted::Hidden));
    let store = open.store.clone();
    each(1_000, move |number| {
        let store = store.clone();
        async move {
            let gone = store.delete(NOON, &name(&format!("fork {number}"))).await;
            assert_eq!(gone, Ok(Deleted::Gone));
        }
    })
    .await;
    is_empty(&many, open).await;
}

#[tokio::test]
async fn an_ancestor_is_read_at_the_same_cost_however_many_there_are() {
    let (short, long) = (FakeDisk::default(), FakeDisk::default());
    chain(&short, 10).await;
    chain(&long, 300).await;
    let (read, given) = first_read(&short, "10").await;
    assert_eq!(given, 11);
    let (read_of_long, given) = first_read(&long, "300").await;
    let (each, of_long) = (read / 11, read_of_long / 301);
    assert!(given == 301 && of_long <= 3 * each, "{of_long} reads an ancestor instead of {each}");

    // Little is in memory.
    let options = Options { tail: Tail { channels: 10, ..Tail::default() }, ..Options::default() };
    let open = open(long.port(), unbounded(), options).await;
    for at in (0..300).rev() {
        assert_eq!(open.store.delete(NOON, &name(&at.to_string())).await, Ok(Deleted::Hidden));
    }
    assert_eq!(open.store.delete(NOON, &name("300")).await, Ok(Deleted::Gone));
    is_empty(&long, open).await;
}

/// What an ancestor went on with is not read for its forks.
#[tokio::test]
async fn only_what_is_shared_is_read() {
    let disk = FakeDisk::default();
    let first = open(disk.port(), unbounded(), Options::default()).await;
    first.store.create(NOON, &name("a"), stream("x", None)).await.unwrap();
    first.store.create(NOON, &name("b"), stream("y", Some("a"))).await.unwrap();
    first.close().await;
    let (short, _) = first_read(&disk, "b").await;
    let again = open(disk.port(), unbounded(), Options::default()).await;
    for _ in 0..500 {
        again.send(NOON, "a", &"z".repeat(2_000)).await;
    }
    again.close().await;
    let (long, given) = first_read(&disk, "b").await;
    assert!(given == 2 && long <= 4 * short, "{long} reads instead of {short}");
}

/// After a crash that may have lost what was confirmed, every channel begins a new epoch.
#[tokio::test]
async fn a_fork_has_what_it_shares_with_its_source_after_a_new_epoch() {
    let disk = FakeDisk::default();
    let durability = Durability::Interval(Duration::from_millis(1));
    let options = Options { durability, ..Options::default() };
    let opened = open(disk.port(), unbounded(), options).await;
    opened.store.create(NOON, &name("a"), stream("shared", None)).await.unwrap();
    opened.store.create(NOON, &name("b"), stream("own", Some("a"))).await.unwrap();
    let whole = [(1, "shared".to_owned()), (2, "own".to_owned())];
    assert_eq!(opened.all(NOON, "b").await, whole);
    // A channel leaves memory once all of it is stored.
    while opened.store.channels_in_memory() > 0 {
        opened.store.sweep(second(3_600), usize::MAX);
        tokio::task::yield_now().await;
    }
    disk.crash(|_| true);
    let again = open(disk.port(), unbounded(), options).await;
    assert_eq!(again.all(NOON, "a").await, whole[..1]);
    assert_eq!(again.all(NOON, "b").await, whole);
    // What the source goes on with is its own.
    again.send(NOON, "a", "other").await;
    assert_eq!(again.all(NOON, "b").await, whole);
    assert_eq!(again.store.delete(NOON, &name("a")).await.unwrap(), Deleted::Hidden);
    assert_eq!(again.all(NOON, "b").await, whole);
}

/// After a crash the log is moved to the database: with it, which forks it made and which it removed.
#[tokio::test]
async fn forks_that_only_the_log_has_outlive_a_crash() {
    let disk = FakeDisk::default();
    let first = open(disk.port(), unbounded(), Options::default()).await;
    first.store.create(NOON, &name("a"), stream("x", None)).await.unwrap();
    first.store.create(NOON, &name("b"), stream("x", None)).await.unwrap();
    first.store.create(NOON, &name("fork of b"), stream("y", Some("b"))).await.unwrap();
    first.settle().await.unwrap();
    first.store.create(NOON, &name("fork of a"), stream("y", Some("a"))).await.unwrap();
    assert_eq!(first.store.delete(NOON, &name("fork of b")).await, Ok(Deleted::Gone));
    disk.crash(|_| false);

    let again = open(disk.port(), unbounded(), Options::default()).await;
    assert_eq!(again.store.delete(NOON, &name("a")).await, Ok(Deleted::Hidden), "it has a fork");
    assert_eq!(again.all(NOON, "fork of a").await.len(), 2);
    assert_eq!(again.store.delete(NOON, &name("b")).await, Ok(Deleted::Gone), "its fork was removed");
    again.close().await;
}
