//! One seed, from its first message to the verdict.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use poll_core::environment::Environment;
use poll_core::journal::MemoryJournal;
use poll_core::planted::Bug;
use poll_core::{Memory, Retention, Store};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use xtask_torture::outside::Simulated;
use xtask_torture::pattern::Pattern;
use xtask_torture::population::Population;
use xtask_torture::position::Notices;
use xtask_torture::publisher::Door;

use crate::abort;
use crate::disk::{Disk, Harm};
use crate::fault::{self, Effect, Plan};
use crate::network::{ADDRESS, Network};
use crate::outcome::{Counts, Outcome, refuse};
use crate::planted;
use crate::platform::Clock;
use crate::random::Random;
use crate::server::{Server, Stop, damaged_for_good, until_ready};
use crate::trace;
use crate::verdict::{self, Quiet};

/// The one that chat reads, and another.
const CHANNELS: [&str; 2] = ["messages", "simulated"];
/// Between two messages of a publisher, in tenths of a millisecond.
const PAUSE: std::ops::Range<u64> = 200..1_200;
/// How long it goes on after the last fault.
const AFTER: Duration = Duration::from_millis(400);
/// How long it goes on when all is well, before and while it is judged how soon readers are answered.
const REST: Duration = Duration::from_millis(500);
const QUIET: Duration = Duration::from_millis(400);
/// How often in a row a store may be refused: more often than the faults of a seed can shut a disk.
const ATTEMPTS: u32 = 60;
/// The limit on a simulation, by its own time.
const END: Duration = Duration::from_secs(3_600);
/// The limit by the system's time, which also a busy machine does not reach.
const HANG: Duration = Duration::from_secs(120);

/// Whether a transcript of a run is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verbosity {
    Transcript,
    Quiet,
}

/// Has all tables of names hash in the same way, whichever seed is the first: their key is that of the process.
pub(crate) fn fix_hashes() {
    let (environment, retention) = (Environment::seeded(0), Retention::default());
    drop(Store::within(environment, Arc::new(MemoryJournal), retention, Memory::default()));
}

/// Runs a seed on a thread of its own, because the server keeps some things by thread.
pub(crate) fn run(seed: u64, verbosity: Verbosity, bug: Option<Bug>) -> Result<Outcome> {
    let (sender, outcome) = mpsc::channel();
    let thread = std::thread::Builder::new().name(format!("seed-{seed}"));
    thread.spawn(move || {
        planted::plant(bug);
        let disk = Disk::new(Random::new(seed, 2));
        abort::begin(sender.clone(), disk.clone());
        sender.send(run_here(seed, verbosity, disk))
    })?;
    match outcome.recv_timeout(HANG) {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Disconnected) => bail!("it panicked"),
        Err(RecvTimeoutError::Timeout) => bail!("it hangs: something waits for a lock, or never ends"),
    }
}

fn run_here(seed: u64, verbosity: Verbosity, disk: Disk) -> Result<Outcome> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).on_thread_park(poll_http::end_turn);
    // Otherwise some things that happen at the same time have another order each time.
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes()));
    let runtime = builder.build()?;
    let local = LocalSet::new();
    let result = local.block_on(&runtime, async {
        trace::begin(verbosity == Verbosity::Transcript);
        timeout(END, simulate(seed, disk)).await.context("it does not come to an end")?
    });
    drop(local);
    drop(runtime);
    let (hash, transcript) = trace::end();
    Ok(Outcome { hash, transcript, result })
}

