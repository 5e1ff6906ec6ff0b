//! A page of all channels: names from every partition, merged, then what is known of those that are on the page.
//!
//! Neither the store nor the follower hears of a channel that is only listed.

use std::sync::Arc;

use super::log::partition::Partition;
use super::log::script::{Load, Names};
use super::thread::ask::Question;
use super::thread::inbox::Request;
use super::thread::shared::Shared;
use crate::journal::{ListedChannel, Listing, Loaded, Reply, Selection};
use crate::sync::Mutex;
use crate::types::{ChannelName, JournalError, Limit, NamePart, merge};

/// Asks for a page.
pub(super) fn list(shared: &Arc<Shared>, selection: &Selection, reply: Reply<Listing>) {
    let (most, limit) = (selection.share(Partition::COUNT), selection.limit);
    let after = shared.clone();
    let gather =
        Gather::new(Partition::COUNT, move |parts: Result<Vec<NamePart<u64>>, JournalError>| match parts {
            Ok(parts) => {
                let (names, next) = merge(parts, limit);
                describe(&after, names, next, reply);
            }
            Err(error) => reply(Err(error)),
        });
    for partition in Partition::all() {
        let names = Names { partition, selection: selection.clone(), most };
        ask(shared, Question::Names(names, gather.part()));
    }
}

/// Asks for what is known of some channels.
fn describe(
    shared: &Arc<Shared>,
    names: Vec<(ChannelName, u64)>,
    next: Option<ChannelName>,
    reply: Reply<Listing>,
) {
    if names.is_empty() {
        return reply(Ok(Listing { channels: Vec::new(), next }));
    }
    let channels: Vec<_> = names.iter().map(|(name, _)| name.clone()).collect();
    let gather =
        Gather::new(names.len(), move |found: Result<Vec<(usize, Option<Loaded>)>, JournalError>| {
            reply(found.map(|mut found| {
                found.sort_by_key(|(place, _)| *place);
                let listed = |((name, bytes), (_, loaded)): ((ChannelName, u64), (usize, Option<Loaded>))| {
                    Some(ListedChannel { name, loaded: loaded?, bytes })
                };
                Listing { channels: names.into_iter().zip(found).filter_map(listed).collect(), next }
            }));
        });
    for (place, channel) in channels.into_iter().enumerate() {
        let part = gather.part();
        let load = Load { channel, limit: Limit { messages: 0, bytes: 0 } };
        ask(
            shared,
            Question::Summary(load, Box::new(move |loaded| part(loaded.map(|loaded| (place, loaded))))),
        );
    }
}

fn ask(shared: &Shared, question: Question) {
    if let Some(request) = shared.inbox.add(Request::Question(question)) {
        request.fail(&JournalError::Unavailable("it is closed".to_owned()));
    }
}

/// Waits for several answers, or the first error.
struct Gather<T>(Arc<Mutex<Gathered<T>>>);

struct Gathered<T> {
    left: usize,
    found: Vec<T>,
    /// Until it was called.
    done: Option<Reply<Vec<T>>>,
}

impl<T: Send + 'static> Gather<T> {
    fn new(count: usize, done: impl FnOnce(Result<Vec<T>, JournalError>) + Send + 'static) -> Self {
        let gathered = Gathered { left: count, found: Vec::with_capacity(count), done: Some(Box::new(done)) };
        Self(Arc::new(Mutex::new(gathered)))
    }

    /// Where one answer goes.
    fn part(&self) -> Reply<T> {
        let gathered = self.0.clone();
        Box::new(move |answer| {
            let mut gathered = gathered.lock();
            gathered.left = gathered.left.saturating_sub(1);
            let outcome = match answer {
                Ok(found) => {
                    gathered.found.push(found);
                    if gathered.left > 0 {
                        return;
                    }
                    Ok(std::mem::take(&mut gathered.found))
                }
                Err(error) => Err(error),
            };
            let done = gathered.done.take();
            drop(gathered);
            if let Some(done) = done {
                done(outcome);
            }
        })
    }
}
