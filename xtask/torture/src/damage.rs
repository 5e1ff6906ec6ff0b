//! `cargo xtask torture damage`: stores of real servers in which a byte was changed, after a clean stop and after a kill.
//!
//! A server starts on such a file, or refuses it with one line that names the way out. What it serves must be what was
//! published, under its number, and it must say what it does not serve. What `poll-server salvage` takes out must have
//! been published as well. Nothing may panic.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use crate::client::Client;
use crate::fixture::{Fixture, block_on};
use crate::tally::{Counts, Tally};
use xtask::server::{Binary, Keyboard, Server};

/// So that nothing goes by itself.
const FLAGS: &[&str] = &["--retain-messages=0", "--retain-seconds=0", "--workers=1"];
const MESSAGES: usize = 400;
const CHANNELS: usize = 7;
const PATIENCE: Duration = Duration::from_secs(60);

/// The course's arguments.
#[derive(Args)]
pub(super) struct Damage {
    /// Files that are damaged, half of them after a clean stop and half after a kill
    #[arg(long, default_value_t = 132, value_name = "N")]
    files: u64,
    #[command(flatten)]
    fixture: Fixture,
}

/// How the server that wrote a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Clean,
    Killed,
}

/// The texts of each channel, in the order of their numbers.
type Published = BTreeMap<String, Vec<String>>;

/// Files by what the server made of them; messages that were told to be missed or answered with an error; messages of
/// which nobody said that they are gone, which may happen to the last commit before a kill; messages that `salvage`
/// took out, and those that it did not.
const COLUMNS: &[&str] =
    &["whole", "in part", "refused", "missed", "errors", "rolled back", "salvaged", "not salvaged"];

impl Damage {
    pub(super) fn short(fixture: Fixture) -> Self {
        Self { files: 12, fixture }
    }

    pub(super) fn run(&self) -> Result<()> {
        let (binary, seed) = (
            self.fixture.plain_binary("what it damages is the store, which no connection reaches")?,
            self.fixture.seed(),
        );
        println!("torture damage: {} files, --seed {seed}", self.files);
        let mut random = StdRng::seed_from_u64(seed);
        let folder = tempfile::tempdir().context("no folder for the stores")?;
        let mut tally = Tally::new("after", COLUMNS, 0);
        let clean = write(&binary, &folder.path().join("clean"), End::Clean)?;
        let killed = write(&binary, &folder.path().join("killed"), End::Killed)?;
        for number in 0..self.files {
            let (end, (files, published)) =
                if number % 2 == 0 { (End::Clean, &clean) } else { (End::Killed, &killed) };
            let mut files = files.clone();
            let chosen = random.random_range(0..files.len());
            let File { name, bytes } = &mut files[chosen];
            let (at, bits) = (random.random_range(0..used(bytes)), random.random_range(1..=u8::MAX));
            bytes[at] ^= bits;
            let words = format!("byte {at} ^ {bits:#04x} of {name}, {end:?}");
            let folder = &folder.path().join("damaged");
            let damaged = Damaged { binary: &binary, folder, files: &files, published, end };
            damaged.check(&mut tally).with_context(|| words)?;
        }
        println!("{tally}");
        Ok(())
    }
}

/// A file of a store.
#[derive(Clone)]
struct File {
    name: String,
    bytes: Vec<u8>,
}

/// How much of a file is in use: the log is written ahead with zeros.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1)
}

/// A server's files, and what was published to it.
fn write(binary: &Binary, folder: &Path, end: End) -> Result<(Vec<File>, Published)> {
    let server = start(binary, folder)?;
    let published = block_on(publish(server.address()))?;
    match end {
        End::Clean => server.drain(PATIENCE)?,
        End::Killed => drop(server),
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().context("a name that is no text")?;
        files.push(File { name, bytes: std::fs::read(entry.path())? });
    }
    // For the same seed the same file.
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok((files, published))
}

async fn publish(address: SocketAddr) -> Result<Published> {
    let (mut client, mut published) = (Client::new(address), Published::new());
    for number in 0..MESSAGES {
        // One channel fills many pages, the others share some.
        let channel = format!("damage-{}", if number % 2 == 0 { 0 } else { number % CHANNELS });
        let text = format!("{channel}-{number}-{}", "x".repeat(number % 97));
        client.publish(&channel, text.clone()).await?.json(201)?;
        published.entry(channel).or_default().push(text);
    }
    Ok(published)
}

fn start(binary: &Binary, folder: &Path) -> Result<Server> {
    let store = format!("--store=disk:{}", folder.display());
    Server::start(binary, &[&[&*store], FLAGS].concat(), Keyboard::Shared)
}

/// A store with one changed byte.
struct Damaged<'a> {
    binary: &'a Binary,
    folder: &'a Path,
    files: &'a [File],
    published: &'a Published,
    end: End,
}

