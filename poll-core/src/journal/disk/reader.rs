//! The threads that read the file, so that no worker waits for the disk: they load channels and keys, find older messages, and
//! list channels.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::format::FORKS;
use super::log::recent::Part;
use super::read_queue::ReadRequest;
use super::shared::Shared;
use super::view::{LogTail, Producers, View, on_snapshot, with};
use super::{listing, lives};
use crate::types::{ChannelName, JournalError};

/// Reads until the queue is closed.
pub(super) async fn run(shared: Arc<Shared>) {
    while let Some(request) = shared.reads.next().await {
        read(&shared, request);
    }
}

fn read(shared: &Shared, request: ReadRequest) {
    match request {
        ReadRequest::Load(name, now, reply) => {
            // The channel must not be forgotten before it is in memory.
            let _gate = shared.forget_lock.read();
            let cutoff = shared.retention().cutoff(now);
            let look = |part: &Part| LogTail::of(part, cutoff);
            reply(with(shared, &name, look, |view| view.load(cutoff)));
        }
        ReadRequest::Keys(name, now, reply) => {
            let look = |part: &Part| part.keys.clone();
            reply(with(shared, &name, look, |view| view.keys(now)));
        }
        ReadRequest::Messages(stretch, reply) => {
            let look = |part: &Part| part.from(stretch.after.next(), stretch.limit.messages);
            reply(with(shared, &stretch.channel, look, |view| view.read(&stretch)));
        }
        ReadRequest::Producers(name, reply) => {
            let look =
                |part: &Part| part.life.as_ref().map_or_else(BTreeMap::new, |life| life.producers.clone());
            reply(with(shared, &name, look, |view: &View<'_, Producers>| view.producers()));
        }
        ReadRequest::Forks(name, reply) => reply(has_forks(shared, &name)),
        ReadRequest::Lapsed(now, reply) => {
            reply(on_snapshot(shared, None, |txn| lives::lapsed(txn, &shared.lapses, now)));
        }
        ReadRequest::List(selection, now, reply) => reply(listing::list(shared, &selection, now)),
        ReadRequest::Locate(name, epoch, landmark, reply) => {
            let look = |part: &Part| part.first_unseen(|message| landmark.covers(message.at, message.id));
            reply(with(shared, &name, look, |view| view.locate(epoch, landmark)));
        }
    }
}

/// Whether a channel has forks, in the log or in the database.
fn has_forks(shared: &Shared, source: &ChannelName) -> Result<bool, JournalError> {
    let recent = &shared.recent;
    // The log first: what leaves it in between is in the database by then.
    while let Some(question) = recent.ask_forks(source) {
        let first = on_snapshot(shared, Some(source), |txn| {
            let from = question.from.as_ref().map_or("", |from| from.as_str());
            let counts = |fork: &ChannelName| !recent.is_removed(source, fork);
            lives::first_fork(&txn.open_table(FORKS)?, source.as_str(), from, counts)
        })?;
        if recent.answer_forks(source, &question, first.as_ref()) {
            return Ok(first.is_some());
        }
    }
    Ok(true)
}
