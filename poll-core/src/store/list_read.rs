//! Reading several channels at once: one look at each, then each gives in turn.
//!
//! The looks are not one instant. That is no matter: what is published between two of them is in the next answer, because
//! a place moves only past what was given.

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::handle::Store;
use crate::channel::{ReadState, View};
use crate::list::{ChannelList, Life, ListBatch, ListStart, Place, Unread, merge, most_of_each, turns};
use crate::types::{Cursor, JournalError, Limit, Position, Timestamp};

/// How many channels of a list are loaded or read from the archive at once: reads of one turn share round trips, and each
/// takes memory.
const FETCHES: usize = 32;

/// The least that is fetched from each channel, in bytes: where many share a limit, fewer reads are better than exact
/// shares.
const LEAST_FETCHED: usize = 16 * 1024;

/// What a reader of several channels gets.
#[derive(Debug, Clone)]
pub struct ListView {
    /// The channels that were looked at, by index, and the state of each.
    pub looks: Vec<(usize, ReadState)>,
    /// The messages, if there are any.
    pub batch: Option<Arc<ListBatch>>,
    /// Where to continue in each channel of the list. Those that were looked at are told of whatever they missed.
    pub next: Vec<Place>,
}

impl ListView {
    /// Whether the reader, once it has this, has everything there will ever be.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.next.iter().all(|place| place.life == Life::Over)
    }
}

/// Fetches one thing that is missing, and puts it where it belongs. If its channel is damaged, gives that instead.
type Fetch<'a> = Pin<Box<dyn Future<Output = Result<Option<usize>, JournalError>> + Send + 'a>>;

impl Store {
    /// [Settles](Self::pin) the places where a reader of a list starts, and gives the state of each channel.
    ///
    /// # Errors
    /// As for [`read`](Self::read). A damaged channel is an error only where all are.
    pub async fn pin_list(
        &self,
        now: Timestamp,
        list: &ChannelList,
        start: &ListStart,
    ) -> Result<Vec<(Place, ReadState)>, JournalError> {
        let settled = self.pin_each(now, list, start).await?;
        match owned(list, start, &settled) {
            Some(positions) => self.pin_each(now, list, &positions).await,
            None => Ok(settled),
        }
    }

    /// The same without waiting; `None` if something has to be fetched first.
    #[must_use]
    pub fn pin_list_resident(
        &self,
        now: Timestamp,
        list: &ChannelList,
        start: &ListStart,
    ) -> Option<Vec<(Place, ReadState)>> {
        let settled = self.pin_each_resident(now, list, start)?;
        match owned(list, start, &settled) {
            Some(positions) => self.pin_each_resident(now, list, &positions),
            None => Some(settled),
        }
    }

    fn pin_each_resident(
        &self,
        now: Timestamp,
        list: &ChannelList,
        start: &ListStart,
    ) -> Option<Vec<(Place, ReadState)>> {
        let mut settled = Vec::with_capacity(list.names().len());
        for (channel, name) in list.names().iter().enumerate() {
            let (pinned, state) = self.read_state_resident(now, name, start.position(list, channel))?;
            settled.push((Place::of(&pinned), state));
        }
        Some(settled)
    }

