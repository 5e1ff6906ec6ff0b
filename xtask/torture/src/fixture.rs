//! What every course starts from: a server's program, random numbers that can be repeated, and a runtime.
//!
//! All clients share one thread, so their bookkeeping needs no locks and the server has the other cores.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use clap::ValueEnum;
use tokio::task::LocalSet;

use xtask::server::Binary;

use crate::secured::{self, Certificate};

/// How long a server may take to drain when nobody asks it for anything.
pub(super) const DRAIN: Duration = Duration::from_secs(30);
/// A log that is judged must be read back from its beginning.
pub(super) const WHOLE_LOG: &str = "--retain-messages=0";
/// All clients of a course have one address.
pub(super) const ONE_ADDRESS: [&str; 2] = ["--max-per-address=0", "--max-sockets-per-address=0"];

/// The arguments that all courses have.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Fixture {
    /// Seed of the random numbers; every run prints its own
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Use this server instead of building one
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// Have servers and clients speak TLS
    #[arg(long)]
    tls: bool,
}

impl Fixture {
    /// For a course to which TLS would add nothing, for this reason.
    pub(super) fn plain_binary(&self, why: &str) -> Result<Binary> {
        ensure!(!self.tls, "this course has no `--tls`: {why}");
        Binary::given_or_built(self.server.as_deref())
    }

    /// With TLS where that is asked for, for as long as the certificate is held.
    pub(super) fn secured_binary(&self) -> Result<(Binary, Option<Certificate>)> {
        let binary = Binary::given_or_built(self.server.as_deref())?;
        if !self.tls {
            return Ok((binary, None));
        }
        let (binary, certificate) = secured::secure(binary)?;
        Ok((binary, Some(certificate)))
    }

    pub(super) fn with_tls(self) -> Self {
        Self { tls: true, ..self }
    }

    /// What to say of it in a first line.
    pub(super) fn security(&self) -> &'static str {
        if self.tls { " over TLS" } else { "" }
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

/// A value's name on the command line, which is also its name in tables.
pub(super) fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
