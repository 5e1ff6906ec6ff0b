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

/// What is told of a journal that shows these signs, after `before` was told. The worst counts.
///
/// The moment that a connection may be away is for journals that work. One that was told not to works again once all of it
/// does: its subscription may be back before its commands, whose end was noticed later.
pub(crate) fn health<'a>(
    before: &Health,
    served: &Sign,
    sessions: impl Iterator<Item = &'a Signs> + Clone,
    now: Instant,
) -> Health {
    let is_good = *served == Sign::Good && sessions.clone().all(|signs| signs.since().is_none());
    match worst(served, sessions, now) {
        Health::Ready if !is_good => before.clone(),
        health => health,
    }
}

fn worst<'a>(served: &Sign, sessions: impl Iterator<Item = &'a Signs>, now: Instant) -> Health {
    if let Some(fault) = served.fault(now) {
        return Health::Away(fault.clone());
    }
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

    /// What is told of a journal that was ready.
    fn first_told(sessions: &[&Signs], now: Instant) -> Health {
        health(&Health::Ready, &Sign::Good, sessions.iter().copied(), now)
    }

    #[test]
    fn a_connection_may_be_away_for_a_moment() {
        let now = Instant::now();
        let mut signs = good();
        signs.commands.end(now, fault(FaultKind::Failing));
        assert_eq!(first_told(&[&signs], now + GRACE / 2), Health::Ready);
        // That it fails again does not give it another moment.
        signs.commands.end(now + GRACE / 2, fault(FaultKind::Gone));
        assert_eq!(first_told(&[&signs], now + GRACE), Health::Away(fault(FaultKind::Gone)));
    }

    /// Redis ends. The subscription hears that at once, the commands with the next pulse; and the subscription is the first
    /// to be back.
    #[test]
    fn what_was_told_lasts_until_everything_works() {
        let begun = Instant::now();
        let mut signs = good();
        signs.subscription.end(begun, fault(FaultKind::Unreachable));
        let pulse = begun + GRACE * 4 / 5;
        signs.commands.end(pulse, fault(FaultKind::Unreachable));
        let told = first_told(&[&signs], begun + GRACE);
        assert_eq!(told, Health::Refusing(fault(FaultKind::Unreachable)));

        signs.subscription = Sign::Good;
        let health = |signs: &Signs, served: &Sign, now| health(&told, served, [signs].into_iter(), now);
        assert_eq!(health(&signs, &Sign::Good, begun + GRACE * 3 / 2), told, "the commands are away");
        let away = Health::Away(fault(FaultKind::Unreachable));
        assert_eq!(health(&signs, &Sign::Good, pulse + GRACE), away);

        signs.commands = Sign::Good;
        let unserved = Sign::Ended { since: pulse, fault: fault(FaultKind::Unreachable) };
        assert_eq!(health(&signs, &unserved, begun + GRACE * 3 / 2), told, "partitions have no server");
        assert_eq!(health(&signs, &Sign::Good, begun + GRACE * 3 / 2), Health::Ready);
    }

    #[test]
    fn the_worst_counts() {
        let now = Instant::now();
        let (mut full, mut silent, mut loading) = (good(), good(), good());
        full.refusing = Some(fault(FaultKind::Full));
        silent.subscription.silence(now, fault(FaultKind::Silent));
        loading.refusing = Some(fault(FaultKind::Loading));
        assert_eq!(first_told(&[&good(), &full], now), Health::Refusing(fault(FaultKind::Full)));
        assert_eq!(first_told(&[&full, &loading, &good()], now), Health::Away(fault(FaultKind::Loading)));
        assert_eq!(first_told(&[&silent], now), Health::Refusing(fault(FaultKind::Silent)));
        assert_eq!(first_told(&[&good()], now), Health::Ready);
    }
}
