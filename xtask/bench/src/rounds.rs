//! Measures scenarios on servers, round by round, each round on a fresh server.
//!
//! Servers take turns within a scenario and scenarios within a round, so that whatever else the machine does affects all
//! alike. A round that fails or loses something makes its row void, with the reason, and the others go on.

use anyhow::{Result, ensure};
use xtask::workspace::root;

use crate::cores::Cores;
use crate::machine;
use crate::results::{Round, Row, Run, Subject};
use crate::scenario::Scenario;
use crate::target::Peer;

/// Adds a row for each scenario and each server that can do it, and calls `keep` after each round, so that an
/// interrupted run is not lost.
pub(crate) fn measure(
    scenarios: &[Scenario],
    peers: &[Peer],
    rounds: u32,
    subject: Subject,
    keep: impl Fn(&Run) -> Result<()>,
) -> Result<Run> {
    ensure!(!peers.is_empty(), "there is no server to measure");
    machine::raise_file_limit()?;
    let mut run = machine::new_run(subject)?;
    let cores = Cores::find()?;
    // The scenario and the server of each row.
    let mut lanes = Vec::new();
    for scenario in scenarios {
        for peer in peers {
            if let Some(settings) = peer.settings(scenario.mode, scenario.needs) {
                lanes.push((scenario, peer));
                run.rows.push(row(scenario, peer, settings));
            }
        }
    }
    for round in 1..=rounds {
        for scenario in scenarios {
            eprintln!("round {round}/{rounds}: {} ({})", scenario.words, scenario.id);
            let mut own: Vec<usize> =
                (0..lanes.len()).filter(|&lane| lanes[lane].0.id == scenario.id).collect();
            // The order of the servers matters a little: A B, B A.
            if round.is_multiple_of(2) {
                own.reverse();
            }
            for lane in own {
                let row = &mut run.rows[lane];
                if row.void.is_none() {
                    match one(lanes[lane].1, scenario, &cores) {
                        Ok(round) => row.rounds.push(round),
                        Err(error) => row.void = Some(without_paths(&format!("{error:#}"))),
                    }
                }
                let last = row.rounds.last().cloned().into_iter().collect();
                eprintln!("  {}", Row { rounds: last, ..row.clone() });
            }
        }
        keep(&run)?;
    }
    Ok(run)
}

fn row(scenario: &Scenario, peer: &Peer, settings: String) -> Row {
    Row {
        id: scenario.id.clone(),
        scenario: scenario.words.clone(),
        operation: scenario.operation.to_owned(),
        server: peer.name.to_owned(),
        settings,
        rounds: Vec::new(),
        void: None,
    }
}

fn one(peer: &Peer, scenario: &Scenario, cores: &Cores) -> Result<Round> {
    let needs = scenario.needs;
    let running = cores.start(needs.share, || (peer.start)(needs))?;
    scenario.run(&running.target)
}

/// What a row says is published: it must not name this machine's folders.
fn without_paths(text: &str) -> String {
    text.replace(&*root().to_string_lossy(), "…")
}
