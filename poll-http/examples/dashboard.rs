//! A dashboard of this machine: processors, memory and load, measured every second; pages short-poll.
//!
//! `cargo run -p poll-http --example dashboard [PORT]`, then open the address that it prints. What has not changed is
//! answered 304. All is read from `/proc`, where the system has it.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

mod shared;

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use poll_core::{ChannelName, Payload, Publish, Retention, Store};
use poll_http::{Ask, ConnectionSettings, HostCheck, Refusal, Service, ServiceSettings, Site};

const PAGE: &str = include_str!("pages/dashboard.html");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let settings = ServiceSettings { hosts: HostCheck::Loopback(Vec::new()), ..ServiceSettings::default() };
    // The last minute.
    let store = Store::in_memory(Retention { messages: 60, ..Retention::default() });
    let service = Service::builder(store)
        .settings(settings)
        .site(Site { files: shared::files(), ..Site::of_page(PAGE) })
        .check(|_, ask| match ask {
            Ask::Read(_) => Ok(()),
            Ask::Publish(_) => Err(Refusal::new(http::StatusCode::FORBIDDEN, "only to be looked at")),
        })
        .build();
    tokio::spawn(measure(service.clone()));

    let listener = shared::listen().await?;
    let connections = Arc::new(service.connections(ConnectionSettings::default()));
    loop {
        let (socket, peer) = listener.accept().await?;
        tokio::spawn(poll_http::serve(socket, peer, service.clone(), Arc::clone(&connections)));
    }
}

async fn measure(service: Service) {
    let Ok(channel) = ChannelName::parse("metrics") else { return };
    let (begun, mut tick) = (Instant::now(), tokio::time::interval(Duration::from_secs(1)));
    let mut before = Ticks::default();
    loop {
        tick.tick().await;
        let mut measured = metrics(begun, service.store().channels());
        let now = Ticks::read();
        measured["cpu_percent"] = now.percent_since(before).into();
        before = now;
        let text = measured.to_string();
        if let Err(error) = service.publish(&channel, Publish::one(Payload::Json(text.into()))).await {
            println!("not published: {error}");
        }
    }
}

/// The processors' time since the machine was started, in ticks.
#[derive(Clone, Copy, Default)]
struct Ticks {
    idle: u64,
    all: u64,
}

impl Ticks {
    fn read() -> Self {
        let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let fields = text.lines().next().unwrap_or_default().split_whitespace();
        let ticks: Vec<u64> = fields.filter_map(|field| field.parse().ok()).collect();
        // user, nice, system, idle, iowait, irq, softirq, steal; the guests' time is in the first two.
        Self { idle: ticks.iter().skip(3).take(2).sum(), all: ticks.iter().take(8).sum() }
    }

    /// How busy the processors were, if any time has passed.
    fn percent_since(self, before: Self) -> Option<f64> {
        let (all, idle) = (self.all.checked_sub(before.all)?, self.idle.checked_sub(before.idle)?);
        (all > 0).then(|| 100.0 * all.saturating_sub(idle) as f64 / all as f64)
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
