//! What every course runs on: a server's program, random numbers that can be had again, and a runtime.
//!
//! The clients share one thread, so that their bookkeeping needs no locks and the server has the other cores.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use tokio::task::LocalSet;

use xtask::server::Binary;

/// The arguments that all courses have.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Ground {
    /// Where the random numbers start; said at the start of every run
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Use this server instead of building one
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    #[arg(skip)]
    built: Option<Binary>,
}

impl Ground {
    pub(super) fn binary(&self) -> Result<Binary> {
        match &self.built {
            Some(binary) => Ok(binary.clone()),
            None => Binary::given_or_built(self.server.as_deref()),
        }
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(rand::random)
    }
}

/// Runs a course to its end.
pub(super) fn block_on<T>(course: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, course)
}
