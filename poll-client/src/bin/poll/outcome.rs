//! What every subcommand returns.

use std::error::Error;
use std::process::ExitCode;

/// What to exit with, or what to say and exit with 1.
pub(crate) type Done = Result<ExitCode, Box<dyn Error>>;
