//! The threads that read the file, so that no worker waits for the disk: they load channels and keys, find older messages, and
//! list channels.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fault::caught;
use super::format::FORKS;
use super::lives;
use super::log::recent::{Part, Recent};
use super::shared::Shared;
use super::view::{LogTail, Producers, View, on_snapshot, with};
use crate::journal::{KeptKey, Landmark, Loaded, Located, Piece, Reply, Stretch};
use crate::life::{Producer, ProducerId};
use crate::types::{ChannelName, Epoch, JournalError, Timestamp};

type Result<T> = std::result::Result<T, JournalError>;

/// Reads until the queue is closed. A read that panics fails alone: without the thread, others would wait forever.
pub(super) async fn run(shared: Arc<Shared>) {
    while let Some(read) = shared.reads.next().await {
        let _ = caught(&shared.location, || read(Ok(())));
    }
}

/// Unlike the others it answers itself: the channel must not be forgotten before the answer has brought it into memory.
pub(super) fn load(shared: &Shared, name: &ChannelName, now: Timestamp, reply: Reply<Option<Loaded>>) {
    let _gate = shared.forget_lock.read();
    let cutoff = shared.retention().cutoff(now);
    reply(with(shared, name, |part| LogTail::of(part, cutoff), |view| view.load(cutoff)));
}

pub(super) fn keys(shared: &Shared, name: &ChannelName, now: Timestamp) -> Result<Vec<KeptKey>> {
    with(shared, name, |part| part.keys.clone(), |view| view.keys(now))
}

pub(super) fn messages(shared: &Shared, stretch: &Stretch) -> Result<Option<Piece>> {
    let look = |part: &Part| part.from(stretch.after.next(), stretch.limit.messages);
    with(shared, &stretch.channel, look, |view| view.read(stretch))
}

pub(super) fn locate(
    shared: &Shared,
    name: &ChannelName,
    epoch: Epoch,
    landmark: Landmark,
) -> Result<Option<Located>> {
    let look = |part: &Part| part.first_unseen(|message| landmark.covers(message.at, message.id));
    with(shared, name, look, |view| view.locate(epoch, landmark))
}

pub(super) fn producers(shared: &Shared, name: &ChannelName) -> Result<Vec<(ProducerId, Producer)>> {
    let look = |part: &Part| part.life.as_ref().map_or_else(BTreeMap::new, |life| life.producers.clone());
    with(shared, name, look, |view: &View<'_, Producers>| view.producers())
}

pub(super) fn lapsed(shared: &Shared, now: Timestamp) -> Result<Vec<ChannelName>> {
    on_snapshot(shared, None, |_| (), |txn, ()| lives::lapsed(txn, &shared.lapses, now))
}

/// Whether a channel has forks, in the log or in the database.
pub(super) fn has_forks(shared: &Shared, source: &ChannelName) -> Result<bool> {
    let recent = &shared.recent;
    let ask = |recent: &Recent| recent.ask_forks(source);
    loop {
        let found = on_snapshot(shared, Some(source), ask, |txn, question| {
            let Some(question) = question else { return Ok(None) };
            let from = question.from.as_ref().map_or("", |from| from.as_str());
            let counts = |fork: &ChannelName| !recent.is_removed(source, fork);
            let first = lives::first_fork(&txn.open_table(FORKS)?, source.as_str(), from, counts)?;
            Ok(Some((question, first)))
        })?;
        let Some((question, first)) = found else { return Ok(true) };
        if recent.answer_forks(source, &question, first.as_ref()) {
            return Ok(first.is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::{Directory, Environment};
    use crate::journal::disk::options::Options;

    #[tokio::test]
    async fn a_read_that_panics_keeps_no_other_from_its_answer() {
        let location = Arc::new(Directory::new("there is none"));
        let shared =
            Arc::new(Shared::new(&Environment::seeded(1), location, Options::default(), Arc::new(|_| {})));
        let readers = tokio::spawn(run(shared.clone()));
        shared.reads.push(Box::new(|_| panic!("a bug")));
        let (reply, answer) = tokio::sync::oneshot::channel();
        shared.reads.push(Box::new(move |open| reply.send(open).unwrap()));
        assert_eq!(answer.await.unwrap(), Ok(()));
        shared.reads.close();
        readers.await.unwrap();
    }

    #[test]
    fn a_channel_that_is_loaded_is_not_forgotten_before_it_is_in_memory() {
        let location = Arc::new(Directory::new("there is none"));
        let shared = Shared::new(&Environment::seeded(1), location, Options::default(), Arc::new(|_| {}));
        let shared = Arc::new(shared);
        let (told, installs) = std::sync::mpsc::channel();
        let (name, lock) = (ChannelName::parse("news").unwrap(), shared.clone());
        // Where the store brings it into memory.
        let reply = Box::new(move |_| told.send(lock.forget_lock.try_write().is_err()).unwrap());
        load(&shared, &name, Timestamp::ZERO, reply);
        assert_eq!(installs.recv(), Ok(true), "the indexer may forget it");
    }
}
