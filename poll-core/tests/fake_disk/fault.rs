//! What goes wrong with a disk, and when.

/// A fault, which strikes once. A number says after how many more calls of the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The power goes at a write or a sync. Of the write some may be on the disk, of what the sync was for as well.
    Power(u64),
    /// A write fails, and writes nothing.
    Write(u64),
    /// A write fails half way.
    ShortWrite(u64),
    /// A sync fails. As with kernels, what it was for counts as clean, and is never written.
    Sync(u64),
    /// A sync succeeds, and says that it failed. After it so many tries to open a file, or to cut one off, fail.
    SyncDone(u64, u64),
    /// A sync does nothing, and says that it succeeded.
    SyncLies(u64),
    /// A read fails.
    Read(u64),
    /// So many tries to open a file, or to cut one off, fail.
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

/// What is to go wrong.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        match fault {
            Fault::Shut(times) => self.0.extend((0..times).map(|_| Fault::Shut(0))),
            fault => self.0.push(fault),
        }
    }

    /// The power does not go.
    pub(super) fn power_stays(&mut self) {
        self.0.retain(|fault| !matches!(fault, Fault::Power(_)));
    }

    /// Counts a call; gives what goes wrong with it.
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
    /// How many more calls go through, if this is a fault of such calls.
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
