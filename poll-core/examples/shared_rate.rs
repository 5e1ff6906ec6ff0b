//! What a publish costs a server in processor time: in Redis, beside the journal on disk, in the same run.
//!
//! Closed-loop publishers on one thread, as many as are asked for, each to a channel of its own or to shared ones. The time
//! is the whole process': publishers, store, journal. Redis is another process, and starts on a port that is free.
//!
//! `cargo run --release -p poll-core --features disk,redis --example shared_rate -- [publishers] [seconds] [channels] [read]`
//! With `read` every channel is in memory, as if it had readers.

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::error::Error;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use poll_core::environment::{Directory, Environment};
use poll_core::journal::disk::{DiskJournal, Options as DiskOptions};
use poll_core::journal::redis::{Options, RedisJournal};
use poll_core::{ChannelName, Memory, Payload, Position, Publish, Retention, Store, Timestamp};

const PAYLOAD: usize = 200;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Ends the process that it holds.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |at: usize, default: usize| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let publishers = number(0, 64);
    let length = Duration::from_secs(number(1, 5) as u64);
    let channels = number(2, publishers);
    let is_read = arguments.iter().any(|argument| argument == "read");
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let redis = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .stdout(Stdio::null())
        .spawn()?;
    let server = Server(redis);
    let place = Path::new("target").join("shared-rate");
    for round in 1..=3 {
        let _ = std::fs::remove_dir_all(&place);
        let disk = run(publishers, channels, length, is_read, async |environment| {
            let location = Directory::new(&place);
            let journal = DiskJournal::open(environment, location, DiskOptions::default(), |_| {}).await?;
            Ok(Store::new(Arc::new(journal), Retention::default()))
        })?;
        let before = processor_time(&server.0.id().to_string())?;
        let redis = run(publishers, channels, length, is_read, async |environment| {
            let url = format!("redis://127.0.0.1:{port}").parse()?;
            let journal = RedisJournal::connect(environment, url, Options::default()).await?;
            let environment = environment.with_clock(journal.clock());
            Ok(Store::following(environment, Arc::new(journal), Retention::default(), Memory::default()))
        })?;
        let theirs = processor_time(&server.0.id().to_string())? - before;
        println!(
            "round {round}: {publishers} publishers, {channels} channels: Redis {:.0}/s, {:.1} us a publish here and {:.1} us \
             there; disk {:.0}/s, {:.1} us; ratio {:.2}",
            redis.rate,
            redis.cost * 1e6,
            theirs / redis.count * 1e6,
            disk.rate,
            disk.cost * 1e6,
            redis.cost / disk.cost
        );
    }
    std::fs::remove_dir_all(&place)?;
    Ok(())
}

struct Figures {
    rate: f64,
    /// Seconds of processor time a publish.
    cost: f64,
    count: f64,
}

fn run(
    publishers: usize,
    channels: usize,
    length: Duration,
    is_read: bool,
    open: impl AsyncFnOnce(&Environment) -> Outcome<Store>,
) -> Outcome<Figures> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = open(&Environment::system()).await?;
        let name = |number: usize| ChannelName::parse(&format!("channel-{}", number % channels));
        for number in 0..channels {
            let now = Timestamp::of(SystemTime::now());
            store.publish(now, &name(number)?, Publish::one(Payload::text("first"))).await?;
            if is_read {
                store.pin(now, &name(number)?, Position::Start).await?;
            }
        }
        let (before, begun) = (processor_time("self")?, Instant::now());
        let publisher = |number: usize| {
            let (store, name) = (store.clone(), name(number));
            async move {
                let (name, payload) = (name?, Payload::text("x".repeat(PAYLOAD)));
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
        let (count, seconds) = (count as f64, begun.elapsed().as_secs_f64());
        let cost = (processor_time("self")? - before) / count;
        store.shut_down().await?;
        Ok(Figures { rate: count / seconds, cost, count })
    })
}

/// Seconds of processor time that a process has used, in steps of a hundredth.
fn processor_time(process: &str) -> Outcome<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The fields after the name, which is in parentheses: `utime` and `stime` are the 12th and 13th of them.
    let fields = stat.rsplit_once(") ").ok_or("no process")?.1.split(' ').skip(11).take(2);
    let ticks: u64 = fields.map(str::parse::<u64>).sum::<Result<_, _>>()?;
    Ok(ticks as f64 / 100.0)
}
