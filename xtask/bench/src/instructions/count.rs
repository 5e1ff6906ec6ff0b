//! Counts one path under valgrind: instructions with callgrind, allocations with dhat.
//!
//! A program runs for some rounds and for twice as many; in the difference, start and end cancel out. Counts do not
//! depend on what else the machine does, so the four runs go on at once.

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

pub(super) fn cost(program: &Path, path: &str, rounds: u64, operations: u64) -> Result<Cost> {
    let start = |tool: &str, rounds: u64| {
        let mut valgrind = Command::new("valgrind");
        valgrind.args([format!("--tool={tool}"), format!("--{tool}-out-file=/dev/null")]);
        valgrind.arg(program).args([path, &rounds.to_string()]);
        let started = valgrind.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        started.context("cannot start valgrind")
    };
    let runs = [rounds, rounds * 2].map(|rounds| (start("callgrind", rounds), start("dhat", rounds)));
    // Waits for all, so that none is left behind if one fails.
    let [once, twice] = runs.map(|(calls, heap)| (report(calls), report(heap)));
    let [(calls, heap), (more_calls, more_heap)] = [(once.0?, once.1?), (twice.0?, twice.1?)];
    let ((bytes, blocks), (more_bytes, more_blocks)) = (allocated(&heap)?, allocated(&more_heap)?);
    #[expect(clippy::cast_precision_loss, reason = "a run counts far less than 2^53")]
    let each = |less: u64, more: u64| more.saturating_sub(less) as f64 / (rounds * operations) as f64;
    Ok(Cost {
        instructions: each(collected(&calls)?, collected(&more_calls)?),
        allocations: each(blocks, more_blocks),
        bytes: each(bytes, more_bytes),
    })
}

/// What valgrind printed.
fn report(run: Result<Child>) -> Result<String> {
    let output = run?.wait_with_output().context("waiting for valgrind")?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "counting failed: {}\n{}", output.status, text.trim_end());
    Ok(text)
}

/// The instructions in callgrind's summary: `==1== Collected : 100756165`.
fn collected(report: &str) -> Result<u64> {
    let count = report.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    count.with_context(|| format!("callgrind printed no count:\n{report}"))
}

/// Bytes and blocks in dhat's summary: `==1== Total:     17,164,992 bytes in 40,214 blocks`.
fn allocated(report: &str) -> Result<(u64, u64)> {
    let number = |text: &str| text.trim().replace(',', "").parse().ok();
    let total = |line: &str| {
        let (bytes, blocks) = line.split_once("Total:")?.1.split_once(" bytes in ")?;
        Some((number(bytes)?, number(blocks.strip_suffix(" blocks")?)?))
    };
    report.lines().find_map(total).with_context(|| format!("dhat printed no count:\n{report}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valgrinds_summaries_are_read() {
        let calls =
            "==7== Events    : Ir\n==7== Collected : 100758514\n==7== \n==7== I   refs:      100,758,514\n";
        assert_eq!(collected(calls).unwrap(), 100_758_514);
        assert!(collected("==7== Events    : Ir\n").is_err());
        let heap = "==7== Total:     17,164,992 bytes in 40,214 blocks\n\
                    ==7== At t-gmax: 10,788,445 bytes in 9,918 blocks\n";
        assert_eq!(allocated(heap).unwrap(), (17_164_992, 40_214));
        assert!(allocated("==7== At t-end: 592 bytes in 2 blocks\n").is_err());
    }
}
