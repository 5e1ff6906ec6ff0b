//! The operator's guide, followed to the letter: every fence of `docs/operations.md` that is marked for Debian is run in the
//! container.
//!
//! All of them run in one shell, as they do for a reader, so a variable set in one is there in the next.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::debian::Debian;
use crate::fences::{self, Fence, Mark};
use xtask::workspace::root;

const GUIDE: &str = "docs/operations.md";
/// Separates the output of one fence from that of the next.
const BORDER: &str = "-- fence --";
/// What the guide takes for granted: certbot has obtained a certificate.
const CERTBOT: &str = "
lineage=/etc/letsencrypt/live/poll.example.com
mkdir -p $lineage
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=poll.example.com \
    -addext subjectAltName=DNS:poll.example.com -keyout $lineage/privkey.pem -out $lineage/fullchain.pem 2>/dev/null
export RENEWED_LINEAGE=$lineage
";

/// Follows the guide, with the package in root's home.
pub(super) fn follow(debian: &Debian, package: &Path) -> Result<()> {
    let text = fs::read_to_string(root().join(GUIDE))?;
    let fences = fences::parse(&text).map_err(|(line, what)| anyhow::anyhow!("{GUIDE}:{line}: {what}"))?;
    let is_for_debian = |fence: &Fence| matches!(fence.mark, Some(Mark::RunInDebian | Mark::CheckInDebian));
    let fences: Vec<Fence> = fences.into_iter().filter(is_for_debian).collect();
    ensure!(!fences.is_empty(), "{GUIDE} has no fence for a Debian system");
    let name = package.file_name().context("the package has no name")?;
    fs::copy(package, debian.home().join(name))?;
    let scripts: String = fences
        .iter()
        .map(|fence| format!("{}\necho '{BORDER}'; echo '{BORDER}' >&2\n", fence.script()))
        .collect();
    let done = debian
        .command(&["timeout", "300", "bash", "-euo", "pipefail", "-c", &(CERTBOT.to_owned() + &scripts)])
        .output()
        .context("cannot start nsenter")?;
    let (printed, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let end = format!("{BORDER}\n");
    let finished = printed.matches(&end).count();
    let (mut printed, mut errors) = (printed.split(&end), errors.split(&end));
    for (index, fence) in fences.iter().enumerate() {
        let (printed, errors) = (printed.next().unwrap_or_default(), errors.next().unwrap_or_default());
        let place = format!("{GUIDE}:{}", fence.line);
        ensure!(index < finished, "{place} failed:\n{printed}{errors}\n{}", debian.journal());
        if let Some(expected) = &fence.expected {
            let fits = fences::matches(expected, printed);
            ensure!(fits, "{place} is said to print\n{expected}\nbut it printed\n{printed}{errors}");
        }
    }
    println!("followed: {} fences of {GUIDE}", fences.len());
    Ok(())
}
