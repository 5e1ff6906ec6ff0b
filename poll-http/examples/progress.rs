//! A job's progress as a bar in the terminal, and the same in a page: reads a file and counts its lines.
//!
//! `cargo run -p poll-http --example progress [PORT [FILE]]`. The bar is drawn by a reader of the log like any other;
//! `curl ADDRESS/api/progress/count` is a third one.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use poll_core::{ChannelName, Limit, Payload, Pinned, Position, Publish, Retention, Store, Timestamp};
use poll_http::{ConnectionSettings, HostCheck, Service, ServiceSettings, Site};
use tokio::net::TcpListener;

/// In as many parts a file is read.
const PARTS: u64 = 20;

const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>Progress</title>
<h1>Counting lines</h1><progress id="bar" max="100" value="0"></progress> <span id="text"></span>
<script>
const source = new EventSource("/api/progress/count");
source.onmessage = (event) => {
  const step = JSON.parse(event.data);
  document.getElementById("bar").value = step.percentage;
  document.getElementById("text").textContent = step.message;
};
</script>"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().map_or(Ok(0), |port| port.parse::<u16>())?;
    let file = arguments.next().map_or_else(std::env::current_exe, |path| Ok(PathBuf::from(path)))?;
    let settings = ServiceSettings { hosts: HostCheck::Loopback(Vec::new()), ..ServiceSettings::default() };
    let store = Store::in_memory(Retention::default());
    let service = Service::builder(store.clone()).settings(settings).site(Site::of_page(PAGE)).build();

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let job = ChannelName::parse("progress/count")?;
    tokio::spawn(draw(store, job.clone()));
    tokio::spawn(count(service.clone(), job, file));
    let connections = Arc::new(service.connections(ConnectionSettings::default()));
    loop {
        let (socket, peer) = listener.accept().await?;
        tokio::spawn(poll_http::serve(socket, peer, service.clone(), Arc::clone(&connections)));
    }
}

/// The job: reports each part, and ends its channel with a status either way.
async fn count(service: Service, job: ChannelName, file: PathBuf) {
    let last = match count_parts(&service, &job, file).await {
        Ok(lines) => report(PARTS, &format!("{lines} lines"), Some("done")),
        Err(error) => report(0, &error.to_string(), Some("failed")),
    };
    if let Err(error) = service.publish(&job, last.closing()).await {
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
async fn draw(store: Store, job: ChannelName) {
    let now = || Timestamp::of(SystemTime::now());
    let lane = store.lane();
    let Ok(mut at) = store.pin(now(), &job, Position::Start).await else { return };
    while let Ok(view) = store.read(now(), &job, &at, Limit::default()).await {
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
            store.wait(&job, &at, &lane).await;
        }
    }
}
