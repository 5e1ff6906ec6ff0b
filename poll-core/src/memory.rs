//! One account for everything that peers can make the server hold beside the log.
//!
//! A log has its own bounds ([`Retention`](crate::Retention)). Everything else that grows with what peers send or leave
//! unread is charged here before it is held, under a [`Kind`], and released when its [`Charge`] is dropped. Each kind
//! has its own share of the budget, so that no kind can starve another.
//!
//! Sizes are estimates of what the allocator hands out: callers add the size of their records and tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// The budget, and what is used of it. A clone is the same account.
#[derive(Debug, Clone)]
pub struct Memory(Arc<Account>);

#[derive(Debug)]
struct Account {
    budget: u64,
    kinds: [Entry; Kind::ALL.len()],
}

/// One kind's share.
#[derive(Debug, Default)]
struct Entry {
    bound: u64,
    used: AtomicU64,
    refused: AtomicU64,
}

/// What is held, by what makes it grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Idempotency keys and their publishes' numbers.
    Keys,
    /// Receipts: which clients got which messages.
    Receipts,
    /// Names that waiting requests hold, of channels and of clients.
    Names,
    /// Request content that is being received or published.
    Bodies,
    /// Messages and rendered answers that readers have not received yet.
    Answers,
    /// Pending reads from the journal.
    ArchiveReads,
    /// Which named clients wait on which channels.
    Presence,
    /// Times of evicted messages, for readers positioned by time or id.
    Times,
    /// TLS handshakes under way, and records that are not whole.
    TlsBuffers,
    /// What TLS keeps of each connection. It has no share, because the number of connections is limited.
    TlsSessions,
}

/// There is no memory left in a kind's share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverBudget(pub Kind);

/// Bytes on the account, released when this is dropped.
#[must_use = "a charge is released when it is dropped"]
#[derive(Debug)]
pub struct Charge {
    memory: Memory,
    kind: Kind,
    bytes: u64,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::Keys,
        Self::Receipts,
        Self::Names,
        Self::Bodies,
        Self::Answers,
        Self::ArchiveReads,
        Self::Presence,
        Self::Times,
        Self::TlsBuffers,
        Self::TlsSessions,
    ];

    /// The kind's name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Receipts => "notes",
            Self::Names => "names",
            Self::Bodies => "bodies",
            Self::Answers => "answers",
            Self::ArchiveReads => "cold_reads",
            Self::Presence => "presence",
            Self::Times => "times",
            Self::TlsBuffers => "tls_buffers",
            Self::TlsSessions => "tls_sessions",
        }
    }

    /// How many sixteenths of the budget the kind may use. Together they are sixteen, and two more
    /// where presence is kept; none means that it has no bound here.
    const fn sixteenths(self) -> u64 {
        match self {
            Self::Answers => 4,
            Self::Keys | Self::Bodies => 3,
            Self::Names | Self::Presence => 2,
            Self::Receipts | Self::ArchiveReads | Self::Times | Self::TlsBuffers => 1,
            Self::TlsSessions => 0,
        }
    }
}

impl Memory {
    /// 64 MiB: a small machine has that to spare beside a gibibyte of log.
    pub const DEFAULT_BYTES: u64 = 64 << 20;

    /// An account with a budget in bytes; zero means no bound.
    #[must_use]
    pub fn new(budget: u64) -> Self {
        let bound = |kind: Kind| match kind.sixteenths() {
            0 => u64::MAX,
            _ if budget == 0 => u64::MAX,
            share => budget / 16 * share,
        };
        let entry = |kind: Kind| Entry { bound: bound(kind), ..Entry::default() };
        Self(Arc::new(Account { budget, kinds: Kind::ALL.map(entry) }))
    }

    /// Puts bytes on the account.
    ///
    /// # Errors
    /// When the kind's share has no room for them; counted in [`refused`](Self::refused).
    pub fn charge(&self, kind: Kind, bytes: u64) -> Result<Charge, OverBudget> {
        self.add(kind, bytes)?;
        Ok(Charge { memory: self.clone(), kind, bytes })
    }

    /// The same without a limit, for data that is small and limited elsewhere: it leaves less for the rest.
    pub fn charge_unbounded(&self, kind: Kind, bytes: u64) -> Charge {
        self.0.kinds[kind as usize].used.fetch_add(bytes, Ordering::Relaxed);
        Charge { memory: self.clone(), kind, bytes }
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self, kind: Kind) -> u64 {
        self.0.kinds[kind as usize].used.load(Ordering::Relaxed)
    }