    async fn pin_each(
        &self,
        now: Timestamp,
        list: &ChannelList,
        start: &ListStart,
    ) -> Result<Vec<(Place, ReadState)>, JournalError> {
        let asked =
            || list.names().iter().enumerate().map(|(index, name)| (name, start.position(list, index)));
        let settle = |(channel, position)| {
            let (pinned, state) = self.read_state_resident(now, channel, position)?;
            Some((Place::of(&pinned), state))
        };
        let mut settled: Vec<_> = asked().map(settle).collect();
        let missing = settled.iter_mut().zip(asked()).enumerate().filter(|(_, (found, _))| found.is_none());
        let fetches = missing.map(|(index, (found, (channel, position)))| -> Fetch<'_> {
            Box::pin(async move {
                let read = async {
                    let pinned = self.pin(now, channel, position).await?;
                    Ok((Place::of(&pinned), self.read_state(now, channel, &pinned).await?))
                };
                undamaged(index, found, read.await)
            })
        });
        for index in all(fetches.collect()).await? {
            let place = Place::damaged(start.position(list, index));
            settled[index] = Some((place, place.unread()));
        }
        let settled: Vec<_> = settled.into_iter().flatten().collect();
        unless_all_damaged(settled.iter().map(|(place, _)| place))?;
        Ok(settled)
    }

    /// Reads the channels of a list that `due` names by index, from their places on: messages within `limit` in all,
    /// each channel giving in turn, in order of time. All but the first reader at the same places get the same batch. A
    /// state that is known from just before spares a look.
    ///
    /// # Errors
    /// As for [`read`](Self::read). A damaged channel is an error only where all are.
    pub async fn read_list(
        &self,
        now: Timestamp,
        list: &ChannelList,
        places: &[Place],
        due: impl IntoIterator<Item = (usize, Option<ReadState>)>,
        limit: Limit,
    ) -> Result<ListView, JournalError> {
        let mut reading = Reading::begin(self, now, list, places, due);
        let missing = reading.looks.iter_mut().filter(|(_, state)| state.is_none());
        let fetches = missing.map(|(channel, state)| -> Fetch<'_> {
            let (name, pinned) = (&list.names()[*channel], places[*channel].pinned());
            let channel = *channel;
            Box::pin(async move { undamaged(channel, state, self.read_state(now, name, &pinned).await) })
        });
        let damaged = all(fetches.collect()).await?;
        reading.note_damage(damaged);
        let limit = limit.within(self.memory());
        let most = reading.most(limit);
        let mut views = reading.views(most);
        let cold = views.iter().filter(|(_, view)| view.is_none()).count();
        let bytes = (limit.bytes / cold.max(1)).max(LEAST_FETCHED).min(limit.bytes);
        let missing = views.iter_mut().filter(|(_, view)| view.is_none());
        let fetches = missing.map(|(channel, view)| -> Fetch<'_> {
            let (name, pinned) = (&list.names()[*channel], places[*channel].pinned());
            let channel = *channel;
            let limit = Limit { bytes, ..most };
            Box::pin(async move { undamaged(channel, view, self.read(now, name, &pinned, limit).await) })
        });
        let damaged = all(fetches.collect()).await?;
        reading.note_damage(damaged);
        let view = reading.conclude(&views, limit);
        unless_all_damaged(&view.next)?;
        Ok(view)
    }

    /// The same without waiting; `None` if something has to be fetched first.
    #[must_use]
    pub fn read_list_resident(
        &self,
        now: Timestamp,
        list: &ChannelList,
        places: &[Place],
        due: impl IntoIterator<Item = (usize, Option<ReadState>)>,
        limit: Limit,
    ) -> Option<ListView> {
        let reading = Reading::begin(self, now, list, places, due);
        if reading.looks.iter().any(|(_, state)| state.is_none()) {
            return None;
        }
        let limit = limit.within(self.memory());
        let views = reading.views(reading.most(limit));
        views.iter().all(|(_, view)| view.is_some()).then(|| reading.conclude(&views, limit))
    }
}

/// One read of a list.
struct Reading<'a> {
    store: &'a Store,
    now: Timestamp,
    list: &'a ChannelList,
    places: &'a [Place],
    looks: Vec<(usize, Option<ReadState>)>,
    /// Channels that are found to be damaged.
    damaged: Vec<usize>,
}

impl<'a> Reading<'a> {
    fn begin(
        store: &'a Store,
        now: Timestamp,
        list: &'a ChannelList,
        places: &'a [Place],
        due: impl IntoIterator<Item = (usize, Option<ReadState>)>,
    ) -> Self {
        let look = |(channel, known): (usize, Option<ReadState>)| {
            let name = &list.names()[channel];
            (channel, known.or_else(|| store.state_resident(now, name, &places[channel].pinned())))
        };
        let looks = due.into_iter().map(look).collect();
        let damaged = (0..places.len()).filter(|&channel| places[channel].life == Life::Damaged).collect();
        Self { store, now, list, places, looks, damaged }
    }

    /// Nothing is known of these channels but where the reader is.
    fn note_damage(&mut self, damaged: Vec<usize>) {
        for (channel, state) in &mut self.looks {
            if damaged.contains(channel) {
                *state = Some(self.places[*channel].unread());
            }
        }
        self.damaged.extend(damaged);
    }

    /// The states of the channels that have messages.
    fn unread(&self) -> impl Iterator<Item = (usize, &ReadState)> {
        let found = self.looks.iter().filter_map(|(channel, state)| Some((*channel, state.as_ref()?)));
        found.filter(|(_, state)| state.has_messages())
    }

    /// How much of each channel is enough.
    fn most(&self, limit: Limit) -> Limit {
        let count = |state: &ReadState| state.newest.get() + 1 - state.first.get();
        let available: Vec<usize> =
            self.unread().map(|(_, state)| usize::try_from(count(state)).unwrap_or(usize::MAX)).collect();
        Limit { messages: most_of_each(&available, limit.messages).min(limit.messages), ..limit }
    }

