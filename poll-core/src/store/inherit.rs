//! What a fork shares with the channels it descends from: where it leaves its source, and reading what is before that.

use std::sync::Arc;
use std::time::Duration;

use super::handle::Store;
use super::look::{Missing, Sight};
use super::read::{Found, Locator};
use crate::channel::{Batch, ForkPin, Messages, Pinned, ReadState};
use crate::life::{
    ContentType, Create, CreateError, Description, ForkPoint, Life, Origin, Segment, Standing, Use,
};
use crate::types::{
    ChannelName, Cursor, Epoch, JournalError, Landmark, Limit, Message, Payload, Position, Seq, Stretch,
    Timestamp, time_of,
};

/// A fork that is being made.
pub(super) struct Fork {
    pub(super) life: Life,
    pub(super) pin: ForkPin,
    /// What it begins with: the first part of a message of its source.
    pub(super) prefix: Option<Payload>,
}

impl Store {
    /// Works out where a fork leaves its source; `None` if there is a channel of its name already.
    pub(super) async fn fork_point(
        &self,
        now: Timestamp,
        fork: &ChannelName,
        create: &Create,
        point: &ForkPoint,
    ) -> Result<Option<Fork>, CreateError> {
        // What could not be kept either does not wait until its source can be read.
        if let Some(archive) = self.archive() {
            archive.health().borrow().check_readable()?;
        }
        if !matches!(self.describe(now, fork, Use::Look).await?, Standing::Absent) {
            return Ok(None);
        }
        // From here on the source stays, whatever becomes of it.
        let pin = loop {
            let source = self.find(now, &point.source).await?.ok_or(CreateError::NoSource)?;
            if let Some(pin) = ForkPin::on(source) {
                break pin;
            }
        };
        // That is a read of it.
        let description = match self.describe(now, &point.source, Use::Renew).await? {
            Standing::Absent => return Err(CreateError::NoSource),
            Standing::Hidden => return Err(CreateError::SourceHidden),
            Standing::Live(description) => description,
        };
        if !self.residents().get(&point.source).is_some_and(|now| Arc::ptr_eq(&now, pin.source())) {
            return Err(CreateError::NoSource);
        }
        let (life, prefix) = self.fork_from(now, create, point, &description).await?;
        Ok(Some(Fork { life, pin, prefix }))
    }

    /// The life of a fork of a channel as it stands, and what the fork begins with.
    pub(super) async fn fork_from(
        &self,
        now: Timestamp,
        create: &Create,
        point: &ForkPoint,
        description: &Description,
    ) -> Result<(Life, Option<Payload>), CreateError> {
        let source = &description.life;
        let is_of = |given: &ContentType| match &source.content_type {
            Some(own) => own.is_same_media(given),
            None => given.is_json(),
        };
        if !create.content_type.as_ref().is_none_or(is_of) {
            return Err(CreateError::OtherType);
        }
        let after = point.after.unwrap_or(description.newest);
        if after > description.newest {
            return Err(CreateError::BeyondTail);
        }
        let (cut, prefix) = self.further(now, &point.source, description, after, point.further).await?;
        let last_at = self.taken_at(now, &point.source, description, cut).await?;
        let segment = Segment { channel: point.source.clone(), epoch: description.epoch, last: cut, last_at };
        let ancestry = source.ancestry.of_fork(&segment).ok_or(CreateError::TooDeep)?;
        let origin =
            Origin { source: point.source.clone(), epoch: description.epoch, after, further: point.further };
        let life = Life {
            content_type: create.content_type.clone().or_else(|| source.content_type.clone()),
            lifetime: create.lifetime.unwrap_or(source.lifetime),
            origin: Some(origin),
            ancestry,
            ..create.life(now)
        };
        Ok((life, prefix))
    }

    /// Goes on from `after` by a part of the next append: bytes, or messages if the source holds JSON. Returns the last
    /// message that the fork shares, and the first part of the next one, which it begins with.
    async fn further(
        &self,
        now: Timestamp,
        source: &ChannelName,
        description: &Description,
        after: Seq,
        further: u64,
    ) -> Result<(Seq, Option<Payload>), CreateError> {
        let is_json = description.life.is_json();
        let (mut left, mut cut) = (further, after);
        while left > 0 {
            let pinned = Pinned::after(Cursor { epoch: description.epoch, seq: cut });
            let view = self.read(now, source, &pinned, Limit::default()).await?;
            let batch = view.batch.ok_or(CreateError::BeyondUnit)?;
            for message in batch.messages() {
                if message.seq != cut.next() {
                    return Err(CreateError::SourceEvicted);
                }
                if cut > after && !message.continues() {
                    return Err(CreateError::BeyondUnit);
                }
                let size = if is_json { 1 } else { message.payload.len() as u64 };
                if left < size {
                    return Ok((cut, Some(first_part(&message.payload, left))));
                }
                (left, cut) = (left - size, message.seq);
                if left == 0 {
                    break;
                }
            }
        }
        Ok((cut, None))
    }

