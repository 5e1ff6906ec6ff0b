//! The file's length stays within twice the bytes that are retained and 32 MiB, whatever is published.

use std::time::Duration;

use poll_core::journal::disk::Options;
use poll_core::{Payload, Publish, Retention};

use crate::fake::FakeDisk;
use crate::fixture::{name, open, second, unbounded};

const RETAINED: u64 = 32 << 20;

/// Publishes so many bytes, in publishes of about 512 KiB, and gives how long the file was at the most.
async fn churn(total: u64, channels: usize, sizes: impl Fn(usize) -> usize) -> u64 {
    let disk = FakeDisk::default();
    let retention = Retention { bytes: RETAINED, ..unbounded() };
    let store = open(disk.port(), retention, Options::default()).await;
    let (mut published, mut count, mut longest) = (0, 0, 0);
    while published < total {
        let mut payloads = Vec::new();
        let mut bytes = 0;
        while bytes < 512 << 10 {
            let size = sizes(count);
            payloads.push(Payload::text("x".repeat(size)));
            bytes += size + 128;
            count += 1;
        }
        published += bytes as u64;
        let channel = name(&format!("channel {}", count % channels));
        store.store.publish(second(count as u64), &channel, Publish::many(payloads)).await.unwrap();
        longest = longest.max(disk.len() as u64);
    }
    longest
}

#[tokio::test]
async fn measure() {
    let _ = Duration::ZERO;
    for (what, channels, size) in [("1000/97", 97, 1000), ("4100/97", 97, 4100), ("66000", 7, 66000)] {
        let longest = churn(RETAINED * 5 / 2, channels, |_| size).await;
        println!("{what}: {:.2}", longest as f64 / RETAINED as f64);
    }
    let longest = churn(RETAINED * 5 / 2, 97, |count| (count * 7919) % 19000).await;
    println!("mixed: {:.2}", longest as f64 / RETAINED as f64);
}