async fn simulate(seed: u64, disk: Disk) -> Result<Counts> {
    let stream = |part| Random::new(seed, part);
    let clock = Clock::new();
    let network = Rc::new(Network::new(clock.clone(), stream(1)));
    let _simulated = Simulated::by(network.clone());
    let mut server = Server::new(disk, clock, network, stream(3));
    server.start()?;
    let (random, mut counts) = (stream(5), Counts::default());
    let Plan { faults, is_harmful } = fault::plan(&random);
    // Where something may be gone, readers may be told so.
    let notices = if is_harmful { Notices::Any } else { Notices::Stalls };
    let population = populate(seed, &stream(4), notices);
    for (pause, fault) in faults {
        if let Some(refused) = keep_running(&mut server, pause_for(pause), &random).await? {
            return refuse(&server.disk, &refused, counts);
        }
        counts.faults += 1;
        if let Effect::Down(down) = fault::strike(fault, &mut server, &random).await? {
            sleep(down).await;
            server.start()?;
        }
    }
    if let Some(refused) = keep_running(&mut server, pause_for(AFTER), &random).await? {
        return refuse(&server.disk, &refused, counts);
    }
    trace::log(|| "all is well from now on".to_owned());
    server.disk.heal();
    server.network.heal();
    // One that met a fault as it started may end only now.
    if let Some(refused) = keep_running(&mut server, until_ready(), &random).await? {
        return refuse(&server.disk, &refused, counts);
    }
    sleep(REST).await;
    let quiet = Quiet { from: Instant::now(), until: Instant::now() + QUIET };
    sleep_until(quiet.until).await;
    let is_harmed = server.disk.harm() != Harm::None;
    counts.harmed = u64::from(is_harmed);
    counts.operations = tokio::select! {
        biased;
        judged = verdict::judge(population, server.disk.harm(), quiet) => judged?,
        // Damage may show only now, where the server first writes to it.
        why = damaged_for_good(), if is_harmed => return refuse(&server.disk, &why, counts),
    };
    server.drain().await?;
    Ok(counts)
}

async fn pause_for(pause: Duration) -> Result<Option<String>> {
    sleep(pause).await;
    Ok(None)
}

/// Starts the server again whenever it ends, until `until` is done. Returns why it cannot be started any more, or what `until`
/// says is wrong with it.
async fn keep_running(
    server: &mut Server,
    until: impl Future<Output = Result<Option<String>>>,
    random: &Random,
) -> Result<Option<String>> {
    let mut until = pin!(until);
    let mut refusals = 0;
    loop {
        let stop = tokio::select! {
            biased;
            stop = server.ended() => stop?,
            passed = &mut until => return passed,
        };
        match stop {
            Stop::Power => server.crash().await,
            Stop::Store(why) => {
                server.kill().await;
                refusals += 1;
                // What made it fail may be over when it is tried again. A disk stays full until all is well.
                if refusals > ATTEMPTS && server.disk.files.lock().room.is_none() {
                    return Ok(Some(why));
                }
            }
        }
        sleep(Duration::from_millis(random.below(200))).await;
        server.start()?;
    }
}

/// Some publishers of every kind, and some readers.
fn populate(seed: u64, random: &Random, notices: Notices) -> Population {
    let mut population = Population::new(ADDRESS, seed);
    population.expect(notices);
    // A client of Durable Streams is not told that its channel began anew, and a producer that was forgotten cannot go on.
    let (producer, stream): (&[Door], &[Pattern]) = match notices {
        Notices::Any => (&[], &[]),
        _ => (&[Door::Producer], &[Pattern::DurableStreams]),
    };
    for (number, channel) in CHANNELS.into_iter().enumerate() {
        let is_chat = number == 0;
        population.publish(channel, &[Door::NativeKeyed], PAUSE);
        let doors = [Door::NativeKeyed, Door::Native, Door::Golongpoll, Door::Channel];
        population.publish(channel, &[random.choose(&doors)], PAUSE);
        population.publish(channel, if is_chat { &[Door::Chat] } else { producer }, PAUSE);
        for _ in 0..2 {
            let slow = random.choose(&[2, 8]);
            population.read(channel, &[random.choose(&Pattern::NATIVE)], slow);
        }
        population.read(channel, &[random.choose(&Pattern::DIALECTS)], 2);
        population.read(channel, if is_chat { &[Pattern::Chat] } else { stream }, 1);
    }
    population
}
