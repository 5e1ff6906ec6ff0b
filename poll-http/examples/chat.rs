//! A chat room: one page that sends and long-polls, by the chat dialect's two requests.
//!
//! `cargo run -p poll-http --example chat [PORT]`, then open the address that it prints in two windows.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use poll_core::{Retention, Store};
use poll_http::{ConnectionSettings, HostCheck, Service, ServiceSettings, Site};
use tokio::net::TcpListener;

const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>Chat</title>
<h1>Chat</h1><form id="form"><input id="body" autocomplete="off" autofocus maxlength="2000"><button>Send</button></form>
<p id="state"></p><ol id="messages"></ol>
<script>
const get = (id) => document.getElementById(id);
get("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = get("body").value;
  if (!body) return;
  const sent = await fetch("/messages", { method: "POST", body: JSON.stringify({ body }) }).catch((error) => error);
  get("state").textContent = sent.ok ? "" : "Not sent, try again.";
  if (sent.ok) get("body").value = "";
});
async function follow() {
  let after = "00000000-0000-0000-0000-000000000000";
  for (;;) {
    try {
      const answer = await fetch("/messages?after=" + after);
      if (!answer.ok) throw new Error((await answer.json()).error);
      for (const message of await answer.json()) {
        const line = document.createElement("li");
        line.textContent = new Date(message.created_at).toLocaleTimeString() + " " + message.body;
        get("messages").append(line);
        after = message.id;
      }
    } catch (error) {
      console.warn(error);
      await new Promise((done) => setTimeout(done, 3000));
    }
  }
}
follow();
</script>"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse::<u16>())?;
    // A room remembers its last thousand messages for a day.
    let retention = Retention { age: Duration::from_secs(24 * 60 * 60), ..Retention::default() };
    let settings = ServiceSettings { hosts: HostCheck::Loopback(Vec::new()), ..ServiceSettings::default() };
    let service = Service::builder(Store::in_memory(retention))
        .settings(settings)
        .site(Site::of_page(PAGE))
        .on_publish(|channel, published| {
            for stamp in published.stamps.iter() {
                println!("{} {channel} #{}", stamp.at, stamp.cursor.seq.get());
            }
        })
        .build();

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let connections = Arc::new(service.connections(ConnectionSettings::default()));
    loop {
        let (socket, peer) = listener.accept().await?;
        tokio::spawn(poll_http::serve(socket, peer, service.clone(), Arc::clone(&connections)));
    }
}
