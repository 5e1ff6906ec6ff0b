//! Bugs that are planted into the server, one at a time.
//!
//! They are in the server's own code (`poll_core::planted`), in this build only, and inactive in every other simulation.

use poll_core::planted::Bug;

/// Each, and what it is called.
pub(crate) const ALL: [(&str, Bug); 5] = [
    ("acknowledgement", Bug::EarlyAcknowledgement),
    ("checksum", Bug::SkippedChecksum),
    ("wake-up", Bug::LostWakeUp),
    ("recovery", Bug::OffByOne),
    ("cursor", Bug::CursorFromTheClock),
];

/// A bug by its name.
pub(crate) fn named(name: &str) -> Result<Bug, String> {
    let known = ALL.iter().find(|(known, _)| *known == name);
    known.map(|(_, bug)| *bug).ok_or_else(|| format!("there are {}", ALL.map(|(name, _)| name).join(", ")))
}

/// Plants it on this thread.
pub(crate) fn plant(bug: Option<Bug>) {
    #[cfg(poll_planted)]
    poll_core::planted::plant(bug);
    // Other builds have none, which `find_all` says.
    #[cfg(not(poll_planted))]
    let _ = bug;
}