    /// What each channel that has messages gives; `None` where that has to be fetched.
    fn views(&self, most: Limit) -> Vec<(usize, Option<View>)> {
        let view = |channel: usize| {
            let (name, pinned) = (&self.list.names()[channel], self.places[channel].pinned());
            self.store.read_resident(self.now, name, &pinned, most)
        };
        self.unread().map(|(channel, _)| (channel, view(channel))).collect()
    }

    fn conclude(self, views: &[(usize, Option<View>)], limit: Limit) -> ListView {
        let Self { store, list, places, looks, damaged, .. } = self;
        let mut looks: Vec<(usize, ReadState)> =
            looks.into_iter().filter_map(|(channel, state)| Some((channel, state?))).collect();
        // A view may be newer than the look before it.
        let mut views =
            views.iter().filter_map(|(channel, view)| Some((*channel, view.as_ref()?))).peekable();
        let mut unread = Vec::new();
        for (channel, state) in &mut looks {
            let Some((_, view)) = views.next_if(|(viewed, _)| viewed == channel) else { continue };
            *state = view.read_state;
            if let Some(batch) = &view.batch {
                let epoch = view.read_state.epoch;
                unread.push(Unread { channel: *channel, epoch, messages: batch.messages() });
            }
        }
        let mut next = places.to_vec();
        for (channel, state) in &looks {
            next[*channel] = Place::after(state.cursor(), state);
        }
        for channel in damaged {
            next[channel] = Place { life: Life::Damaged, ..places[channel] };
        }
        if unread.is_empty() {
            return ListView { looks, batch: None, next };
        }
        let cursors = |places: &[Place]| places.iter().map(|place| place.cursor).collect::<Vec<Cursor>>();
        let start = cursors(&next);
        let given = turns(&unread, limit);
        for (unread, last) in unread.iter().zip(&given) {
            let last = last.checked_sub(1).and_then(|last| unread.messages.get(last));
            let state = looks.iter().find(|(channel, _)| *channel == unread.channel);
            if let Some((last, (_, state))) = last.zip(state) {
                next[unread.channel] = Place::after(Cursor { epoch: unread.epoch, seq: last.seq }, state);
            }
        }
        let end = cursors(&next);
        let make = || ListBatch::new(merge(&unread, &given), start.clone(), end.clone(), store.memory());
        let (batch, shared) = list.share(&start, &end, make);
        if shared {
            let dropped = store.0.recent.lock().hold_any(batch.bytes(), batch.clone());
            drop(dropped);
        }
        ListView { looks, batch: Some(batch), next }
    }
}

/// Where a reader starts that came with one channel's position, if it is of one in this list: of the one in whose
/// incarnation it is.
fn owned(list: &ChannelList, start: &ListStart, settled: &[(Place, ReadState)]) -> Option<ListStart> {
    let (cursor, otherwise) = start.of_one()?;
    let owner = settled.iter().position(|(_, state)| state.epoch == cursor.epoch)?;
    let at = |channel| if channel == owner { Position::After(cursor) } else { otherwise };
    Some(ListStart::At((0..list.names().len()).map(at).collect()))
}

/// Waits for all fetches, some at a time; the first error ends it. The channels that are damaged.
async fn all(fetches: Vec<Fetch<'_>>) -> Result<Vec<usize>, JournalError> {
    let damaged = stream::iter(fetches).buffer_unordered(FETCHES);
    damaged.try_filter_map(|damaged| ready(Ok(damaged))).try_collect().await
}

/// Puts what was read where it belongs. Damage concerns its own channel only: that is left out, and given back.
fn undamaged<T>(
    channel: usize,
    place: &mut Option<T>,
    read: Result<T, JournalError>,
) -> Result<Option<usize>, JournalError> {
    match read {
        Ok(read) => {
            *place = Some(read);
            Ok(None)
        }
        Err(JournalError::Damaged(_)) => Ok(Some(channel)),
        Err(error) => Err(error),
    }
}

/// An error if there is nothing left to read.
fn unless_all_damaged<'a>(places: impl IntoIterator<Item = &'a Place>) -> Result<(), JournalError> {
    let all = places.into_iter().all(|place| place.life == Life::Damaged);
    if all { Err(JournalError::Damaged("all channels of a list".to_owned())) } else { Ok(()) }
}
