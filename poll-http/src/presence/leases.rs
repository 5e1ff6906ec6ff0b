//! Which servers have been silent for too long.
//!
//! What: a pure table of when each server was last heard. A server judges the others only while its own records come
//! through: silence while the log was away, or while this process stood still, says nothing about them.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::attendance::LINGER;
use super::record::Node;

/// How often a server renews its lease.
pub(super) const RENEW: Duration = Duration::from_secs(2);

/// How long a lease lasts. A client is present for at least [`LINGER`] after its server's end.
pub(super) const LEASE: Duration = LINGER.saturating_add(RENEW);

/// After its own records were out for so long, a server knows nothing about the others.
const DEAF: Duration = Duration::from_secs(5);

pub(super) struct Leases {
    me: Node,
    heard: BTreeMap<Node, Instant>,
}

impl Leases {
    pub(super) fn new(me: Node) -> Self {
        Self { me, heard: BTreeMap::new() }
    }

    /// A record of a server was read.
    pub(super) fn heard(&mut self, node: Node, now: Instant) {
        if node == self.me && self.is_deaf(now) {
            self.heard.values_mut().for_each(|heard| *heard = now);
        }
        self.heard.insert(node, now);
    }

    /// A server's lease is over.
    pub(super) fn ended(&mut self, node: Node) {
        self.heard.remove(&node);
    }

    /// The servers whose lease is over.
    pub(super) fn over(&self, now: Instant) -> Vec<Node> {
        if self.is_deaf(now) {
            return Vec::new();
        }
        let over = self.heard.iter().filter(|(node, heard)| **node != self.me && now >= **heard + LEASE);
        over.map(|(node, _)| *node).collect()
    }

    /// When the next lease is over, unless its server is heard before; `None` while nothing is known.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        if self.is_deaf(now) {
            return None;
        }
        let others = self.heard.iter().filter(|(node, _)| **node != self.me);
        others.map(|(_, heard)| *heard + LEASE).min()
    }

    fn is_deaf(&self, now: Instant) -> bool {
        self.heard.get(&self.me).is_none_or(|heard| now > *heard + DEAF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn others_are_judged_only_while_own_records_come_through() {
        let (me, other) = (Node::from(1), Node::from(2));
        let mut leases = Leases::new(me);
        let start = Instant::now();
        leases.heard(other, start);
        assert_eq!(leases.over(start + 20 * SECOND), [], "nothing of its own has come through yet");
        for second in (0..=12).step_by(2) {
            leases.heard(me, start + second * SECOND);
        }
        assert_eq!(leases.next(start + 12 * SECOND), Some(start + LEASE));
        assert_eq!(leases.over(start + 12 * SECOND - Duration::from_millis(1)), []);
        assert_eq!(leases.over(start + 12 * SECOND), [other]);
        // The log was away for a minute: everyone has time to come back.
        leases.heard(me, start + 72 * SECOND);
        assert_eq!(leases.over(start + 74 * SECOND), []);
        for second in (74..=84).step_by(2) {
            leases.heard(me, start + second * SECOND);
        }
        assert_eq!(leases.over(start + 84 * SECOND), [other]);
        leases.ended(other);
        assert_eq!((leases.over(start + 84 * SECOND), leases.next(start + 84 * SECOND)), (vec![], None));
    }
}
