//! A live scoreboard: goals are published to one channel, the program keeps the table, every page shows it.
//!
//! `cargo run -p poll-http --example scoreboard [PORT]`, then open the address that it prints in several windows and score.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

mod shared;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::SystemTime;

use poll_core::{ChannelName, Limit, Payload, Pinned, Position, Publish, Retention, Store, Timestamp};
use poll_http::{Ask, ConnectionSettings, HostCheck, Refusal, Service, ServiceSettings, Site};

const TEAMS: [&str; 4] = ["Red", "Green", "Blue", "Gold"];

const PAGE: &str = include_str!("pages/scoreboard.html");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let settings = ServiceSettings { hosts: HostCheck::Loopback(Vec::new()), ..ServiceSettings::default() };
    let store = Store::in_memory(Retention { messages: 100, ..Retention::golongpoll() });
    let service = Service::builder(store)
        .settings(settings)
        .site(Site { files: shared::files(), ..Site::of_page(PAGE) })
        // The table is the program's to write.
        .check(|_, ask| match ask {
            Ask::Publish(channel) if channel.as_str() != "goals" => {
                Err(Refusal::new(http::StatusCode::FORBIDDEN, "only goals are taken"))
            }
            Ask::Publish(_) | Ask::Read(_) => Ok(()),
        })
        .build();
    let (goals, scores) = (ChannelName::parse("goals")?, ChannelName::parse("scores")?);
    tokio::spawn(keep(service.clone(), goals, scores));

    let listener = shared::listen().await?;
    let connections = Arc::new(service.connections(ConnectionSettings::default()));
    loop {
        let (socket, peer) = listener.accept().await?;
        tokio::spawn(poll_http::serve(socket, peer, service.clone(), Arc::clone(&connections)));
    }
}

/// Counts goals and publishes the table after each batch of them: a reader in the program that publishes what it
/// makes of what it reads.
async fn keep(service: Service, goals: ChannelName, scores: ChannelName) {
    let now = || Timestamp::of(SystemTime::now());
    let mut table: BTreeMap<&str, u64> = TEAMS.iter().map(|team| (*team, 0)).collect();
    let (store, lane) = (service.store(), service.store().lane());
    let Ok(mut at) = store.pin(now(), &goals, Position::Start).await else { return };
    loop {
        let payload = Payload::Json(serde_json::json!(table).to_string().into());
        if let Err(error) = service.publish(&scores, Publish::one(payload)).await {
            println!("not published: {error}");
        }
        let (batch, missed) = loop {
            let Ok(view) = store.read(now(), &goals, &at, Limit::default()).await else { return };
            match view.batch {
                Some(batch) => break (batch, view.read_state.missed()),
                None => store.wait(&goals, &at, &lane).await,
            }
        };
        if let Some(missed @ 1..) = missed {
            println!("{missed} goals were forgotten before they were counted");
        }
        for message in batch.messages() {
            let team = message.payload.as_bytes();
            if let Some(goals) =
                table.iter_mut().find_map(|(name, goals)| (name.as_bytes() == team).then_some(goals))
            {
                *goals += 1;
            }
        }
        at = Pinned::after(batch.end());
    }
}
