//! One server after another over the same disk: started, drained, killed, or stopped with its machine.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use poll_core::environment::Environment;
use poll_core::journal::FaultKind;
use poll_server::config::{Config, Given, Start};
use poll_server::listen::Listener;
use poll_server::{Ended, RunError, Shutdown, Trigger};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use xtask_torture::population::readiness;

use crate::disk::Disk;
use crate::network::{ADDRESS, Network};
use crate::platform::{Clock, Machine};
use crate::random::Random;
use crate::trace;

/// So that the whole log can be read back, and one address may have all connections. Nothing of the system's shows.
const ARGUMENTS: &[&str] = &[
    "--store=disk:simulated",
    "--workers=2",
    "--retain-messages=0",
    "--retain-seconds=0",
    "--retain-bytes=0",
    "--idempotency-seconds=86400",
    "--max-sockets=1000",
    "--max-per-address=0",
    "--max-sockets-per-address=0",
    "--drain-seconds=1",
];
/// What a drain may take, and what becoming ready may.
const PATIENCE: Duration = Duration::from_secs(1_200);
/// In this time a store tries several times what damage may stop.
const ATTEMPTS: Duration = Duration::from_secs(30);
/// How often to ask whether it is ready.
const STEP: Duration = Duration::from_millis(20);
/// How often tasks that have ended are let run.
const TURNS: usize = 32;

/// See the [module](self).
pub(crate) struct Server {
    pub(crate) disk: Disk,
    pub(crate) clock: Clock,
    pub(crate) network: Rc<Network>,
    random: Random,
    running: Option<Running>,
}

struct Running {
    end: JoinHandle<Result<Ended, RunError>>,
    trigger: Trigger,
}

impl Server {
    pub(crate) fn new(disk: Disk, clock: Clock, network: Rc<Network>, random: Random) -> Self {
        Self { disk, clock, network, random, running: None }
    }

    pub(crate) fn start(&mut self) -> Result<()> {
        let (listener, dialer) = Listener::in_process(ADDRESS);
        let (trigger, shutdown) = Shutdown::with_trigger();
        let environment = Environment::new(Machine {
            clock: self.clock.clone(),
            random: self.random.clone(),
            disk: self.disk.files.port(),
        });
        let server = poll_server::run(environment, config()?, vec![listener], shutdown);
        self.running = Some(Running { end: tokio::task::spawn_local(server), trigger });
        self.network.connect_to(dialer);
        trace::log(|| "a server starts".to_owned());
        Ok(())
    }

    /// Waits until the server ends by itself, or the power goes.
    pub(crate) async fn ended(&mut self) -> Result<Stop> {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let end = tokio::select! {
            biased;
            () = self.disk.files.power_went() => return Ok(Stop::Power),
            end = &mut running.end => end,
        };
        self.running = None;
        match end.context("the server panicked")? {
            Err(RunError::Store(error)) => {
                trace::log(|| format!("the server ends: {error}"));
                Ok(Stop::Store(error.to_string()))
            }
            other => bail!("the server ended by itself: {other:?}"),
        }
    }

    /// The process ends at once, and everything that it has.
    pub(crate) async fn kill(&mut self) {
        trace::log(|| "the server is killed".to_owned());
        self.end().await;
        self.disk.process_ended();
    }

    /// The machine loses its power.
    pub(crate) async fn crash(&mut self) {
        trace::log(|| "the machine stops".to_owned());
        self.end().await;
        self.disk.power_went();
    }

    async fn end(&mut self) {
        self.disk.files.cut_power();
        self.disk.files.power_went().await;
        self.network.machine_stopped();
        if let Some(Running { end, .. }) = self.running.take() {
            end.abort();
            // It was told to stop, or had ended already.
            drop(end.await);
        }
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    }

    /// Has the server drain and end.
    pub(crate) async fn drain(&mut self) -> Result<()> {
        trace::log(|| "the server drains".to_owned());
        let Some(Running { end, trigger }) = &mut self.running else { return Ok(()) };
        trigger.stop();
        let ended = tokio::select! {
            biased;
            () = self.disk.files.power_went() => None,
            ended = timeout(PATIENCE, end) => Some(ended),
        };
        let Some(ended) = ended else {
            self.crash().await;
            return Ok(());
        };
        let ended = ended.context("a drain has no end")?.context("the server panicked")?;
        // It may still have been opening its store.
        let is_fine = matches!(ended, Ok(Ended::Drained { .. }) | Err(RunError::Store(_)));
        ensure!(is_fine, "a drain ended with {ended:?}");
        self.running = None;
        self.kill().await;
        Ok(())
    }
}

/// Waits until all is well. Returns what the server says of its store if that is damaged for good.
pub(crate) async fn until_ready() -> Result<Option<String>> {
    let begun = Instant::now();
    let ready = async {
        while let Err(why) = readiness(ADDRESS).await {
            ensure!(begun.elapsed() < PATIENCE, "the server does not become ready: {why:#}");
            tokio::time::sleep(STEP).await;
        }
        Ok(None)
    };
    tokio::select! {
        biased;
        ready = ready => ready,
        why = damaged_for_good() => Ok(Some(why)),
    }
}

/// Waits until the server has said of its store for long enough that it is damaged, and returns what it says.
pub(crate) async fn damaged_for_good() -> String {
    let mut since = Instant::now();
    loop {
        let said = readiness(ADDRESS).await.err().map(|why| format!("{why:#}"));
        match said.filter(|why| why.contains(&FaultKind::Damaged.to_string())) {
            Some(why) if since.elapsed() >= ATTEMPTS => return why,
            Some(_) => {}
            None => since = Instant::now(),
        }
        tokio::time::sleep(STEP).await;
    }
}

/// Whether a server says now that it is ready.
pub(crate) async fn is_ready() -> bool {
    matches!(timeout(STEP, readiness(ADDRESS)).await, Ok(Ok(())))
}

/// Why a server ended.
pub(crate) enum Stop {
    Power,
    /// Its store cannot be used: why.
    Store(String),
}

fn config() -> Result<Config> {
    let arguments = ARGUMENTS.iter().map(Into::into).collect();
    let file = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let given = Given { arguments, variable: &|_| None, variables: Vec::new(), file: &file };
    match Config::read(&given) {
        Ok(Start::Serve(config)) => Ok(*config),
        other => bail!("the arguments are wrong: {other:?}"),
    }
}