    /// The kind's share in bytes; [`u64::MAX`] where there is no bound.
    #[must_use]
    pub fn bound(&self, kind: Kind) -> u64 {
        self.0.kinds[kind as usize].bound
    }

    /// How often there was no memory left.
    #[must_use]
    pub fn refused(&self, kind: Kind) -> u64 {
        self.0.kinds[kind as usize].refused.load(Ordering::Relaxed)
    }

    /// The whole budget in bytes; zero means no bound.
    #[must_use]
    pub fn budget(&self) -> u64 {
        self.0.budget
    }

    fn add(&self, kind: Kind, bytes: u64) -> Result<(), OverBudget> {
        let Entry { bound, used, refused } = &self.0.kinds[kind as usize];
        // Added first and taken back if it was too much: one atomic operation in the common case.
        let before = used.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= *bound {
            return Ok(());
        }
        used.fetch_sub(bytes, Ordering::Relaxed);
        refused.fetch_add(1, Ordering::Relaxed);
        Err(OverBudget(kind))
    }

    fn release(&self, kind: Kind, bytes: u64) {
        self.0.kinds[kind as usize].used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(Self::DEFAULT_BYTES)
    }
}

impl Charge {
    /// The account that this is on.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The bytes that are charged.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Charges more.
    ///
    /// # Errors
    /// When there is no memory for more; what was charged before stays.
    pub fn grow(&mut self, more: u64) -> Result<(), OverBudget> {
        self.memory.add(self.kind, more)?;
        self.bytes += more;
        Ok(())
    }

    /// Charges more without a bound, where room was reserved before.
    pub fn grow_unbounded(&mut self, more: u64) {
        self.memory.0.kinds[self.kind as usize].used.fetch_add(more, Ordering::Relaxed);
        self.bytes += more;
    }

    /// Ties the charge to bytes: it is released when the last slice of them is dropped.
    #[must_use]
    pub fn hold(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Charged { bytes, _charge: self })
    }

    /// Releases some of it, at most all.
    pub fn shrink(&mut self, less: u64) {
        let less = less.min(self.bytes);
        self.memory.release(self.kind, less);
        self.bytes -= less;
    }
}

/// Bytes and their charge.
struct Charged {
    bytes: Bytes,
    _charge: Charge,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.release(self.kind, self.bytes);
    }
}

impl std::fmt::Display for OverBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no memory left for {}", self.0.name().replace('_', " "))
    }
}

impl std::error::Error for OverBudget {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_the_budget() {
        let usual = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Presence);
        assert_eq!(usual.map(Kind::sixteenths).sum::<u64>(), 16);
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
        }
    }

    #[test]
    fn a_kind_is_bounded_by_its_share_and_leaves_others_alone() {
        let memory = Memory::new(1600);
        let first = memory.charge(Kind::Keys, 200).unwrap();
        assert_eq!(memory.charge(Kind::Keys, 101).unwrap_err(), OverBudget(Kind::Keys));
        assert_eq!(memory.refused(Kind::Keys), 1);
        let second = memory.charge(Kind::Keys, 100).unwrap();
        assert_eq!(memory.used(Kind::Keys), 300);
        assert_eq!(memory.charge(Kind::Answers, 400).unwrap().bytes(), 400);
        drop((first, second));
        assert_eq!((memory.used(Kind::Keys), memory.used(Kind::Answers)), (0, 0));
    }

    #[test]
    fn a_charge_grows_and_shrinks_within_the_share() {
        let memory = Memory::new(1600);
        let mut charge = memory.charge(Kind::Times, 60).unwrap();
        assert!(charge.grow(41).is_err());
        charge.grow(40).unwrap();
        assert_eq!(memory.used(Kind::Times), 100);
        charge.shrink(1_000);
        assert_eq!(memory.used(Kind::Times), 0);
        let _over = memory.charge_unbounded(Kind::Times, 200);
        assert!(charge.grow(1).is_err());
    }

    #[test]
    fn bytes_hold_their_charge_until_the_last_part_is_dropped() {
        let memory = Memory::new(1600);
        let bytes = memory.charge(Kind::Answers, 100).unwrap().hold(Bytes::from_static(&[0; 100]));
        let part = bytes.slice(10..20);
        drop(bytes);
        assert_eq!(memory.used(Kind::Answers), 100);
        drop(part);
        assert_eq!(memory.used(Kind::Answers), 0);
    }

    #[test]
    fn zero_is_no_bound() {
        let memory = Memory::new(0);
        assert!(memory.charge(Kind::Receipts, 1 << 40).is_ok());
    }
}
