//! `cargo xtask torture damage`: stores of real servers in which a byte was changed, after a clean stop and after a kill.
//!
//! A server above such a file starts, or refuses it with one line that names the way out. What it serves must be what was
//! published, under its number; what it does not serve it must tell. What `poll-server salvage` takes out must have been
//! published as well. Nothing may panic.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use super::ground::{Ground, block_on};
use super::http1::Connection;
use xtask::server::{Binary, Keyboard, Place, Server};

/// So that nothing goes by itself.
const FLAGS: &[&str] = &["--retain-messages=0", "--retain-seconds=0", "--workers=1"];
const MESSAGES: usize = 400;
const CHANNELS: usize = 7;
const PATIENCE: Duration = Duration::from_secs(60);
/// The file's name within a store.
const FILE: &str = "poll.redb";

/// The course's arguments.
#[derive(Args)]
pub(super) struct Damage {
    /// Files that are damaged, half of them after a clean stop and half after a kill
    #[arg(long, default_value_t = 132, value_name = "N")]
    files: u64,
    #[command(flatten)]
    ground: Ground,
}

/// How the server that wrote a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Clean,
    Killed,
}

/// The texts of each channel, in the order of their numbers.
type Published = BTreeMap<String, Vec<String>>;

#[derive(Debug, Default)]
struct Tally {
    whole: u64,
    told: u64,
    refused: u64,
    missed: u64,
    /// Channels that were answered with an error.
    errors: u64,
    /// Messages that are not there, and nobody said so: of the last commit before a kill.
    rolled_back: u64,
    salvaged: u64,
    lost: u64,
}

impl Damage {
    pub(super) fn short(ground: Ground) -> Self {
        Self { files: 12, ground }
    }

    pub(super) fn run(&self) -> Result<()> {
        let (binary, seed) = (self.ground.binary()?, self.ground.seed());
        println!("torture damage: {} files, --seed {seed}", self.files);
        let mut random = StdRng::seed_from_u64(seed);
        let folder = tempfile::tempdir().context("no folder for the stores")?;
        let mut tally = Tally::default();
        let clean = write(&binary, &folder.path().join("clean"), End::Clean)?;
        let killed = write(&binary, &folder.path().join("killed"), End::Killed)?;
        for number in 0..self.files {
            let (end, (file, published)) =
                if number % 2 == 0 { (End::Clean, &clean) } else { (End::Killed, &killed) };
            let (at, bits) = (random.random_range(0..file.len()), random.random_range(1..=u8::MAX));
            let mut damaged = file.clone();
            damaged[at] ^= bits;
            let place = folder.path().join("damaged");
            let looked = look(&binary, &place, &damaged, published, end, &mut tally);
            looked.with_context(|| format!("byte {at} ^ {bits:#04x}, {end:?}"))?;
        }
        println!("{tally}");
        Ok(())
    }
}

/// A server's file, and what was published to it.
fn write(binary: &Binary, folder: &Path, end: End) -> Result<(Vec<u8>, Published)> {
    let server = start(binary, folder)?;
    let published = block_on(publish(server.address()))?;
    match end {
        End::Clean => server.drain(PATIENCE)?,
        End::Killed => drop(server),
    }
    Ok((std::fs::read(folder.join(FILE))?, published))
}

async fn publish(address: SocketAddr) -> Result<Published> {
    let mut connection = Connection::open(address).await?;
    let mut published = Published::new();
    for number in 0..MESSAGES {
        // One channel fills many pages, the others share some.
        let channel = format!("damage-{}", if number % 2 == 0 { 0 } else { number % CHANNELS });
        let text = format!("{channel}-{number}-{}", "x".repeat(number % 97));
        connection.ask("POST", &format!("/api/message?channel={channel}"), &[], &text).await?;
        connection.answer().await?.head.expect(201)?;
        published.entry(channel).or_default().push(text);
    }
    Ok(published)
}

fn start(binary: &Binary, folder: &Path) -> Result<Server> {
    let store = format!("disk:{}", folder.display());
    let place = Place { store, ..Place::fleeting() };
    Server::start_at(binary, &place, FLAGS, Keyboard::Shared)
}

