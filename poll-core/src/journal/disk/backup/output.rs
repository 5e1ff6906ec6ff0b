//! The records that an export passes on, in order, and which messages between them are lost.

use std::io;

use super::error::{BackupError, Report};
use super::record::{ChannelRecord, LostRecord, MessageRecord, Record};
use crate::journal::disk::codec::Row;
use crate::journal::disk::fault::io_error;
use crate::journal::disk::format::Result;
use crate::life::{Life, Producer, ProducerId};
use crate::types::{Epoch, Message};

/// Passes records to `take`.
pub(in crate::journal::disk) struct Output<F> {
    take: F,
    report: Report,
    /// The number of the next message of the channel.
    next: u64,
    /// Whether it was `take` that failed.
    failed: bool,
}

impl<F: FnMut(&Record) -> io::Result<()>> Output<F> {
    pub(in crate::journal::disk) fn new(take: F) -> Self {
        Self { take, report: Report::default(), next: 0, failed: false }
    }

    /// Begins a channel, to which the messages that follow belong.
    pub(in crate::journal::disk) fn channel(
        &mut self,
        row: &Row,
        (epoch, oldest): (Epoch, u64),
        life: Option<&Life>,
        producers: impl IntoIterator<Item = (ProducerId, Producer)>,
    ) -> Result<()> {
        self.next = oldest;
        self.report.channels += 1;
        self.pass(&Record::Channel(ChannelRecord::of(row, (epoch, oldest), life, producers)))
    }

    /// A message of the channel. Those between it and the one before are lost.
    pub(in crate::journal::disk) fn message(&mut self, message: &Message) -> Result<()> {
        let seq = message.seq.get();
        self.lost_before(seq)?;
        self.next = seq.saturating_add(1);
        self.report.messages += 1;
        self.pass(&Record::Message(MessageRecord::of(message)?))
    }

    /// Records as lost the messages before this number that were not passed.
    pub(in crate::journal::disk) fn lost_before(&mut self, next: u64) -> Result<()> {
        if self.next >= next {
            return Ok(());
        }
        self.pass(&Record::Lost(LostRecord { lost_from: self.next, lost_to: next - 1 }))
    }

    fn pass(&mut self, record: &Record) -> Result<()> {
        let taken = (self.take)(record);
        self.failed = taken.is_err();
        taken.map_err(io_error)
    }

    /// How it ended.
    pub(in crate::journal::disk) fn end(
        self,
        passed: Result<()>,
    ) -> std::result::Result<Report, BackupError> {
        match passed {
            Ok(()) => Ok(self.report),
            Err(redb::Error::Io(error)) if self.failed => Err(BackupError::Io(error)),
            Err(error) => Err(error.into()),
        }
    }
}
