//! How long the file gets under churn, as a multiple of the bound on all bytes.

use poll_core::journal::disk::Options;
use poll_core::{Payload, Publish, Retention};

use crate::fake::FakeDisk;
use crate::fixture::{name, open, second, unbounded};

const RETAINED: u64 = 4 << 20;

/// Publishes four times what is retained, in publishes of about 64 KiB, and gives how long the file was at the most.
async fn churn(channels: usize, sizes: impl Fn(usize) -> usize) -> usize {
    let disk = FakeDisk::default();
    let retention = Retention { bytes: RETAINED, ..unbounded() };
    let store = open(disk.port(), retention, Options::default()).await;
    let (mut published, mut count, mut longest) = (0, 0, 0);
    while published < 4 * RETAINED {
        let mut payloads = Vec::new();
        let mut bytes = 0;
        while bytes < 64 << 10 {
            let size = sizes(count);
            payloads.push(Payload::text("x".repeat(size)));
            bytes += size + 128;
            count += 1;
        }
        published += bytes as u64;
        let channel = name(&format!("channel {}", count % channels));
        store.store.publish(second(count as u64), &channel, Publish::many(payloads)).await.unwrap();
        longest = longest.max(disk.len());
    }
    longest
}

#[tokio::test]
async fn measure() {
    for (what, channels, size) in [
        ("1 byte", 1, 1),
        ("100", 1, 100),
        ("1000", 1, 1000),
        ("1000 in 97", 97, 1000),
        ("1 in 997", 997, 1),
        ("2100", 1, 2100),
        ("2100/97", 97, 2100),
        ("4100", 1, 4100),
        ("4100/97", 97, 4100),
        ("8200", 7, 8200),
        ("33000", 7, 33000),
        ("66000", 7, 66000),
        ("263000", 7, 263_000),
    ] {
        let longest = churn(channels, |_| size).await;
        println!("{what}: {:.2}", longest as f64 / RETAINED as f64);
    }
    let longest = churn(97, |count| (count * 7919) % 9000).await;
    println!("mixed: {:.2}", longest as f64 / RETAINED as f64);
}
