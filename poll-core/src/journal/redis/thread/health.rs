//! Whether a message published now would reach every reader, and why not.
//!
//! Each session with a server of the log shows signs: of its commands, of its subscription, of what Redis refuses. A
//! connection that ends is opened again at once, so it may be away for a moment before that counts; silence is noticed late
//! as it is and counts immediately.

use std::time::Duration;

use tokio::time::Instant;

use crate::journal::{Fault, FaultKind, Health};

/// How long a connection may be away before publishers and readers are told. With a silence of
/// [`SILENCE`](super::subscription::SILENCE) before it, that stays below the five seconds that are promised.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// What one session shows.
#[derive(Debug, Clone)]
pub(crate) struct Signs {
    pub(crate) commands: Sign,
    pub(crate) subscription: Sign,
    /// What Redis refuses, since the last time that it accepted a write.
    pub(crate) refusing: Option<Fault>,
}

/// Whether a connection works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sign {
    Good,
    /// It ended, or was not opened yet.
    Ended {
        since: Instant,
        fault: Fault,
    },
    /// It is open and answers nothing.
    Silent {
        since: Instant,
        fault: Fault,
    },
}

impl Signs {
    /// Those of a session that begins.
    pub(crate) fn new(now: Instant, server: &str) -> Self {
        let fault = Fault::new(FaultKind::Opening, format!("{server} is being connected to"));
        let ended = Sign::Ended { since: now, fault };
        Self { commands: ended.clone(), subscription: ended, refusing: None }
    }

    /// Since when something does not work, if something does not.
    pub(crate) fn since(&self) -> Option<Instant> {
        [&self.commands, &self.subscription].into_iter().filter_map(Sign::since).min()
    }

    fn health(&self, now: Instant) -> Health {
        if let Some(fault) = self.commands.fault(now) {
            return Health::Away(fault.clone());
        }
        let refused = self.refusing.as_ref().or_else(|| self.subscription.fault(now));
        match refused {
            None => Health::Ready,
            // While it loads its file or runs something long it reads nothing either.
            Some(fault) if matches!(fault.kind, FaultKind::Loading | FaultKind::Stalled) => {
                Health::Away(fault.clone())
            }
            Some(fault) => Health::Refusing(fault.clone()),
        }
    }
}

impl Sign {
    /// What is wrong, once it counts.
    pub(crate) fn fault(&self, now: Instant) -> Option<&Fault> {
        match self {
            Self::Good => None,
            Self::Ended { since, fault } => (now.duration_since(*since) >= GRACE).then_some(fault),
            Self::Silent { fault, .. } => Some(fault),
        }
    }

    fn since(&self) -> Option<Instant> {
        match self {
            Self::Good => None,
            Self::Ended { since, .. } | Self::Silent { since, .. } => Some(*since),
        }
    }

    /// The connection is open and answers nothing. It counts at once, and so does whatever follows it.
    pub(crate) fn silence(&mut self, now: Instant, fault: Fault) {
        let before = now.checked_sub(GRACE).unwrap_or(now);
        *self = Self::Silent { since: self.since().unwrap_or(before).min(before), fault };
    }

    /// The connection ended, or could still not be opened.
    pub(crate) fn end(&mut self, now: Instant, fault: Fault) {
        match self {
            Self::Good => *self = Self::Ended { since: now, fault },
            Self::Ended { fault: old, .. } | Self::Silent { fault: old, .. } => *old = fault,
        }
    }
}

/// The health of a journal whose sessions show these signs. The worst counts.
pub(crate) fn health<'a>(sessions: impl Iterator<Item = &'a Signs>, now: Instant) -> Health {
    let mut refusing = Health::Ready;
    for signs in sessions {
        match signs.health(now) {
            Health::Ready => {}
            Health::Refusing(fault) => refusing = Health::Refusing(fault),
            away => return away,
        }
    }
    refusing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: FaultKind) -> Fault {
        Fault::new(kind, "x")
    }

    fn good() -> Signs {
        Signs { commands: Sign::Good, subscription: Sign::Good, refusing: None }
    }

    #[test]
    fn a_connection_may_be_away_for_a_moment() {
        let now = Instant::now();
        let mut signs = good();
        signs.commands.end(now, fault(FaultKind::Failing));
        assert_eq!(health([&signs].into_iter(), now + GRACE / 2), Health::Ready);
        // That it fails again does not give it another moment.
        signs.commands.end(now + GRACE / 2, fault(FaultKind::Gone));
        assert_eq!(health([&signs].into_iter(), now + GRACE), Health::Away(fault(FaultKind::Gone)));
    }

    #[test]
    fn the_worst_counts() {
        let now = Instant::now();
        let (mut full, mut silent, mut loading) = (good(), good(), good());
        full.refusing = Some(fault(FaultKind::Full));
        silent.subscription.silence(now, fault(FaultKind::Silent));
        loading.refusing = Some(fault(FaultKind::Loading));
        assert_eq!(health([&good(), &full].into_iter(), now), Health::Refusing(fault(FaultKind::Full)));
        assert_eq!(
            health([&full, &loading, &good()].into_iter(), now),
            Health::Away(fault(FaultKind::Loading))
        );
        assert_eq!(health([&silent].into_iter(), now), Health::Refusing(fault(FaultKind::Silent)));
        assert_eq!(health([&good()].into_iter(), now), Health::Ready);
    }
}
