//! What goes wrong with a disk, and when.

/// A fault. It strikes once, after as many more calls of its kind as its number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The power fails at a write or a sync, of which a part may have reached the disk.
    Power(u64),
    /// A write fails, and writes nothing.
    Write(u64),
    /// Half of a write is done before it fails.
    ShortWrite(u64),
    /// A sync fails. As in kernels, what it should have written counts as clean from then on, and is never written; only the
    /// file's length is.
    Sync(u64),
    /// A sync succeeds, but reports a failure. Then as many attempts to open or truncate a file fail as the second number says.
    SyncDone(u64, u64),
    /// A sync does nothing, but reports success.
    SyncLies(u64),
    /// A read fails.
    Read(u64),
    /// This many attempts to open or truncate a file fail.
    Shut(u64),
}

/// The kinds of calls that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Open,
    Read,
    Write,
    Sync,
}

/// The faults that are still to strike.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        match fault {
            Fault::Shut(times) => self.0.extend((0..times).map(|_| Fault::Shut(0))),
            fault => self.0.push(fault),
        }
    }

    /// Removes faults of the power.
    pub(super) fn power_stays(&mut self) {
        self.0.retain(|fault| !matches!(fault, Fault::Power(_)));
    }

    /// Counts a call; returns the fault that strikes it, if any.
    pub(super) fn strike(&mut self, call: Call) -> Option<Fault> {
        let is_due = |fault: &mut Fault| fault.countdown(call).is_some_and(|left| *left == 0);
        let struck = self.0.iter_mut().position(is_due).map(|due| self.0.remove(due));
        let others = self.0.iter_mut().filter_map(|fault| fault.countdown(call));
        others.for_each(|left| *left = left.saturating_sub(1));
        if let Some(Fault::SyncDone(_, shut)) = struck {
            self.add(Fault::Shut(shut));
        }
        struck
    }
}

impl Fault {
    /// How many more calls succeed, if this is a fault of such calls.
    fn countdown(&mut self, call: Call) -> Option<&mut u64> {
        match (self, call) {
            (Self::Power(left), Call::Write | Call::Sync)
            | (Self::Write(left) | Self::ShortWrite(left), Call::Write)
            | (Self::Sync(left) | Self::SyncDone(left, _) | Self::SyncLies(left), Call::Sync)
            | (Self::Read(left), Call::Read)
            | (Self::Shut(left), Call::Open) => Some(left),
            _ => None,
        }
    }
}
