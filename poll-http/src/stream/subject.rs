//! What a broadcast reads for all its readers: one channel, or a list of channels.

use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use poll_core::{
    Batch, ChannelList, ChannelName, Continuity, Cursor, CursorSet, Epoch, Life, Limit, ListBatch, ListWait,
    Pinned, Place, ReadState, Rendering, Timestamp, Wait,
};

use crate::dialect::message_list::Messages;
use crate::dialect::native;
use crate::dialect::stream_event::Finality;
use crate::message::shared_writer::Reached;
use crate::stream::style::Style;
use crate::worker::Worker;

/// How much of a log is read at once: a slow reader keeps as much alive, and it is enough to catch up.
pub(crate) const READ_LIMIT: Limit = Limit { messages: 1_000, bytes: 64 * 1024 };

/// How much of a list of channels is read at once: every line has the whole token.
pub(crate) fn list_limit(channels: usize) -> Limit {
    let messages = READ_LIMIT.bytes / (channels.max(1) * CursorSet::ENTRY_BYTES);
    Limit { messages: messages.clamp(1, READ_LIMIT.messages), ..READ_LIMIT }
}

/// A channel, or a list of channels.
pub(crate) trait Subject: Clone + Eq + Hash + Send + Sync + 'static {
    /// A position in it.
    type At: Clone + Eq + Send + Sync + Into<Reached> + 'static;
    /// Messages that are read together.
    type Batch: Messages;
    /// Waits for messages after a position; dropping it leaves nothing behind.
    type Wait: Future<Output = ()> + Send + Unpin;

    /// The position of one of its readers.
    fn reached(reached: &Reached) -> Option<&Self::At>;

    /// Whether two positions are the same.
    fn same(one: &Self::At, other: &Self::At) -> bool {
        one == other
    }

    /// A position that is before both, unless that is the `lowest` so far.
    fn lower(lowest: &Self::At, at: &Self::At) -> Option<Self::At>;

    /// Waits for messages after `at`, among the worker's streams.
    fn wait(&self, worker: &Worker, at: &Self::At) -> Self::Wait;

    /// Waits again, from another position.
    fn wait_again(wait: &mut Self::Wait, at: &Self::At);

    /// What there is after a position, without waiting.
    fn look(&self, worker: &Worker, now: Timestamp, at: &Self::At) -> News<Self>;

    /// A batch as chunks are made of it; `None` if its readers do not get chunks.
    fn rendering<'a>(&self, batch: &'a Self::Batch, style: Style) -> Option<&'a Rendering>;
}

/// What there is after a position.
pub(crate) enum News<S: Subject> {
    Nothing,
    /// Messages alone, up to a position.
    Messages(Arc<S::Batch>, S::At),
    /// Something that every reader's connection has to see: a gap, an end, what is not in memory.
    Other,
}

/// Whether a reader that gets messages after its position gets nothing else.
fn goes_on(read_state: &ReadState) -> bool {
    let gap = read_state.continuity != Continuity::Kept || read_state.missed() != Some(0);
    !gap && !read_state.ended
}

impl Subject for ChannelName {
    type At = Cursor;
    type Batch = Batch;
    type Wait = Wait;

    fn reached(reached: &Reached) -> Option<&Cursor> {
        if let Reached::InChannel(at) = reached { Some(at) } else { None }
    }

    fn lower(lowest: &Cursor, at: &Cursor) -> Option<Cursor> {
        // A position in another epoch of the channel stays the lowest: everything in this epoch is newer.
        (at.epoch == lowest.epoch && at.seq < lowest.seq).then_some(*at)
    }

    fn wait(&self, worker: &Worker, at: &Cursor) -> Wait {
        worker.wait_on(self, &Pinned::after(*at))
    }

    fn wait_again(wait: &mut Wait, at: &Cursor) {
        wait.again(&Pinned::after(*at));
    }

    fn look(&self, worker: &Worker, now: Timestamp, at: &Cursor) -> News<Self> {
        let view = worker.store().read_resident(now, self, &Pinned::after(*at), READ_LIMIT);
        let Some(view) = view.filter(|view| goes_on(&view.read_state)) else { return News::Other };
        match view.batch {
            None => News::Nothing,
            Some(batch) if batch.is_over_budget() => News::Other,
            Some(batch) => {
                let end = batch.end();
                News::Messages(batch, end)
            }
        }
    }

    fn rendering<'a>(&self, batch: &'a Batch, style: Style) -> Option<&'a Rendering> {
        style.rendering(batch, Finality::MoreMayFollow)
    }
}

impl Subject for Arc<ChannelList> {
    type At = Arc<[Place]>;
    type Batch = ListBatch;
    type Wait = WaitOnList;

    fn reached(reached: &Reached) -> Option<&Arc<[Place]>> {
        if let Reached::InList(at) = reached { Some(at) } else { None }
    }

