//! What a connection's buffers hold, on the account.
//!
//! What: a part of a record is TLS's; what was decrypted and not read counts as a body, and what is not sent as an answer,
//! so that neither takes the room of handshakes.
//! Not here: which of those that are unfinished gives way when there is no room (`unfinished.rs`).

use std::io;

use poll_core::{Charge, Kind, Memory};

use super::unfinished::Unfinished;

/// See the [module](self).
pub(super) struct Charges {
    received: Charge,
    plain: Charge,
    unsent: Charge,
}

impl Charges {
    /// With nothing held yet.
    pub(super) fn new(memory: &Memory) -> Self {
        Self {
            received: memory.charge_unbounded(Kind::TlsBuffers, 0),
            plain: memory.charge_unbounded(Kind::Bodies, 0),
            unsent: memory.charge_unbounded(Kind::Answers, 0),
        }
    }

    /// What is charged for a part of a record, or of a handshake.
    pub(super) fn received(&self) -> u64 {
        self.received.bytes()
    }

    /// Whether other connections hold much of what there is for answers.
    pub(super) fn are_answers_scarce(&self) -> bool {
        let memory = self.unsent.memory();
        memory.used(Kind::Answers) > memory.bound(Kind::Answers) / 4
    }

    /// Charges for what was received and not decrypted.
    pub(super) fn settle_received(&mut self, received: &Vec<u8>, unfinished: &Unfinished) -> io::Result<()> {
        let (held, charge) = (received.capacity() as u64, &mut self.received);
        let charged = charge.bytes();
        if held <= charged {
            charge.shrink(charged - held);
            return Ok(());
        }
        let grown = unfinished.grow(charge, held - charged);
        grown.map_err(|full| io::Error::new(io::ErrorKind::OutOfMemory, full))
    }

    /// The same for what is limited already: to one record that is not read, and one that is not sent.
    pub(super) fn settle_limited(&mut self, plain: &Vec<u8>, unsent: &Vec<u8>) {
        for (charge, held) in [(&mut self.plain, plain), (&mut self.unsent, unsent)] {
            let (charged, held) = (charge.bytes(), held.capacity() as u64);
            charge.grow_unbounded(held.saturating_sub(charged));
            charge.shrink(charged.saturating_sub(held));
        }
    }
}
