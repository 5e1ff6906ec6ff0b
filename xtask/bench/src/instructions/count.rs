//! Counting one path under valgrind.
//!
//! Instructions by callgrind, allocations by dhat. A program is run for some rounds and for twice as many, and the
//! difference is the rounds alone: start, set-up and end cancel out. Counts do not depend on what else the machine
//! does, so the four runs go side by side.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// What one operation costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cost {
    pub(super) instructions: f64,
    pub(super) allocations: f64,
    pub(super) bytes: f64,
}

/// What a whole run cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Heap {
    bytes: u64,
    allocations: u64,
}

/// What an operation of a program's path costs.
pub(super) fn cost(program: &Path, path: &str, rounds: u64, operations: u64) -> Result<Cost> {
    let start = |tool: &str, rounds: u64| {
        let mut valgrind = Command::new("valgrind");
        valgrind.args([format!("--tool={tool}"), format!("--{tool}-out-file=/dev/null")]);
        valgrind.arg(program).args([path, &rounds.to_string()]);
        let started = valgrind.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        started.context("cannot start valgrind")
    };
    let [once, twice] =
        [rounds, rounds * 2].map(|rounds| (start("callgrind", rounds), start("dhat", rounds)));
    // All are waited for, so that none is left behind when one fails.
    let [once, twice] = [once, twice].map(|(calls, heap)| (said(calls), said(heap)));
    let (calls, heap) = (once.0?, once.1?);
    let (more_calls, more_heap) = (twice.0?, twice.1?);
    let per = |less: u64, more: u64| each(more.saturating_sub(less), rounds * operations);
    let (heap, more_heap) = (allocated(&heap)?, allocated(&more_heap)?);
    Ok(Cost {
        instructions: per(collected(&calls)?, collected(&more_calls)?),
        allocations: per(heap.allocations, more_heap.allocations),
        bytes: per(heap.bytes, more_heap.bytes),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a run counts far less than 2^53")]
fn each(sum: u64, count: u64) -> f64 {
    sum as f64 / count as f64
}

/// What a run wrote for people.
fn said(run: Result<Child>) -> Result<String> {
    let output = run?.wait_with_output().context("waiting for valgrind")?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "counting failed: {}\n{}", output.status, text.trim_end());
    Ok(text)
}

/// The instructions in callgrind's summary: `==1== Collected : 100756165`.
fn collected(said: &str) -> Result<u64> {
    let count = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    count.with_context(|| format!("callgrind counted nothing:\n{said}"))
}

/// What dhat says was allocated in all: `==1== Total:     17,164,992 bytes in 40,214 blocks`.
fn allocated(said: &str) -> Result<Heap> {
    let total = |line: &str| {
        let (_, total) = line.split_once("Total:")?;
        let (bytes, blocks) = total.split_once(" bytes in ")?;
        let number = |text: &str| text.trim().replace(',', "").parse().ok();
        Some(Heap { bytes: number(bytes)?, allocations: number(blocks.strip_suffix(" blocks")?)? })
    };
    said.lines().find_map(total).with_context(|| format!("dhat counted nothing:\n{said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callgrinds_summary_is_read() {
        let said = "==7== Callgrind, a call-graph generating cache profiler\n==7== \n\
                    ==7== Events    : Ir\n==7== Collected : 100758514\n==7== \n==7== I   refs:      100,758,514\n";
        assert_eq!(collected(said).unwrap(), 100_758_514);
        assert!(collected("==7== Events    : Ir\n").is_err());
    }

    #[test]
    fn dhats_summary_is_read() {
        let said = "==7== Total:     17,164,992 bytes in 40,214 blocks\n\
                    ==7== At t-gmax: 10,788,445 bytes in 9,918 blocks\n";
        assert_eq!(allocated(said).unwrap(), Heap { bytes: 17_164_992, allocations: 40_214 });
        assert!(allocated("==7== At t-end: 592 bytes in 2 blocks\n").is_err());
    }

    #[test]
    fn what_failed_is_told_in_valgrinds_words() {
        let run = Command::new("sh").args(["-c", "echo broken >&2; exit 3"]).stderr(Stdio::piped()).spawn();
        let error = said(run.context("sh")).unwrap_err();
        assert!(format!("{error:#}").ends_with("broken"), "{error:#}");
    }
}
