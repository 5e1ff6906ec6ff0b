//! `cargo xtask bench`: what a delivery costs, measured beside others on the same machine in the same run.
//!
//! The server under test runs on one core and the load on another, so that what is counted is the server's alone. CPU
//! per operation is the figure that holds on a noisy machine; times are shown for orientation. What is measured lives
//! below: the load and its scenarios, the servers, the figures, and how they are written down.

mod figures;
mod http2;
mod meter;
mod million;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

/// The command's arguments.
#[derive(Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    course: Option<Course>,
}

#[derive(Subcommand)]
enum Course {
    /// Let a million wait over HTTP/2, and reach them all with one publish
    Million(million::Million),
}

impl Bench {
    pub(crate) fn run(&self) -> Result<()> {
        match &self.course {
            Some(Course::Million(million)) => million.run(),
            None => bail!("no course"),
        }
    }
}
