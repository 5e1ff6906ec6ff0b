//! How fast acknowledged publishes are kept, beside what the database and the disk themselves do.
//!
//! Closed-loop publishers share commits; then redb alone commits as many rows at once, and a plain file is
//! appended to and synced as often. All in one run, for disks differ from hour to hour.
//!
//! `cargo run --release -p poll-core --features disk --example commit_rate -- [publishers] [seconds] [channels]`

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use poll_core::environment::{Directory, Environment};
use poll_core::journal::disk::{DiskJournal, Options};
use poll_core::{ChannelName, Payload, Publish, Retention, Store, Timestamp};

const PAYLOAD: usize = 200;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse::<usize>());
    let publishers = numbers.next().transpose()?.unwrap_or(64);
    let seconds = numbers.next().transpose()?.unwrap_or(5);
    let channels = numbers.next().transpose()?.unwrap_or(publishers);
    let length = Duration::from_secs(seconds as u64);
    let place = Path::new("target").join("commit-rate");
    for round in 1..=3 {
        let _ = std::fs::remove_dir_all(&place);
        let (poll, batch) = journal(&place, publishers, channels, length)?;
        let rows = (batch.round() as usize).max(1);
        let redb = database(&place.join("plain.redb"), rows, channels, length)?;
        let raw = file(&place.join("plain.log"), rows, length)?;
        println!(
            "round {round}: {publishers} publishers, {channels} channels: {poll:.0} publishes/s, mean batch {batch:.1}; \
             redb alone at {rows} a commit: {redb:.0}/s (ratio {:.2}); append and fdatasync: {raw:.0}/s",
            poll / redb
        );
    }
    std::fs::remove_dir_all(&place)?;
    Ok(())
}

/// Publishes a second, and how many shared a commit.
fn journal(place: &Path, publishers: usize, channels: usize, length: Duration) -> Outcome<(f64, f64)> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let environment = Environment::system();
    let journal = DiskJournal::open(&environment, Directory::new(place), Options::default(), |_| {});
    let journal = runtime.block_on(journal)?;
    let store = Store::new(Arc::new(journal.clone()), Retention::default());
    let begun = Instant::now();
    let count = runtime.block_on(async {
        let publisher = |number: usize| {
            let store = store.clone();
            async move {
                let name = ChannelName::parse(&format!("channel-{}", number % channels))?;
                let payload = Payload::text("x".repeat(PAYLOAD));
                let mut count = 0u64;
                while begun.elapsed() < length {
                    let now = Timestamp::of(SystemTime::now());
                    store.publish(now, &name, Publish::one(payload.clone())).await?;
                    count += 1;
                }
                Outcome::Ok(count)
            }
        };
        let tasks: Vec<_> = (0..publishers).map(|number| tokio::spawn(publisher(number))).collect();
        let mut count = 0;
        for task in tasks {
            count += task.await??;
        }
        let rate = count as f64 / begun.elapsed().as_secs_f64();
        store.shut_down().await?;
        Outcome::Ok(rate)
    })?;
    let figures = journal.figures();
    Ok((count, figures.publishes as f64 / figures.commits as f64))
}

/// Rows a second that redb keeps, `batch` a commit, spread as the journal spreads them.
fn database(file: &Path, batch: usize, channels: usize, length: Duration) -> Outcome<f64> {
    const TABLE: redb::TableDefinition<'_, (u64, u64), &[u8]> = redb::TableDefinition::new("rows");
    let database = redb::Database::create(file)?;
    let row = [7u8; PAYLOAD + 25];
    let (begun, mut count) = (Instant::now(), 0u64);
    while begun.elapsed() < length {
        let txn = database.begin_write()?;
        {
            let mut table = txn.open_table(TABLE)?;
            for _ in 0..batch {
                table.insert((count % channels as u64, count / channels as u64), row.as_slice())?;
                count += 1;
            }
        }
        txn.commit()?;
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

/// Rows a second that a file takes, `batch` a sync.
fn file(file: &Path, batch: usize, length: Duration) -> Outcome<f64> {
    let mut file = std::fs::File::create(file)?;
    let rows = vec![7u8; (PAYLOAD + 25) * batch];
    let (begun, mut syncs) = (Instant::now(), 0u64);
    while begun.elapsed() < length {
        file.write_all(&rows)?;
        file.sync_data()?;
        syncs += 1;
    }
    Ok((syncs * batch as u64) as f64 / begun.elapsed().as_secs_f64())
}
