//! Sealing a channel's time.

use redis::Cmd;

use super::call::{Call, Known, Script};
use crate::journal::redis::log::fields::{Fields, Result};
use crate::journal::redis::log::generation::{Birth, Mark};
use crate::journal::redis::log::partition::Partition;
use crate::types::{ChannelName, Epoch, Seq};

/// Promises that no later message of the channel has a time up to the end of a millisecond. A channel that is not there
/// is promised the same for its birth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) channel: ChannelName,
    /// Milliseconds since the Unix epoch.
    pub(crate) millis: u64,
}

/// The answer to a [`Seal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// The newest millisecond, that one or an earlier, for which the promise holds.
    pub(crate) millis: u64,
    /// The channel's newest message by then; the promise is worth something once it is visible. `None` if the channel
    /// is not there.
    pub(crate) newest: Option<(Epoch, Seq)>,
}

impl Call for Seal {
    type Reply = Sealed;

    fn command(&self, script: &Script, known: Known) -> Cmd {
        let (partition, prefix) = (Partition::of(&self.channel), &script.prefix);
        let keys = [partition.record(prefix), partition.channel(prefix, &self.channel)];
        script.call("seal", &keys, known, &self.millis.min(1 << 42).to_be_bytes())
    }

    fn read(&self, mark: Mark, mut fields: Fields<'_>, _: Vec<Vec<u8>>) -> Result<Sealed> {
        let (millis, birth, seq) = (fields.u64()?, fields.u32()?, fields.seq()?);
        let newest = Birth::new(birth).map(|birth| (mark.generation.epoch(birth), seq));
        fields.end().map(|()| Sealed { millis, newest })
    }
}
