//! The answer to a publish that is sent again under its key, read back from the log.

use super::handle::Store;
use crate::channel::{Pinned, View};
use crate::types::{
    ChannelName, Continuity, Cursor, Epoch, Limit, Message, Published, Seq, SeqRange, Stamp, Stamps,
    Timestamp,
};

/// An answer that is being read back.
struct Repetition {
    epoch: Epoch,
    /// Everything up to here has been read.
    read: Seq,
    last: Seq,
    published: Published,
}

impl Repetition {
    fn new(epoch: Epoch, numbers: SeqRange) -> Self {
        let last = Seq::new(numbers.after.get() + u64::from(numbers.count));
        let published = Published { stamps: Stamps::new(), gone: Vec::new(), repeated: true };
        Self { epoch, read: numbers.after, last, published }
    }

    /// What to read next; `None` at the end.
    fn next(&self) -> Option<(Pinned, Limit)> {
        let left = usize::try_from(self.last.get() - self.read.get()).unwrap_or(usize::MAX);
        (left > 0).then(|| (Pinned::after(self.cursor(self.read)), Limit::messages(left)))
    }

    /// Takes a view further: messages that are retained have a stamp, the others are gone.
    fn take(&mut self, view: &View) {
        if view.read_state.continuity == Continuity::Reset {
            return self.skip_to(self.last);
        }
        let batch = view.batch.as_ref().filter(|batch| batch.end().epoch == self.epoch);
        let messages = batch.map_or(&[][..], |batch| batch.messages());
        let last = self.last;
        for message in messages.iter().take_while(|message| message.seq <= last) {
            self.skip_to(message.seq.previous());
            let Message { seq, id, at, .. } = **message;
            self.published.stamps.push(Stamp { cursor: self.cursor(seq), id, at });
            self.read = seq;
        }
        if messages.last().is_none_or(|message| message.seq > self.last) {
            self.skip_to(self.last);
        }
    }

    fn skip_to(&mut self, seq: Seq) {
        while self.read < seq {
            self.read = self.read.next();
            self.published.gone.push(self.cursor(self.read));
        }
    }

    fn cursor(&self, seq: Seq) -> Cursor {
        Cursor { epoch: self.epoch, seq }
    }

    fn published(self) -> Published {
        self.published
    }
}

impl Store {
    /// The answer to an earlier publish, as far as its messages are still retained.
    pub(super) async fn repeated(
        &self,
        now: Timestamp,
        name: &ChannelName,
        epoch: Epoch,
        numbers: SeqRange,
    ) -> Published {
        let mut repetition = Repetition::new(epoch, numbers);
        while let Some((position, limit)) = repetition.next() {
            match self.read(now, name, &position, limit).await {
                Ok(view) => repetition.take(&view),
                // What cannot be read counts as no longer retained: it is certain that it was published.
                Err(_) => repetition.skip_to(repetition.last),
            }
        }
        repetition.published()
    }

    /// The same without waiting; `None` if something has to be fetched first.
    pub(super) fn repeated_resident(
        &self,
        now: Timestamp,
        name: &ChannelName,
        epoch: Epoch,
        numbers: SeqRange,
    ) -> Option<Published> {
        let mut repetition = Repetition::new(epoch, numbers);
        while let Some((position, limit)) = repetition.next() {
            repetition.take(&self.read_resident(now, name, &position, limit)?);
        }
        Some(repetition.published())
    }
}
