//! Forgetting a channel. The script does that by itself to make room; asked for, so far, only by these tests.

use redis::Cmd;

use crate::journal::redis::log::fields::{Fields, Result};
use crate::journal::redis::log::generation::{Birth, Mark};
use crate::journal::redis::log::partition::Partition;
use crate::journal::redis::log::script::{Call, Known, Script};
use crate::types::{ChannelName, Epoch};

/// Forgets a channel and everything in it. What is published to it next gives it another epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forget(pub(crate) ChannelName);

impl Call for Forget {
    /// The epoch that it had; `None` if it was not there.
    type Reply = Option<Epoch>;

    fn command(&self, script: &Script, known: Known) -> Cmd {
        let (partition, prefix) = (Partition::of(&self.0), &script.prefix);
        let keys = [
            partition.record(prefix),
            partition.channel(prefix, &self.0),
            partition.stream(prefix, &self.0),
            partition.idempotency(prefix, &self.0),
            partition.order(prefix, &self.0),
        ];
        script.call("forget", &keys, known, &[script.sharded()])
    }

    fn read(&self, mark: Mark, mut fields: Fields<'_>, _: Vec<Vec<u8>>) -> Result<Self::Reply> {
        let birth = fields.u32()?;
        fields.end().map(|()| Birth::new(birth).map(|birth| mark.generation.epoch(birth)))
    }
}
