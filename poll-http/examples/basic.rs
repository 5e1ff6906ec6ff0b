//! The golongpoll library's basic example: a task makes events, a page shows them as they come.
//!
//! `cargo run -p poll-http --example basic [PORT]`, then open the address that it prints. Events can also be had as the
//! library gives them: `curl 'ADDRESS/events?timeout=30&category=farm&since_time=1'`.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

mod shared;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use poll_core::{ChannelName, Payload, Publish, Retention, Store};
use poll_http::{ConnectionSettings, HostCheck, Service, ServiceSettings, Site};

const SAYINGS: [(&str, &str); 4] =
    [("Pig", "Oink! Oink!"), ("Cow", "Moo!"), ("Duck", "Quack! Quack!"), ("Tractor", "Vroom!")];

const PAGE: &str = include_str!("pages/basic.html");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let settings = ServiceSettings { hosts: HostCheck::Loopback(Vec::new()), ..ServiceSettings::default() };
    let store = Store::in_memory(Retention::golongpoll());
    let service = Service::builder(store)
        .settings(settings)
        .site(Site { files: shared::files(), ..Site::of_page(PAGE) })
        .build();
    tokio::spawn(make_events(service.clone()));

    let listener = shared::listen().await?;
    let connections = Arc::new(service.connections(ConnectionSettings::default()));
    loop {
        let (socket, peer) = listener.accept().await?;
        tokio::spawn(poll_http::serve(socket, peer, service.clone(), Arc::clone(&connections)));
    }
}

/// Something is heard every 0 to 5 seconds.
async fn make_events(service: Service) {
    let Ok(farm) = ChannelName::parse("farm") else { return };
    loop {
        let (who, what) = SAYINGS[rand::random_range(0..SAYINGS.len())];
        let event = Publish::one(Payload::text(format!("{who} went '{what}'")));
        if let Err(error) = service.publish(&farm, event).await {
            println!("not published: {error}");
        }
        tokio::time::sleep(Duration::from_secs_f64(rand::random_range(0.0..5.0))).await;
    }
}
