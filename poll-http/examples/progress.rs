//! A job's progress as a bar in the terminal, and the same in a page: reads a file and counts its lines.
//!
//! `cargo run -p poll-http --example progress [PORT [FILE]]`, then open the address that it prints. The bar in the terminal
//! is drawn by a reader of the log like any other; `curl ADDRESS/api/progress/count-1` is a third one.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

mod shared;

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use poll_core::{ChannelName, Limit, Payload, Pinned, Position, Publish, Retention, Store, Timestamp};
use poll_http::{Ask, ConnectionSettings, HostCheck, Refusal, Service, ServiceSettings, Site};

/// In as many parts a file is read.
const PARTS: u64 = 20;
/// How long a part takes at least, so that there is something to watch.
const PACE: Duration = Duration::from_millis(200);

const PAGE: &str = include_str!("pages/progress.html");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(2).map_or_else(std::env::current_exe, |path| Ok(PathBuf::from(path)))?;
    let settings = ServiceSettings { hosts: HostCheck::Loopback(Vec::new()), ..ServiceSettings::default() };
    let service = Service::builder(Store::in_memory(Retention::default()))
        .settings(settings)
        .site(Site { files: shared::files(), ..Site::of_page(PAGE) })
        .check(|_, ask| match ask {
            Ask::Publish(channel) if channel.as_str() != "runs" => {
                Err(Refusal::new(http::StatusCode::FORBIDDEN, "jobs report for themselves"))
            }
            Ask::Publish(_) | Ask::Read(_) => Ok(()),
        })
        .build();

    let listener = shared::listen().await?;
    let runs = ChannelName::parse("runs")?;
    service.publish(&runs, Publish::one(Payload::text("the first"))).await?;
    tokio::spawn(run(service.clone(), runs, file));
    let connections = Arc::new(service.connections(ConnectionSettings::default()));
    loop {
        let (socket, peer) = listener.accept().await?;
        tokio::spawn(poll_http::serve(socket, peer, service.clone(), Arc::clone(&connections)));
    }
}

/// Counts once for each message in the channel of runs, and names the job by the message's number.
async fn run(service: Service, runs: ChannelName, file: PathBuf) {
    let (store, lane) = (service.store(), service.store().lane());
    let Ok(mut at) = store.pin(now(), &runs, Position::Start).await else { return };
    while let Ok(view) = store.read(now(), &runs, &at, Limit::default()).await {
        let Some(batch) = view.batch else {
            store.wait(&runs, &at, &lane).await;
            continue;
        };
        for message in batch.messages() {
            let Ok(job) = ChannelName::parse(&format!("progress/count-{}", message.seq)) else { return };
            tokio::join!(draw(store, &job), count(&service, &job, file.clone()));
        }
        at = Pinned::after(batch.end());
    }
}

/// The job: reports each part, and ends its channel with a status either way.
async fn count(service: &Service, job: &ChannelName, file: PathBuf) {
    let last = match count_parts(service, job, file).await {
        Ok(lines) => report(PARTS, &format!("{lines} lines"), Some("done")),
        Err(error) => report(0, &error.to_string(), Some("failed")),
    };
    if let Err(error) = service.publish(job, last.closing()).await {
        println!("not reported: {error}");
    }
}

async fn count_parts(
    service: &Service,
    job: &ChannelName,
    file: PathBuf,
) -> Result<usize, Box<dyn Error + Send + Sync>> {
    let mut file = std::fs::File::open(file)?;
    let part = file.metadata()?.len().div_ceil(PARTS).max(1);
    let mut lines = 0;
    for step in 1..=PARTS {
        tokio::time::sleep(PACE).await;
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            (&file).take(part).read_to_end(&mut bytes).map(|_| (bytes, file))
        });
        let bytes;
        (bytes, file) = read.await??;
        lines += bytes.iter().filter(|byte| **byte == b'\n').count();
        service.publish(job, report(step, &format!("{lines} lines so far"), None)).await?;
    }
    Ok(lines)
}

fn now() -> Timestamp {
    Timestamp::of(SystemTime::now())
}

fn report(step: u64, message: &str, status: Option<&str>) -> Publish {
    let mut report = serde_json::json!({
        "step": step, "total": PARTS, "percentage": step * 100 / PARTS, "message": message
    });
    if let Some(status) = status {
        report["status"] = status.into();
    }
    Publish::one(Payload::Json(report.to_string().into()))
}

/// The bar: a reader that waits in the program itself.
async fn draw(store: &Store, job: &ChannelName) {
    let lane = store.lane();
    let Ok(mut at) = store.pin(now(), job, Position::Start).await else { return };
    while let Ok(view) = store.read(now(), job, &at, Limit::default()).await {
        if let Some(batch) = &view.batch {
            for message in batch.messages() {
                let step: serde_json::Value =
                    serde_json::from_slice(message.payload.as_bytes()).unwrap_or_default();
                let percent = step["percentage"].as_u64().unwrap_or(0);
                let (done, text) = ("#".repeat(percent as usize / 5), step["message"].as_str().unwrap_or(""));
                print!("\r[{done:-<20}] {percent:3} % {text} ");
                drop(std::io::stdout().flush());
            }
            at = Pinned::after(batch.end());
        } else if view.is_closed() {
            println!();
            return;
        } else {
            store.wait(job, &at, &lane).await;
        }
    }
}