    /// When message `seq` was taken; a later time if it is no longer retained.
    async fn taken_at(
        &self,
        now: Timestamp,
        channel: &ChannelName,
        description: &Description,
        seq: Seq,
    ) -> Result<Timestamp, JournalError> {
        if seq == Seq::ZERO {
            return Ok(Timestamp::ZERO);
        }
        let cursor = Cursor { epoch: description.epoch, seq };
        Ok(match self.message(now, channel, Locator::Cursor(cursor)).await? {
            Found::Message(message, ..) => message.at,
            Found::Gone | Found::Never => description.newest_at,
        })
    }

    /// Fetches what a fork shares with its ancestors; `None` if what is missing is not that.
    pub(super) async fn fetch_inherited(
        &self,
        now: Timestamp,
        fork: &ChannelName,
        missing: &Missing,
        pinned: &mut Pinned,
    ) -> Result<Option<Fetched>, JournalError> {
        let epoch = missing.epoch();
        let Some(life) = self.life_of(fork, epoch) else { return Ok(None) };
        match missing {
            Missing::Messages(stretch, state) => {
                if life.ancestry.owner(stretch.after.next()).is_none() {
                    return Ok(None);
                }
                let batch = self.bring_inherited(now, stretch, &life).await?;
                Ok(Some(batch.map(|batch| (batch, *state))))
            }
            Missing::Place(_, landmark) => {
                let Some(place) = self.locate_inherited(now, fork, epoch, &life, *landmark).await? else {
                    return Ok(None);
                };
                *pinned = pinned.at(Cursor { epoch, seq: place.before });
                Ok(Some(None))
            }
            Missing::Oldest(_, cutoff) => {
                let landmark = Landmark::Time(cutoff.before(Duration::from_micros(1)));
                let Some(place) = self.locate_inherited(now, fork, epoch, &life, landmark).await? else {
                    return Ok(None);
                };
                self.residents().raise(fork, epoch, (place.before.next().max(place.oldest), *cutoff));
                Ok(Some(None))
            }
        }
    }

    /// The life of a fork that is in memory in this incarnation.
    fn life_of(&self, fork: &ChannelName, epoch: Epoch) -> Option<Arc<Life>> {
        let channel = self.residents().get(fork)?;
        let state = channel.state.lock();
        let life = state.ledger.as_ref()?.life();
        (state.epoch() == epoch && life.ancestry.cut().is_some()).then(|| life.clone())
    }

    /// Messages from ancestor after ancestor and then the fork's own, as one batch. `None` if the first is not retained,
    /// which the fork then knows.
    async fn bring_inherited(
        &self,
        now: Timestamp,
        stretch: &Stretch,
        life: &Life,
    ) -> Result<Option<Arc<Batch>>, JournalError> {
        let mut taken = Taken { messages: Messages::new(), after: stretch.after, left: stretch.limit };
        while !taken.is_full() {
            let next = taken.after.next();
            let segment = life.ancestry.owner(next);
            let (owner, last, sight) = match segment {
                Some(segment) => (&segment.channel, segment.last, Sight::Inherited),
                None => (&stretch.channel, Seq::new(u64::MAX), Sight::Reader),
            };
            let (epoch, until) = match segment {
                Some(segment) => {
                    self.catch_up(now, segment).await?;
                    (self.epoch_now(now, segment).await?, segment.last_at)
                }
                None => (stretch.epoch, Timestamp::MAX),
            };
            let after = Pinned::after(Cursor { epoch, seq: taken.after });
            // Not what the ancestor went on with.
            let shared = usize::try_from(last.get() - taken.after.get()).unwrap_or(usize::MAX);
            let limit = Limit { messages: taken.left.messages.min(shared), ..taken.left };
            let view = Box::pin(self.see(now, owner, &after, Some(limit), sight)).await?;
            let batch = view.batch.filter(|batch| batch.end().epoch == epoch);
            let found = batch.as_ref().map_or(&[][..], |batch| batch.messages());
            let found = &found[..found.partition_point(|message| message.at <= until)];
            let first = found.first().map_or(last, |message| message.seq.previous()).min(last).next();
            if first != next && taken.messages.is_empty() {
                self.note_gone(stretch, first);
                return Ok(None);
            }
            let goes_on = taken.take(found, last);
            if !goes_on || segment.is_none() {
                break;
            }
        }
        Ok(Some(Arc::new(Batch::new(stretch.epoch, taken.messages, self.memory()))))
    }