impl Damaged<'_> {
    fn count<const N: usize>(&self, tally: &mut Tally, counts: Counts<N>) {
        tally.add(if self.end == End::Clean { "a clean stop" } else { "a kill" }, counts);
    }

    /// Writes the files anew.
    fn place(&self) -> Result<()> {
        if self.folder.exists() {
            std::fs::remove_dir_all(self.folder)?;
        }
        std::fs::create_dir(self.folder)?;
        for File { name, bytes } in self.files {
            std::fs::write(self.folder.join(name), bytes)?;
        }
        Ok(())
    }

    fn check(&self, tally: &mut Tally) -> Result<()> {
        self.place()?;
        self.salvage(tally)?;
        self.place()?;
        let mut server = match start(self.binary, self.folder) {
            Ok(server) => server,
            Err(error) => {
                let words = format!("{error:#}");
                let is_clear = words.contains("poll-server salvage") || words.contains("format version");
                ensure!(is_clear && !words.contains("panicked"), "{words}");
                self.count(tally, [("refused", 1)]);
                return Ok(());
            }
        };
        let done = block_on(self.read(server.address()));
        let log = server.end();
        let [missed, errors, untold] = done.with_context(|| format!("its log: {log:#?}"))?;
        let allowed = u64::from(self.end == End::Killed);
        ensure!(untold <= allowed, "{untold} messages are gone without a word");
        ensure!(!log.iter().any(|line| line.contains("panicked")), "it panicked: {log:#?}");
        let is_whole = missed + errors + untold == 0;
        self.count(tally, [(if is_whole { "whole" } else { "in part" }, 1)]);
        self.count(tally, [("missed", missed), ("errors", errors), ("rolled back", untold)]);
        Ok(())
    }

    /// Reads every channel, then publishes to it; gives how many messages were told to be missed, how many channels
    /// were answered with an error, and how many messages are gone without a word.
    async fn read(&self, address: SocketAddr) -> Result<[u64; 3]> {
        let mut client = Client::new(address);
        let (mut all_missed, mut errors, mut untold) = (0, 0, 0);
        for (channel, texts) in self.published {
            let (mut given, mut missed, mut from) = (0, 0, "last_id=0".to_owned());
            loop {
                let answer = client.get(&format!("/api/poll?channel={channel}&{from}")).await?;
                if answer.status == 500 {
                    errors += 1;
                    (given, missed) = (0, texts.len() as u64);
                    break;
                }
                ensure!(answer.status == 200, "{channel} is answered with {}", answer.status);
                let value: Value = serde_json::from_slice(&answer.body)?;
                missed += value["missed"].as_u64().unwrap_or_default();
                let messages = value["messages"].as_array().context("no messages")?;
                for message in messages {
                    let number = usize::try_from(message["id"].as_u64().context("no id")?)?;
                    let text = texts.get(number - 1).map(String::as_str);
                    ensure!(message["content"].as_str() == text, "{channel} has {message} for {text:?}");
                    given += 1;
                }
                if messages.is_empty() {
                    break;
                }
                from = format!("cursor={}", value["cursor"].as_str().context("no cursor")?);
            }
            all_missed += missed;
            untold += (texts.len() as u64).saturating_sub(given + missed);
            let status = client.publish(channel, "behind").await?.status;
            ensure!(matches!(status, 201 | 503), "a publish to {channel} is answered with {status}");
        }
        let status = client.get("/readyz").await?.status;
        ensure!(status == 200, "/readyz is {status}");
        Ok([all_missed, errors, untold])
    }

    /// Takes out what is whole, which must have been published.
    fn salvage(&self, tally: &mut Tally) -> Result<()> {
        let store = format!("disk:{}", self.folder.display());
        let done = self.binary.command().args(["salvage", "--store", &store]).output()?;
        let words = String::from_utf8_lossy(&done.stderr);
        ensure!(!words.contains("panicked"), "{words}");
        let all: u64 = self.published.values().map(|texts| texts.len() as u64).sum();
        let (mut channel, mut whole) = (String::new(), 0);
        for line in String::from_utf8(done.stdout)?.lines() {
            let value: Value = serde_json::from_str(line)?;
            if let Some(name) = value["channel"].as_str() {
                name.clone_into(&mut channel);
            } else if let Some(number) = value["seq"].as_u64() {
                let texts = self.published.get(&channel);
                let text = texts.and_then(|texts| texts.get(usize::try_from(number).ok()? - 1));
                ensure!(value["text"].as_str() == text.map(String::as_str), "{channel}: {line}");
                whole += 1;
            } else if value["lost_from"].is_null() {
                bail!("what is {line}?");
            }
        }
        ensure!(done.status.success() || words.contains("poll-server: "), "{words}");
        ensure!(
            whole == all || words.contains("damaged"),
            "{} messages are gone without a word",
            all - whole
        );
        self.count(tally, [("salvaged", whole), ("not salvaged", all - whole)]);
        Ok(())
    }
}
