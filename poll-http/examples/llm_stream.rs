//! An answer of a language model, streamed token by token into a channel of its own. The log is what is shown: reload
//! the page, open a second one, let the machine sleep, or stop this program in the middle and start it again, and the
//! text is whole. After a restart the model goes on where the log ends.
//!
//! `cargo run -p poll-http --example llm_stream [PORT [FOLDER]]`, then open the address that it prints. The log is
//! kept in the folder, by default `poll-llm-stream` among the temporary files. The model is a pretended one; a real one would
//! be asked to continue the text so far.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

mod shared;

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use poll_core::environment::{Directory, Environment};
use poll_core::journal::disk::{DiskJournal, Options};
use poll_core::{
    ChannelName, Limit, Message, Payload, Pinned, Position, Publish, Retention, Store, Timestamp,
};
use poll_http::{Ask, ConnectionSettings, HostCheck, Refusal, Service, ServiceSettings, Site};
use tokio::net::TcpListener;

const PAGE: &str = include_str!("pages/llm_stream.html");

/// How long the model thinks about a token.
const PACE: Duration = Duration::from_millis(60);

/// What it knows.
const SENTENCES: [&str; 8] = [
    "An answer is a channel, and each of its tokens is a message in it.",
    "The channel is a log on disk, so the text is there for every page that asks for it, from the first token on.",
    "A page that is reloaded reads the log from its start and then waits for what comes, by the same request.",
    "A second window is one more reader of the same log; in one browser they even share a connection.",
    "A machine that was asleep still has its cursor, and reads on from there.",
    "If the server is killed, the log says how many tokens it has, and the model goes on with the next one.",
    "The last token closes the channel, which tells every reader that the answer is complete.",
    "Nothing else is needed: no second store, no table of sessions, no socket that has to stay open.",
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(2).map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| std::env::temp_dir().join("poll-llm-stream"));
    let environment = Environment::system();
    let journal = DiskJournal::open(&environment, Directory::new(folder), Options::default(), |_| {}).await?;
    // Answers of a week, however long.
    let week = Duration::from_secs(7 * 24 * 60 * 60);
    let retention = Retention { messages: 0, age: week, ..Retention::default() };
    let settings = ServiceSettings { hosts: HostCheck::Loopback(Vec::new()), ..ServiceSettings::default() };
    let service = Service::builder(Store::new(Arc::new(journal), retention))
        .settings(settings)
        .site(Site { files: shared::files(), ..Site::of_page(PAGE) })
        .check(|_, ask| match ask {
            Ask::Publish(channel) if channel.as_str() != "prompts" => {
                Err(Refusal::new(http::StatusCode::FORBIDDEN, "only the model answers"))
            }
            Ask::Publish(_) | Ask::Read(_) => Ok(()),
        })
        .build();
    let listener = shared::listen().await?;
    tokio::select! {
        ended = serve(&service, listener) => ended,
        ended = answer_all(&service) => ended,
    }
}

async fn serve(service: &Service, listener: TcpListener) -> Result<(), Box<dyn Error>> {
    let connections = Arc::new(service.connections(ConnectionSettings::default()));
    loop {
        let (socket, peer) = listener.accept().await?;
        tokio::spawn(poll_http::serve(socket, peer, service.clone(), Arc::clone(&connections)));
    }
}

/// Answers prompts one after the other, from the first that is retained: those with a whole answer cost one look.
async fn answer_all(service: &Service) -> Result<(), Box<dyn Error>> {
    let (store, lane, prompts) = (service.store(), service.store().lane(), ChannelName::parse("prompts")?);
    let mut at = store.pin(now(), &prompts, Position::Start).await?;
    loop {
        let Some(batch) = store.read(now(), &prompts, &at, Limit::default()).await?.batch else {
            store.wait(&prompts, &at, &lane).await;
            continue;
        };
        for prompt in batch.messages() {
            answer(service, prompt).await?;
        }
        at = Pinned::after(batch.end());
    }
}

/// Streams the answer to a prompt into a channel that is named by the prompt's number, from the token on that the log
/// does not have.
async fn answer(service: &Service, prompt: &Message) -> Result<(), Box<dyn Error>> {
    let (store, answer) = (service.store(), ChannelName::parse(&format!("answer/{}", prompt.seq))?);
    let start = store.pin(now(), &answer, Position::Start).await?;
    let so_far = store.read_state(now(), &answer, &start).await?;
    if so_far.ended {
        return Ok(());
    }
    let text = String::from_utf8_lossy(prompt.payload.as_bytes());
    for token in model(&text).skip(usize::try_from(so_far.newest.get())?) {
        tokio::time::sleep(PACE).await;
        service.publish(&answer, Publish::one(Payload::text(token))).await?;
    }
    Ok(store.close(now(), &answer).await?)
}

/// The tokens of an answer: always the same to the same prompt.
fn model(prompt: &str) -> impl Iterator<Item = String> {
    let first = prompt.bytes().map(usize::from).sum::<usize>();
    let sentences = (0..5).map(move |step| SENTENCES[(first + step * 3) % SENTENCES.len()]);
    let opening = format!("You ask: “{}” ", prompt.trim());
    let text = sentences.fold(opening, |text, sentence| text + sentence + " ");
    let tokens: Vec<String> = text.split_inclusive(' ').map(str::to_owned).collect();
    tokens.into_iter()
}

fn now() -> Timestamp {
    Timestamp::of(SystemTime::now())
}