    /// The epoch that an ancestor has now. In a journal of this process's own it is the same channel, which stays for as long
    /// as it has forks, but may have begun a new epoch because messages were lost. Numbers that were given out again since are
    /// told apart by their times.
    async fn epoch_now(&self, now: Timestamp, segment: &Segment) -> Result<Epoch, JournalError> {
        if self.shared().is_some() {
            return Ok(segment.epoch);
        }
        let owner = self.find(now, &segment.channel).await?;
        Ok(owner.map_or(segment.epoch, |owner| owner.state.lock().epoch()))
    }

    /// What is gone of an ancestor is gone here as well: the messages of a stretch up to `first`. An earlier ancestor may
    /// have kept what is before them.
    fn note_gone(&self, stretch: &Stretch, first: Seq) {
        let (fork, epoch, next) = (&stretch.channel, stretch.epoch, stretch.after.next());
        let Some(channel) = self.residents().get(fork) else { return };
        let mut state = channel.state.lock();
        if state.epoch() == epoch && state.log.oldest() < next {
            state.log.note_damaged(next, first.previous());
        } else {
            drop(state);
            self.residents().raise(fork, epoch, (first, Timestamp::ZERO));
        }
    }

    /// Where a landmark lies in what a fork shares with its ancestors; `None` if it is after that, and the journal has to say
    /// which of the fork's own messages it is.
    async fn locate_inherited(
        &self,
        now: Timestamp,
        fork: &ChannelName,
        epoch: Epoch,
        life: &Life,
        landmark: Landmark,
    ) -> Result<Option<Inherited>, JournalError> {
        let (time, position) = match landmark {
            Landmark::Time(time) => (time, Position::AfterTime(time)),
            Landmark::Id(id) => (time_of(id), Position::AfterId(id)),
        };
        let segments = life.ancestry.segments();
        let Some((index, segment)) = life.ancestry.at(time) else {
            let Some(last) = segments.last().map(|segment| segment.last) else { return Ok(None) };
            let located = match self.archive() {
                Some(archive) => self.ask(fork, |reply| archive.locate(fork, epoch, landmark, reply)).await?,
                None => None,
            };
            let before = located.and_then(|located| located.before).unwrap_or(last);
            return Ok(Some(Inherited { before, oldest: Seq::ZERO }));
        };
        let floor = index
            .checked_sub(1)
            .and_then(|index| segments.get(index))
            .map_or(Seq::ZERO, |before| before.last);
        self.catch_up(now, segment).await?;
        let pinned = Pinned::of(position, None);
        let view = Box::pin(self.see(now, &segment.channel, &pinned, None, Sight::Inherited)).await?;
        let (before, oldest) = (view.read_state.position, view.read_state.oldest);
        Ok(Some(Inherited {
            before: before.clamp(floor, segment.last),
            oldest: oldest.clamp(floor, segment.last.next()),
        }))
    }
}

/// A landmark in what a fork shares with its ancestors.
struct Inherited {
    /// The newest message at or before it, retained or not.
    before: Seq,
    /// Nothing before this is retained.
    oldest: Seq,
}

/// Messages of one batch, out of several logs.
struct Taken {
    messages: Messages,
    /// The number of the last one.
    after: Seq,
    left: Limit,
}

impl Taken {
    fn is_full(&self) -> bool {
        self.left.messages == 0 || self.left.bytes == 0
    }

    /// Takes what comes next, up to message `last`. Returns whether that was reached.
    fn take(&mut self, found: &[Arc<Message>], last: Seq) -> bool {
        for message in found.iter().take_while(|message| message.seq <= last) {
            let bytes = message.payload.len();
            let fits = self.messages.is_empty() || bytes <= self.left.bytes;
            if message.seq != self.after.next() || !fits || self.is_full() {
                return false;
            }
            let left =
                Limit { messages: self.left.messages - 1, bytes: self.left.bytes.saturating_sub(bytes) };
            (self.after, self.left) = (message.seq, left);
            self.messages.push(message.clone());
        }
        self.after == last
    }
}

/// What a fetch brings: messages and their reader's position, or knowledge with which the next look gets further.
type Fetched = Option<(Arc<Batch>, ReadState)>;

/// The first `bytes` bytes of a payload.
fn first_part(payload: &Payload, bytes: u64) -> Payload {
    let whole = payload.as_bytes();
    Payload::bytes(&whole[..whole.len().min(usize::try_from(bytes).unwrap_or(usize::MAX))])
}