    fn same(one: &Arc<[Place]>, other: &Arc<[Place]>) -> bool {
        // Those that were written to together share them.
        Arc::ptr_eq(one, other) || one == other
    }

    fn lower(lowest: &Arc<[Place]>, at: &Arc<[Place]>) -> Option<Arc<[Place]>> {
        if Self::same(lowest, at) {
            return None;
        }
        let is_lower = |(lowest, place): (&Place, &Place)| {
            let (low, cursor) = (lowest.cursor, place.cursor);
            let unborn = cursor.epoch == Epoch::ZERO && low.epoch != Epoch::ZERO;
            unborn
                || (cursor.epoch == low.epoch && cursor.seq < low.seq)
                || (lowest.life != Life::Open && place.life == Life::Open)
        };
        let both = || lowest.iter().zip(&**at);
        let lower = |(lowest, place)| if is_lower((lowest, place)) { *place } else { *lowest };
        both().any(is_lower).then(|| both().map(lower).collect())
    }

    fn wait(&self, worker: &Worker, at: &Arc<[Place]>) -> WaitOnList {
        let (worker, list) = (worker.clone(), self.clone());
        WaitOnList { worker, list, places: at.clone(), wait: ListWait::default() }
    }

    fn wait_again(wait: &mut WaitOnList, at: &Arc<[Place]>) {
        // Where it is still registered nothing was published since, and a pass has read what was there then.
        wait.places = at.clone();
    }

    fn look(&self, worker: &Worker, now: Timestamp, at: &Arc<[Place]>) -> News<Self> {
        let due = at.iter().enumerate().filter(|(_, place)| place.life == Life::Open);
        let due = due.map(|(channel, _)| (channel, None));
        let view = worker.store().read_list_resident(now, self, at, due, list_limit(at.len()));
        let Some(view) = view.filter(|view| view.looks.iter().all(|(_, state)| goes_on(state))) else {
            return News::Other;
        };
        match view.batch {
            None => News::Nothing,
            Some(batch) if batch.is_over_budget() => News::Other,
            Some(batch) => News::Messages(batch, view.next.into()),
        }
    }

    fn rendering<'a>(&self, batch: &'a ListBatch, style: Style) -> Option<&'a Rendering> {
        match style {
            Style::Updates(framing) => Some(native::list_updates(self, batch, framing)),
            Style::Steps(_) | Style::Promises(_) => None,
        }
    }
}

/// Resolves when any channel of a list may have something after its place.
pub(crate) struct WaitOnList {
    worker: Worker,
    list: Arc<ChannelList>,
    places: Arc<[Place]>,
    wait: ListWait,
}

impl WaitOnList {
    fn deregister(&mut self) {
        let Self { worker, list, wait, .. } = self;
        worker.store().deregister_list(list, worker.streams(), wait);
    }
}

impl Future for WaitOnList {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { worker, list, places, wait } = self.get_mut();
        worker.store().poll_wait_list(list, places, worker.streams(), wait, cx)
    }
}

impl Drop for WaitOnList {
    fn drop(&mut self) {
        self.deregister();
    }
}

#[cfg(test)]
mod tests {
    use poll_core::Seq;

    use super::*;

    fn places(places: &[(u64, u64, Life)]) -> Arc<[Place]> {
        let place = |&(epoch, seq, life): &(u64, u64, Life)| {
            let cursor = Cursor { epoch: Epoch::new(epoch), seq: Seq::new(seq) };
            Place { life, ..Place::of(&Pinned::after(cursor)) }
        };
        places.iter().map(place).collect()
    }

    #[test]
    fn the_lowest_places_are_before_all_readers_in_every_channel() {
        let lower = |lowest: &[_], at: &[_]| <Arc<ChannelList>>::lower(&places(lowest), &places(at));
        let (open, over) = (Life::Open, Life::Over);
        for (lowest, at, expected) in [
            ([(1, 5, open), (2, 5, open)], [(1, 5, open), (2, 5, open)], None),
            ([(1, 4, open), (2, 5, open)], [(1, 5, open), (2, 6, open)], None),
            ([(1, 4, open), (2, 6, open)], [(1, 5, open), (2, 5, open)], Some([(1, 4, open), (2, 5, open)])),
            ([(1, 4, open), (2, 6, open)], [(0, 0, open), (2, 6, open)], Some([(0, 0, open), (2, 6, open)])),
            ([(0, 0, open), (2, 6, open)], [(1, 4, open), (2, 6, open)], None),
            ([(3, 4, open), (2, 6, open)], [(1, 2, open), (2, 6, open)], None),
            ([(1, 4, over), (2, 6, open)], [(1, 4, open), (2, 6, open)], Some([(1, 4, open), (2, 6, open)])),
            ([(1, 4, open), (2, 6, open)], [(1, 4, over), (2, 6, open)], None),
        ] {
            let expected = expected.map(|expected| places(&expected));
            assert_eq!(lower(&lowest, &at), expected, "{lowest:?} {at:?}");
        }
    }
}
