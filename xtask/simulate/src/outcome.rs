//! What came of a seed.

use anyhow::{Result, ensure};

use crate::disk::{Disk, Harm};
use crate::trace::Transcript;

/// The result of a seed.
pub(crate) struct Outcome {
    pub(crate) hash: u64,
    pub(crate) transcript: Transcript,
    pub(crate) result: Result<Counts>,
}

/// What was done in it, and how often.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) operations: u64,
    pub(crate) faults: u64,
    pub(crate) harmed: u64,
    pub(crate) refused: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.operations += other.operations;
        self.faults += other.faults;
        self.harmed += other.harmed;
        self.refused += other.refused;
    }
}

/// A store that was changed below the server may be refused; any other may not.
pub(crate) fn refuse(disk: &Disk, why: &str, counts: Counts) -> Result<Counts> {
    ensure!(disk.harm() != Harm::None, "the server cannot use its store: {why}");
    Ok(Counts { refused: 1, harmed: 1, ..counts })
}
