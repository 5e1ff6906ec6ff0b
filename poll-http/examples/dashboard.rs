//! A dashboard of this machine: load, memory and waiting readers, measured every second; pages short-poll.
//!
//! `cargo run -p poll-http --example dashboard [PORT]`, then open the address that it prints. What has not changed is
//! answered 304. Load and memory are read where the system has `/proc`.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use poll_core::{ChannelName, Payload, Publish, Retention, Store};
use poll_http::{Ask, ConnectionSettings, HostCheck, Refusal, Service, ServiceSettings, Site};
use tokio::net::TcpListener;

const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>Dashboard</title>
<h1>Dashboard</h1><table id="table"></table><p id="state"></p>
<script>
let cursor = "";
async function ask() {
  try {
    // The browser keeps the ETag and sends it along.
    const answer = await fetch("/api/poll?channel=metrics" + (cursor && "&cursor=" + cursor));
    const { messages, cursor: next } = await answer.json();
    cursor = next;
    if (messages.length) {
      const rows = Object.entries(messages.at(-1).content).map(([name, value]) => {
        const row = document.createElement("tr");
        for (const text of [name, value]) row.insertCell().textContent = text;
        return row;
      });
      document.getElementById("table").replaceChildren(...rows);
    }
    document.getElementById("state").textContent = "";
  } catch (error) {
    document.getElementById("state").textContent = "The server is away.";
  }
}
ask();
setInterval(ask, 1000);
</script>"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse::<u16>())?;
    let settings = ServiceSettings { hosts: HostCheck::Loopback(Vec::new()), ..ServiceSettings::default() };
    // The last minute.
    let store = Store::in_memory(Retention { messages: 60, ..Retention::default() });
    let service = Service::builder(store)
        .settings(settings)
        .site(Site::of_page(PAGE))
        .check(|_, ask| match ask {
            Ask::Read(_) => Ok(()),
            Ask::Publish(_) => Err(Refusal::new(http::StatusCode::FORBIDDEN, "only to be looked at")),
        })
        .build();
    tokio::spawn(measure(service.clone()));

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let connections = Arc::new(service.connections(ConnectionSettings::default()));
    loop {
        let (socket, peer) = listener.accept().await?;
        tokio::spawn(poll_http::serve(socket, peer, service.clone(), Arc::clone(&connections)));
    }
}

async fn measure(service: Service) {
    let Ok(channel) = ChannelName::parse("metrics") else { return };
    let (begun, mut tick) = (Instant::now(), tokio::time::interval(Duration::from_secs(1)));
    loop {
        tick.tick().await;
        let text = metrics(begun, service.store().channels()).to_string();
        if let Err(error) = service.publish(&channel, Publish::one(Payload::Json(text.into()))).await {
            println!("not published: {error}");
        }
    }
}

fn metrics(begun: Instant, channels: u64) -> serde_json::Value {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = |name: &str| {
        let line = memory.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    serde_json::json!({
        "uptime_seconds": begun.elapsed().as_secs(),
        "load": load.split_whitespace().next().and_then(|load| load.parse::<f64>().ok()),
        "memory_total_mib": kib("MemTotal:").map(|kib| kib / 1024),
        "memory_free_mib": kib("MemAvailable:").map(|kib| kib / 1024),
        "channels": channels,
    })
}