/// Looks at one damaged file in every way.
fn look(
    binary: &Binary,
    folder: &Path,
    file: &[u8],
    published: &Published,
    end: End,
    tally: &mut Tally,
) -> Result<()> {
    let fresh = || -> Result<()> {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        std::fs::create_dir(folder)?;
        Ok(std::fs::write(folder.join(FILE), file)?)
    };
    fresh()?;
    salvage(binary, folder, published, tally)?;
    fresh()?;
    let server = match start(binary, folder) {
        Ok(server) => server,
        Err(error) => {
            let words = format!("{error:#}");
            let is_clear = words.contains("poll-server salvage") || words.contains("format version");
            ensure!(is_clear && !words.contains("panicked"), "{words}");
            tally.refused += 1;
            return Ok(());
        }
    };
    let before = (tally.missed, tally.errors, tally.rolled_back);
    let done = block_on(read(server.address(), published, tally));
    let log = server.end();
    done.with_context(|| format!("its log: {log:#?}"))?;
    let untold = tally.rolled_back - before.2;
    ensure!(untold <= u64::from(end == End::Killed), "{untold} messages are gone without a word");
    if before == (tally.missed, tally.errors, tally.rolled_back) {
        tally.whole += 1;
    } else {
        tally.told += 1;
    }
    ensure!(!log.iter().any(|line| line.contains("panicked")), "it panicked: {log:#?}");
    Ok(())
}

/// Reads every channel, then publishes to it.
async fn read(address: SocketAddr, published: &Published, tally: &mut Tally) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    for (channel, texts) in published {
        let (mut given, mut missed, mut place) = (0, 0, "last_id=0".to_owned());
        loop {
            connection.ask("GET", &format!("/api/poll?channel={channel}&{place}"), &[], "").await?;
            let answer = connection.answer().await?;
            if answer.head.status == 500 {
                tally.errors += 1;
                (given, missed) = (0, texts.len() as u64);
                break;
            }
            ensure!(answer.head.status == 200, "{channel} is answered with {}", answer.head.status);
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
            place = format!("cursor={}", value["cursor"].as_str().context("no cursor")?);
        }
        tally.missed += missed;
        tally.rolled_back += (texts.len() as u64).saturating_sub(given + missed);
        connection.ask("POST", &format!("/api/message?channel={channel}"), &[], "behind").await?;
        let status = connection.answer().await?.head.status;
        ensure!(matches!(status, 201 | 503), "a publish to {channel} is answered with {status}");
    }
    connection.ask("GET", "/readyz", &[], "").await?;
    let status = connection.answer().await?.head.status;
    ensure!(status == 200, "/readyz is {status}");
    Ok(())
}

/// Takes out what is whole, which must have been published.
fn salvage(binary: &Binary, folder: &Path, published: &Published, tally: &mut Tally) -> Result<()> {
    let store = format!("disk:{}", folder.display());
    let done = binary.command().args(["salvage", "--store", &store]).output()?;
    let words = String::from_utf8_lossy(&done.stderr);
    ensure!(!words.contains("panicked"), "{words}");
    let all: u64 = published.values().map(|texts| texts.len() as u64).sum();
    let (mut channel, mut whole) = (String::new(), 0);
    for line in String::from_utf8(done.stdout)?.lines() {
        let value: Value = serde_json::from_str(line)?;
        if let Some(name) = value["channel"].as_str() {
            name.clone_into(&mut channel);
        } else if let Some(number) = value["seq"].as_u64() {
            let text = published.get(&channel).and_then(|texts| texts.get(usize::try_from(number).ok()? - 1));
            ensure!(value["text"].as_str() == text.map(String::as_str), "{channel}: {line}");
            whole += 1;
        } else if value["lost_from"].is_null() {
            bail!("what is {line}?");
        }
    }
    ensure!(done.status.success() || words.contains("poll-server: "), "{words}");
    ensure!(whole == all || words.contains("damaged"), "{} messages are gone without a word", all - whole);
    tally.salvaged += whole;
    tally.lost += all - whole;
    Ok(())
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { whole, told, refused, missed, errors, rolled_back, salvaged, lost } = self;
        writeln!(f, "files: {whole} served whole, {told} in part and told, {refused} refused in one line")?;
        writeln!(f, "of these {missed} messages missed, {errors} channels answered with 500")?;
        writeln!(f, "last commits before a kill that counted as torn: {rolled_back} messages")?;
        write!(f, "salvaged: {salvaged} messages, {lost} not; none was wrong")
    }
}
