//! A chat room in one page, with a hook that sees each message.
//!
//! `cargo run -p poll-http --example chat [PORT]`, then open the address that it prints in two windows. The chat dialect
//! speaks to the same room: `curl -d '{"body":"hello"}' ADDRESS/messages`.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

mod shared;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use poll_core::{Retention, Store};
use poll_http::{ConnectionSettings, HostCheck, Service, ServiceSettings, Site};

const PAGE: &str = include_str!("pages/chat.html");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // A room remembers its last thousand messages for a day.
    let retention = Retention { age: Duration::from_secs(24 * 60 * 60), ..Retention::default() };
    let settings = ServiceSettings { hosts: HostCheck::Loopback(Vec::new()), ..ServiceSettings::default() };
    let service = Service::builder(Store::in_memory(retention))
        .settings(settings)
        .site(Site { files: shared::files(), ..Site::of_page(PAGE) })
        .on_publish(|channel, published| {
            for stamp in published.stamps.iter() {
                println!("{} {channel} #{}", stamp.at, stamp.cursor.seq.get());
            }
        })
        .build();

    let listener = shared::listen().await?;
    let connections = Arc::new(service.connections(ConnectionSettings::default()));
    loop {
        let (socket, peer) = listener.accept().await?;
        tokio::spawn(poll_http::serve(socket, peer, service.clone(), Arc::clone(&connections)));
    }
}
