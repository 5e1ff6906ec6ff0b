//! The threads that read the file, so that no worker waits for the disk: they load channels and keys, find older messages, and
//! list channels.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::ReadTransaction;

use super::log::recent::{Forking, Part};
use super::read_queue::ReadRequest;
use super::shared::Shared;
use super::view::{LogTail, Producers, View, on_snapshot, with};
use super::{listing, lives};

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
        ReadRequest::Forks(name, reply) => {
            // The log first: what leaves it in between is in the database by then.
            let recent = shared.recent.forks(&name);
            let made = recent.values().any(|forking| *forking == Forking::Made);
            let in_database = |txn: &ReadTransaction| lives::forks_beside(txn, &name, &recent);
            reply(if made { Ok(true) } else { on_snapshot(shared, Some(&name), in_database) });
        }
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
