//! What was rendered from messages that readers share, and the memory that it takes.

use std::sync::OnceLock;

use bytes::Bytes;

use crate::memory::{Charge, Kind, Memory, OverBudget};

/// Messages up to this weight in bytes are held even when the account is full: there are no more of them than waiting
/// readers, and a full account must not refuse small answers. Twice the payload that [`Limit`](crate::Limit) is reduced
/// to then, because messages weigh more than their payload.
const SMALL: u64 = 8 * 1024;

/// A part of a batch up to this many bytes is held even when the account is full: a reader holds one at a time, and
/// would lose an answer that has begun.
const PART: u64 = 32 * 1024;

/// A slot for one form's rendering, which leads to the slot of the next form: most batches are rendered in one form.
type Slot = OnceLock<Box<Rendered>>;

#[derive(Debug)]
struct Rendered {
    form: Form,
    rendering: Rendering,
    next: Slot,
}

/// Identifies one rendering of a batch, such as `"chat"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form(&'static str);

/// A batch as bytes, and where each message's part ends.
#[derive(Debug, Clone, Default)]
pub struct Rendering {
    /// All parts, one after another.
    pub bytes: Bytes,
    /// The end of each part as an offset into `bytes`; empty if the parts are not needed.
    pub ends: Box<[usize]>,
}

impl Form {
    /// The form with this name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }
}

impl Rendering {
    /// The part of the message at `index`.
    #[must_use]
    pub fn part(&self, index: usize) -> Option<Bytes> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(self.bytes.slice(start..end))
    }
}

/// The renderings of messages that readers share, and the charge for both.
#[derive(Debug)]
pub(crate) struct Renderings {
    rendered: Slot,
    /// For the messages, which the log may evict while a reader still holds them. `None` where there was no memory for
    /// it.
    charge: Option<Charge>,
}

impl Renderings {
    /// Of messages of this weight.
    pub(crate) fn new(weight: u64, memory: &Memory) -> Self {
        let charge = if weight <= SMALL {
            Some(memory.charge_unbounded(Kind::Answers, weight))
        } else {
            memory.charge(Kind::Answers, weight).ok()
        };
        Self { rendered: Slot::new(), charge }
    }

    /// See [`Batch::is_over_budget`](super::Batch::is_over_budget).
    pub(crate) fn is_over_budget(&self) -> bool {
        let Some(charge) = &self.charge else { return true };
        let memory = charge.memory();
        // What is rendered is charged without a bound, so more than the share may be in use.
        charge.bytes() > SMALL && memory.used(Kind::Answers) > memory.bound(Kind::Answers)
    }

    /// See [`Batch::charge`](super::Batch::charge).
    pub(crate) fn charge(&self, part: Bytes) -> Result<Bytes, OverBudget> {
        let bytes = part.len() as u64;
        let Some(charge) = self.charge.as_ref().filter(|_| bytes > SMALL) else { return Ok(part) };
        let memory = charge.memory();
        let charge = if bytes <= PART {
            memory.charge_unbounded(Kind::Answers, bytes)
        } else {
            memory.charge(Kind::Answers, bytes)?
        };
        Ok(charge.hold(part))
    }

    /// The rendering of `source` in a form, made by the first that asks.
    pub(crate) fn get<T>(
        &self,
        source: &T,
        form: Form,
        mut render: impl FnMut(&T) -> Rendering,
    ) -> &Rendering {
        let mut slot = &self.rendered;
        loop {
            let rendered = slot.get_or_init(|| {
                Box::new(Rendered { form, rendering: self.charged(render(source)), next: Slot::new() })
            });
            if rendered.form == form {
                return &rendered.rendering;
            }
            slot = &rendered.next;
        }
    }

    fn charged(&self, rendering: Rendering) -> Rendering {
        let Some(charge) = &self.charge else { return rendering };
        let charge = charge.memory().charge_unbounded(Kind::Answers, rendering.bytes.len() as u64);
        Rendering { bytes: charge.hold(rendering.bytes), ..rendering }
    }
}
