//! Follows an event stream with the crate `eventsource-client`, which reconnects by itself, and prints each message.
//!
//! One of the programs that `cargo xtask sse` starts.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is read by the test")]

use anyhow::{Context as _, Result, anyhow};
use eventsource_client::{Client as _, ClientBuilder, ReconnectOptions, SSE};
use futures_util::StreamExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let url = std::env::args().nth(1).context("give the address of a stream")?;
    let client = ClientBuilder::for_url(&url).map_err(|error| anyhow!("{url}: {error:?}"))?;
    let mut events = client.reconnect(ReconnectOptions::reconnect(true).build()).build_http().stream();
    while let Some(event) = events.next().await {
        match event {
            Ok(SSE::Event(event)) if event.event_type == "message" => println!("{}", event.data),
            Ok(_) => {}
            Err(error) => eprintln!("eventsource-client: {error:?}"),
        }
    }
    Ok(())
}
