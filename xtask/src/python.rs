//! Programs from PyPI that tests call, in a virtual environment of their own under the target folder.
//!
//! Made anew when the list of what belongs into it changes. Knows nothing of what the programs do.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::steps::Skip;
use crate::tools::{self, Install, Tool};
use crate::workspace::{output, run, target};

const PYTHON: &[Tool] =
    &[Tool { program: "python3", package: "python3", purpose: "programs that check from outside" }];
/// Debian splits it from Python; nothing but dpkg's own record is always in the same place.
const VENV: &[Tool] = &[Tool {
    program: "/var/lib/dpkg/info/python3-venv.list",
    package: "python3-venv",
    purpose: "programs that check from outside",
}];

/// The folder of the programs that `requirements` lists, installed if need be.
///
/// # Errors
/// [`Skip`] if they cannot be fetched; or Python is missing and may not be installed.
pub fn programs(name: &str, requirements: &Path, install: Install) -> Result<PathBuf> {
    tools::ensure_these(PYTHON, "the checks from outside", install)?;
    let folder = target().join("python").join(name);
    let (bin, stamp) = (folder.join("bin"), folder.join("requirements.txt"));
    let wanted = std::fs::read_to_string(requirements)?;
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(bin);
    }
    if output(python().args(["-c", "import ensurepip, venv"])).is_err() {
        tools::ensure_these(VENV, "the checks from outside", install)?;
    }
    run(python().args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut pip = Command::new(bin.join("pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(requirements);
    if let Err(error) = run(&mut pip) {
        bail!(Skip(format!("pip cannot fetch what {name} needs: {error}")));
    }
    std::fs::write(stamp, wanted)?;
    Ok(bin)
}

/// The system's own Python, unless there is none: a version manager's may lack modules.
fn python() -> Command {
    let system = Path::new("/usr/bin/python3");
    Command::new(if system.is_file() { system } else { Path::new("python3") })
}
