//! Channels are listed wherever they are: in the log, in the database, in both, and in memory or not.

use std::time::Duration;

use poll_core::journal::disk::Options;
use poll_core::life::{Bounds, Create, ForkPoint, Lifetime};
use poll_core::{Ending, Payload, Publish, Selection};

use crate::fake::FakeDisk;
use crate::fixture::{Disk, NOON, name, open, second, unbounded};

/// Name, oldest, newest and weight.
async fn listed(disk: &Disk, second_of: u64) -> Vec<(String, u64, u64, u64)> {
    let selection = Selection { prefix: None, after: None, limit: 100 };
    let page = disk.store.list(second(second_of), selection).await.unwrap();
    assert_eq!(page.next, None);
    let channels = page.channels.into_iter().map(|listed| {
        let (oldest, newest) = (listed.description.oldest.get(), listed.description.newest.get());
        (listed.channel.to_string(), oldest, newest, listed.bytes)
    });
    channels.collect()
}

fn row(name: &str, oldest: u64, newest: u64, bytes: u64) -> (String, u64, u64, u64) {
    (name.to_owned(), oldest, newest, bytes)
}

#[tokio::test]
async fn a_channel_is_listed_once_wherever_its_messages_are() {
    let platter = FakeDisk::default();
    let disk = open(platter.port(), unbounded(), Options::default()).await;
    for (channel, texts) in [("database", &["one", "two"][..]), ("both", &["one"]), ("gone", &["one"])] {
        for text in texts {
            disk.send(NOON, channel, text).await;
        }
    }
    disk.settle().await.unwrap();
    disk.send(NOON, "both", "three").await;
    disk.send(NOON, "log", "one").await;
    disk.store.purge(NOON, &name("database")).await.unwrap();
    disk.store.delete(NOON, &name("gone")).await.unwrap();
    let expected = [row("both", 1, 2, 264), row("database", 3, 2, 0), row("log", 1, 1, 131)];
    assert_eq!(listed(&disk, 1).await, expected);
    disk.close().await;
    let disk = open(platter.port(), unbounded(), Options::default()).await;
    assert_eq!(disk.store.channels_in_memory(), 0);
    assert_eq!(listed(&disk, 1).await, expected);
    assert_eq!(disk.store.channels_in_memory(), 0, "a listing loads nothing");
    disk.close().await;
}

#[tokio::test]
async fn neither_what_is_over_nor_what_is_hidden_is_listed() {
    let disk = open(FakeDisk::default().port(), unbounded(), Options::default()).await;
    let create = |lifetime, origin| Create {
        content_type: None,
        lifetime,
        bounds: Bounds::UNLIMITED,
        payloads: [].into_iter().collect(),
        ending: Ending::Open,
        origin,
    };
    let brief = create(Some(Lifetime::Sliding(Duration::from_secs(5))), None);
    disk.store.create(second(0), &name("brief"), brief).await.unwrap();
    disk.store.create(second(0), &name("endless"), create(None, None)).await.unwrap();
    disk.send(second(0), "source", "one").await;
    let fork = ForkPoint { source: name("source"), after: None, further: 0 };
    disk.store.create(second(0), &name("fork"), create(None, Some(fork))).await.unwrap();
    disk.store.delete(second(0), &name("source")).await.unwrap();
    let names = |rows: Vec<(String, u64, u64, u64)>| rows.into_iter().map(|row| row.0).collect::<Vec<_>>();
    assert_eq!(names(listed(&disk, 1).await), ["brief", "endless", "fork"]);
    disk.settle().await.unwrap();
    assert_eq!(names(listed(&disk, 60).await), ["endless", "fork"]);
    disk.close().await;
}

#[tokio::test]
async fn the_weight_of_many_messages_is_reckoned_from_the_newest() {
    let disk = open(FakeDisk::default().port(), unbounded(), Options::default()).await;
    for _ in 0..3 {
        let lines = (0..1_000).map(|_| Payload::text("twelve bytes")).collect();
        let publish = Publish { payloads: lines, key: None, ending: Ending::Open };
        disk.store.publish(NOON, &name("many"), publish).await.unwrap();
        disk.settle().await.unwrap();
    }
    assert_eq!(listed(&disk, 1).await, [row("many", 1, 3_000, 3_000 * 140)]);
    disk.close().await;
}
