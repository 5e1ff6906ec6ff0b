//! What concerns a whole partition: how far it is, its generation, and which of some channels have changed.

use std::ops::Bound;

use redis::Cmd;

use super::call::{Call, Known, Script};
use crate::journal::redis::log::fields::{Fields, Garbled, Result};
use crate::journal::redis::log::generation::{Birth, Generation, Mark};
use crate::journal::redis::log::partition::Partition;
use crate::types::{ChannelName, Ending, Epoch, More, NamePart, Selection, Seq};

/// Asks how far a partition is. Its verdict is the check for losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State(pub(crate) Partition);

/// What there is to know of a partition besides its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    /// How many channels it has.
    pub(crate) channels: u64,
    pub(crate) writer: Writer,
}

/// Which Redis process a partition was last written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// The one that was asked.
    ThisProcess,
    /// Another: the one that was asked began since, or took over, and nothing has been written to it yet. Nodes that
    /// saw more than it has may not have said so.
    Another,
}

impl Call for State {
    type Reply = Status;

    fn command(&self, script: &Script, known: Known) -> Cmd {
        script.call("state", &[self.0.record(&script.prefix)], known, &[])
    }

    fn read(&self, _: Mark, mut fields: Fields<'_>, _: Vec<Vec<u8>>) -> Result<Status> {
        let channels = fields.u64()?;
        let writer = if fields.byte()? == 1 { Writer::ThisProcess } else { Writer::Another };
        fields.end().map(|()| Status { channels, writer })
    }
}

/// Gives a partition a new generation, if it still has the one of [`Known`], which is here what was found and not what
/// was seen. The verdict is `Renewed` if another node was first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Renew {
    pub(crate) partition: Partition,
    /// Later than all that were seen.
    pub(crate) next: Generation,
}

impl Call for Renew {
    type Reply = ();

    fn command(&self, script: &Script, known: Known) -> Cmd {
        let mut settings = vec![script.sharded()];
        settings.extend(self.next.get().to_be_bytes());
        script.call("renew", &[self.partition.record(&script.prefix)], known, &settings)
    }

    fn read(&self, _: Mark, fields: Fields<'_>, _: Vec<Vec<u8>>) -> Result<()> {
        fields.end()
    }
}

/// Asks for the newest number of some channels of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Newest {
    pub(crate) partition: Partition,
    /// At most [`Self::MOST`].
    pub(crate) channels: Vec<ChannelName>,
}

/// How far a channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) epoch: Epoch,
    pub(crate) newest: Seq,
    pub(crate) ending: Ending,
    pub(crate) life: HasLife,
}

/// Whether a channel has a life, which may have changed although it got no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HasLife {
    Yes,
    No,
}

impl Newest {
    /// How many channels one call asks for: about a tenth of a millisecond of Redis' time.
    pub(crate) const MOST: usize = 100;
}

impl Call for Newest {
    /// One for each channel, in the same order; `None` for a channel that is not there.
    type Reply = Vec<Option<Place>>;

    fn command(&self, script: &Script, known: Known) -> Cmd {
        let (partition, prefix) = (self.partition, &script.prefix);
        let channels = self.channels.iter().map(|channel| partition.channel(prefix, channel));
        let keys: Vec<_> = std::iter::once(partition.record(prefix)).chain(channels).collect();
        script.call("newest", &keys, known, &[])
    }

    fn read(&self, mark: Mark, mut fields: Fields<'_>, _: Vec<Vec<u8>>) -> Result<Self::Reply> {
        let mut found = Vec::with_capacity(self.channels.len());
        for _ in &self.channels {
            let (birth, newest, state) = (fields.u32()?, fields.seq()?, fields.byte()?);
            let ending = if state & 1 == 1 { Ending::Close } else { Ending::Open };
            let life = if state & 2 == 2 { HasLife::Yes } else { HasLife::No };
            found.push(Birth::new(birth).map(|birth| {
                let epoch = mark.generation.epoch(birth);
                Place { epoch, newest, ending, life }
            }));
        }
        if fields.0.is_empty() { Ok(found) } else { Err(Garbled) }
    }
}

/// Asks for names of channels, in order, with what their messages take in Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) partition: Partition,
    pub(crate) selection: Selection,
    /// The most of this partition: each takes about five microseconds of Redis' time.
    pub(crate) most: usize,
}

impl Call for Names {
    type Reply = NamePart<u64>;

    fn command(&self, script: &Script, known: Known) -> Cmd {
        let Self { partition, selection, most } = self;
        let settings = u32::try_from(*most).unwrap_or(u32::MAX).to_be_bytes();
        let mut command = script.call("names", &[partition.record(&script.prefix)], known, &settings);
        // As ZRANGEBYLEX takes it.
        let start = match selection.start() {
            Bound::Unbounded => "-".to_owned(),
            Bound::Included(name) => format!("[{name}"),
            Bound::Excluded(name) => format!("({name}"),
        };
        command.arg(start).arg(selection.prefix.as_ref().map_or("", ChannelName::as_str));
        command
    }

    fn read(&self, _: Mark, mut fields: Fields<'_>, entries: Vec<Vec<u8>>) -> Result<NamePart<u64>> {
        let more = if fields.byte()? == 1 { More::Yes } else { More::No };
        fields.end()?;
        let name = |entry: &Vec<u8>| {
            let mut fields = Fields(entry);
            let bytes = fields.u64()?;
            let name = std::str::from_utf8(fields.0).ok().and_then(|name| ChannelName::parse(name).ok());
            Ok((name.ok_or(Garbled)?, bytes))
        };
        Ok(NamePart { names: entries.iter().map(name).collect::<Result<_>>()?, more })
    }
}
