//! The golongpoll library's basic example: a task makes events, a page shows them as they come.
//!
//! `cargo run -p poll-http --example basic [PORT]`, then open the address that it prints.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use poll_core::{ChannelName, Payload, Publish, Retention, Store};
use poll_http::{ConnectionSettings, HostCheck, Service, ServiceSettings, Site};
use tokio::net::TcpListener;

const SAYINGS: [(&str, &str); 4] =
    [("Pig", "Oink! Oink!"), ("Cow", "Moo!"), ("Duck", "Quack! Quack!"), ("Tractor", "Vroom!")];

const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>The farm</title>
<h1>On the farm</h1><ul id="events"></ul>
<script>
async function follow(category) {
  let since = Date.now() - 60000, last = "";
  for (;;) {
    try {
      const query = new URLSearchParams({ timeout: 45, category, since_time: since });
      if (last) query.set("last_id", last);
      const answer = await (await fetch("/events?" + query)).json();
      if (answer.error) throw new Error(answer.error);
      for (const event of answer.events || []) {
        const line = document.createElement("li");
        line.textContent = new Date(event.timestamp).toLocaleTimeString() + " " + event.data;
        document.getElementById("events").prepend(line);
        since = event.timestamp;
        last = event.id;
      }
      if (answer.timestamp) since = answer.timestamp;
    } catch (error) {
      console.warn(error);
      await new Promise((done) => setTimeout(done, 3000));
    }
  }
}
follow("farm");
</script>"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse::<u16>())?;
    let settings = ServiceSettings { hosts: HostCheck::Loopback(Vec::new()), ..ServiceSettings::default() };
    let store = Store::in_memory(Retention::golongpoll());
    let service = Service::builder(store).settings(settings).site(Site::of_page(PAGE)).build();
    tokio::spawn(make_events(service.clone()));

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
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
