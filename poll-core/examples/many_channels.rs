//! What a start costs with very many channels: processor time and memory, after a clean stop and after a crash.
//!
//! `cargo run --release -p poll-core --features disk --example many_channels -- [channels] [messages each]`

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use poll_core::environment::{Directory, Environment};
use poll_core::journal::disk::{DiskJournal, Options, Progress};
use poll_core::{ChannelName, Limit, Payload, Position, Publish, Retention, Store, Timestamp};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const NOON: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn main() -> Outcome<()> {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse::<usize>());
    let channels = numbers.next().transpose()?.unwrap_or(100_000);
    let each = numbers.next().transpose()?.unwrap_or(10);
    let place = Path::new("target").join("many-channels");
    let _ = std::fs::remove_dir_all(&place);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        fill(&place, channels, each).await?;
        let file = std::fs::metadata(Directory::new(&place).file())?.len();
        println!("{channels} channels with {each} messages each: a file of {} MB", file >> 20);
        let store = start(&place, "after a clean stop").await?;
        let begun = Instant::now();
        for number in 0..1_000 {
            let name = name(number * (channels / 1_000).max(1))?;
            let pinned = store.pin(NOON, &name, Position::Start).await?;
            store.read(NOON, &name, &pinned, Limit::default()).await?;
        }
        println!("1000 channels read for the first time: {:?}, {} MB resident", begun.elapsed(), resident()?);
        // The next one finds the file as a kill would leave it.
        store.publish(NOON, &name(0)?, Publish::one(Payload::text("x"))).await?;
        let copy = place.join("copy");
        std::fs::create_dir(&copy)?;
        std::fs::copy(Directory::new(&place).file(), Directory::new(&copy).file())?;
        store.shut_down().await?;
        start(&copy, "after a crash").await?.shut_down().await?;
        Outcome::Ok(())
    })?;
    std::fs::remove_dir_all(&place)?;
    Ok(())
}

async fn fill(place: &Path, channels: usize, each: usize) -> Outcome<()> {
    let journal =
        DiskJournal::open(&Environment::system(), Directory::new(place), Options::default(), |_| {}).await?;
    let store = Store::new(Arc::new(journal), Retention { bytes: 0, ..Retention::default() });
    let mut publishers = Vec::new();
    for publisher in 0..1_000 {
        let store = store.clone();
        publishers.push(tokio::spawn(async move {
            for number in (publisher..channels).step_by(1_000) {
                let publish = Publish::many(vec![Payload::text("x".repeat(100)); each]);
                store.publish(NOON, &name(number)?, publish).await?;
            }
            Outcome::Ok(())
        }));
    }
    for publisher in publishers {
        publisher.await??;
    }
    Ok(store.shut_down().await?)
}

async fn start(place: &Path, when: &str) -> Outcome<Store> {
    let (begun, used) = (Instant::now(), processor()?);
    let repaired = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = repaired.clone();
    let journal = DiskJournal::open(
        &Environment::system(),
        Directory::new(place),
        Options::default(),
        move |progress| {
            if matches!(progress, Progress::Repairing(_)) {
                seen.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        },
    )
    .await?;
    let store = Store::new(Arc::new(journal), Retention { bytes: 0, ..Retention::default() });
    println!(
        "start {when}: {:?}, {:?} of processor, {} MB resident, repaired: {}",
        begun.elapsed(),
        processor()? - used,
        resident()?,
        repaired.load(std::sync::atomic::Ordering::Relaxed)
    );
    Ok(store)
}

fn name(number: usize) -> Outcome<ChannelName> {
    Ok(ChannelName::parse(&format!("channel-{number}"))?)
}

/// Processor time of this process so far, to a hundredth of a second.
fn processor() -> Outcome<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let ticks = stat.split_whitespace().skip(13).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}

/// Resident memory in megabytes.
fn resident() -> Outcome<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    Ok((statm.split_whitespace().nth(1).unwrap_or("0").parse::<u64>()? * 4_096) >> 20)
}
