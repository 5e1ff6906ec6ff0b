//! Producers that number their appends, so that each is kept exactly once.

use crate::environment::KeyedMap;
use crate::memory::{Charge, Kind, Memory, OverBudget};
use crate::types::{Recall, Retention, Timestamp};

use super::text::ProducerId;

/// What a producer says of one append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerStamp {
    /// Its name for itself.
    pub id: ProducerId,
    /// Which of its lives this is; a later one puts an end to those before.
    pub epoch: u64,
    /// The number of the append in that life: 0, 1, 2, …
    pub seq: u64,
}

/// What a channel remembers of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer {
    /// Its newest life.
    pub epoch: u64,
    /// The number of its last append.
    pub last: u64,
    /// When that was.
    pub used: Timestamp,
}

/// The most producers that a channel remembers.
const MOST: usize = 1_000;

/// What one producer costs in bytes beside its name.
const PRODUCER_BYTES: u64 = 160;

/// The producers of one channel, as they are after what is pending and as the journal has them.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    known: KeyedMap<ProducerId, Entry>,
    recall: Recall,
    charge: Option<Charge>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    handed: Producer,
    /// What was handed before that.
    before: Producer,
    /// `None` while its first append is pending.
    kept: Option<Producer>,
    pending: u32,
}

/// What is known of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// The journal has to be asked first.
    NotLoaded,
    Unknown,
    /// Everything of it is kept.
    Kept(Producer),
    /// This is how it will be if what is pending is kept; before that it was the other.
    Pending(Producer, Option<Producer>),
}

impl Producers {
    /// A table whose producers are in the journal, until they are [recalled](Self::recall).
    pub(crate) fn not_loaded() -> Self {
        Self { recall: Recall::Due, ..Self::default() }
    }

    pub(crate) fn look(&self, id: &ProducerId) -> Known {
        if self.recall == Recall::Due {
            return Known::NotLoaded;
        }
        match self.known.get(id) {
            None => Known::Unknown,
            Some(entry) if entry.pending == 0 => Known::Kept(entry.handed),
            Some(entry) => Known::Pending(entry.handed, entry.kept),
        }
    }

    /// Adds what a journal kept, unless that was done already.
    ///
    /// # Errors
    /// When there is no memory for all of them; the table is then unchanged.
    pub(crate) fn recall(
        &mut self,
        kept: Vec<(ProducerId, Producer)>,
        memory: &Memory,
    ) -> Result<(), OverBudget> {
        if self.recall == Recall::Done {
            return Ok(());
        }
        let bytes = kept.iter().map(|(id, _)| bytes(id)).sum();
        self.charge = Some(memory.charge(Kind::Keys, bytes)?);
        let entry = |producer| Entry { handed: producer, before: producer, kept: Some(producer), pending: 0 };
        self.known = kept.into_iter().map(|(id, producer)| (id, entry(producer))).collect();
        self.recall = Recall::Done;
        Ok(())
    }

    /// Makes room for one more producer. Returns the one that is forgotten for it: unused for longer than anyone tries
    /// again, so its next append is told that there is a gap.
    ///
    /// # Errors
    /// When there is none, or no memory.
    pub(crate) fn admit(
        &mut self,
        id: &ProducerId,
        now: Timestamp,
        retention: &Retention,
        memory: &Memory,
    ) -> Result<Option<ProducerId>, Full> {
        if self.known.contains_key(id) {
            return Ok(None);
        }
        let forgotten = if self.known.len() >= MOST {
            let unused = now.before(retention.idempotency);
            let idle =
                self.known.iter().filter(|(_, entry)| entry.pending == 0 && entry.handed.used < unused);
            let oldest = idle.min_by_key(|(_, entry)| entry.handed.used).map(|(id, _)| id.clone());
            Some(oldest.ok_or(Full)?)
        } else {
            None
        };
        match &mut self.charge {
            Some(charge) => charge.grow(bytes(id)).map_err(|_| Full)?,
            none => *none = Some(memory.charge(Kind::Keys, bytes(id)).map_err(|_| Full)?),
        }
        if let Some(forgotten) = &forgotten {
            self.forget(forgotten);
        }
        Ok(forgotten)
    }

    /// An append of this producer was handed to the journal; room was [made](Self::admit) for it.
    pub(crate) fn hand(&mut self, id: &ProducerId, producer: Producer) {
        let new = Entry { handed: producer, before: producer, kept: None, pending: 0 };
        let entry = self.known.entry(id.clone()).or_insert(new);
        entry.before = std::mem::replace(&mut entry.handed, producer);
        entry.pending += 1;
    }

    /// The journal has it.
    pub(crate) fn keep(&mut self, id: &ProducerId, producer: Producer) {
        if let Some(entry) = self.known.get_mut(id) {
            entry.kept = Some(producer);
            entry.pending = entry.pending.saturating_sub(1);
        }
    }

    /// The journal does not have it, and will have none that was handed over after it.
    pub(crate) fn fail(&mut self, id: &ProducerId) {
        let Some(entry) = self.known.get_mut(id) else { return };
        entry.pending = entry.pending.saturating_sub(1);
        match entry.kept {
            _ if entry.pending > 0 => {}
            Some(kept) => entry.handed = kept,
            None => self.forget(&id.clone()),
        }
    }

    /// The journal refused what was handed to it just now. What was handed before that may still be kept.
    pub(crate) fn refuse(&mut self, id: &ProducerId) {
        let Some(entry) = self.known.get_mut(id) else { return };
        entry.pending = entry.pending.saturating_sub(1);
        entry.handed = entry.before;
        if entry.pending == 0 && entry.kept.is_none() {
            self.forget(&id.clone());
        }
    }

    fn forget(&mut self, id: &ProducerId) {
        if self.known.remove(id).is_some()
            && let Some(charge) = &mut self.charge
        {
            charge.shrink(bytes(id));
        }
    }
}

/// No other producer can be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

fn bytes(id: &ProducerId) -> u64 {
    PRODUCER_BYTES + id.as_str().len() as u64
}
