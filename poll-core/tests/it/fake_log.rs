//! A log that several servers share, as an object in this process: it gives out numbers, ids and times, keeps messages,
//! keys and seals, and answers at once. What makes it far away is in `fake_node.rs`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use poll_core::journal::{
    Fingerprint, Landmark, ListedChannel, Listing, Loaded, Located, Outcome, Piece, Selection, SharedPublish,
    Stretch, Tail,
};
use poll_core::{
    ChannelName, Cursor, Ending, Epoch, Message, Payload, PublishError, Retention, Seq, SeqRange, Stamp,
    Timestamp, mint_id,
};

use crate::fake_node::Node;

type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

pub(crate) struct Log {
    state: Mutex<State>,
    nodes: Mutex<Vec<Weak<Node>>>,
    clock: Clock,
    pub(crate) retention: Retention,
    pub(crate) tail: Tail,
}

#[derive(Default)]
struct State {
    channels: BTreeMap<ChannelName, Kept>,
    /// Changes of the log so far, each of which is announced.
    count: u64,
    births: u64,
    /// Every message that ever was, also those that were lost.
    history: HashMap<(ChannelName, Cursor), Arc<Message>>,
}

#[derive(Default)]
struct Kept {
    epoch: Epoch,
    messages: VecDeque<Arc<Message>>,
    newest: Seq,
    /// No later message has this time or an earlier one.
    at: Timestamp,
    newest_at: Timestamp,
    ending: Ending,
    keys: HashMap<String, (Fingerprint, SeqRange)>,
}

/// How far a channel goes, at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    /// [`Epoch::ZERO`] if there is no such channel.
    pub(crate) epoch: Epoch,
    pub(crate) newest: Seq,
    pub(crate) ending: Ending,
    /// What is of an earlier epoch than this is over.
    pub(crate) since: u64,
}

/// Messages of a channel that follow one another.
#[derive(Debug, Clone)]
pub(crate) struct Excerpt {
    pub(crate) epoch: Epoch,
    pub(crate) after: Seq,
    pub(crate) messages: Vec<Arc<Message>>,
    pub(crate) ending: Ending,
}

#[derive(Debug, Clone)]
pub(crate) enum Change {
    Added(Excerpt),
    /// The channel lost messages, and goes as far as this now.
    Lost(Reach),
}

/// What every server is told of a change.
#[derive(Debug, Clone)]
pub(crate) struct Announcement {
    pub(crate) count: u64,
    pub(crate) channel: ChannelName,
    pub(crate) change: Change,
}

impl Log {
    pub(crate) fn new(
        retention: Retention,
        tail: Tail,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Arc<Self> {
        let clock = Box::new(clock);
        Arc::new(Self { state: Mutex::default(), nodes: Mutex::default(), clock, retention, tail })
    }

    pub(crate) fn join(&self, node: &Arc<Node>) {
        self.nodes.lock().unwrap().push(Arc::downgrade(node));
    }

    fn announce(&self, announcement: &Announcement) {
        let nodes: Vec<_> = self.nodes.lock().unwrap().iter().filter_map(Weak::upgrade).collect();
        nodes.iter().for_each(|node| node.announce(announcement.clone()));
    }

    /// Publishes and announces, in one step.
    pub(crate) fn publish(
        &self,
        channel: &ChannelName,
        publish: SharedPublish,
    ) -> Result<(Outcome, Excerpt), PublishError> {
        let mut state = self.state.lock().unwrap();
        let (kept, added) = state.publish(self, channel, publish)?;
        let Some(added) = added else {
            return Ok((kept, Excerpt::nothing()));
        };
        state.count += 1;
        let announcement = Announcement {
            count: state.count,
            channel: channel.clone(),
            change: Change::Added(added.clone()),
        };
        drop(state);
        self.announce(&announcement);
        Ok((kept, added))
    }

    pub(crate) fn count(&self) -> u64 {
        self.state.lock().unwrap().count
    }

    pub(crate) fn channels(&self) -> u64 {
        self.state.lock().unwrap().channels.len() as u64
    }

    pub(crate) fn list(&self, selection: &Selection) -> Listing {
        let state = self.state.lock().unwrap();
        let mut names = state
            .channels
            .range((selection.start().cloned(), std::ops::Bound::Unbounded))
            .take_while(|(name, _)| selection.covers(name.as_str()));
        let selected: Vec<_> = names.by_ref().take(selection.limit).collect();
        let next = names.next().and(selected.last()).map(|(name, _)| (*name).clone());
        let listed = |(name, kept): (&ChannelName, &Kept)| ListedChannel {
            name: name.clone(),
            bytes: kept.messages.iter().map(|message| message.weight()).sum(),
            loaded: kept.loaded(Vec::new()),
        };
        Listing { channels: selected.into_iter().map(listed).collect(), next }
    }

    pub(crate) fn reach(&self, channel: &ChannelName) -> Reach {
        self.state.lock().unwrap().reach(channel)
    }

    /// The message before a position that the log gave out once.
    pub(crate) fn remembered(&self, channel: &ChannelName, at: Cursor) -> Option<Arc<Message>> {
        self.state.lock().unwrap().history.get(&(channel.clone(), at)).cloned()
    }

    /// Whether the channel ever had a message with this payload.
    pub(crate) fn ever_had(&self, channel: &ChannelName, payload: &Payload) -> bool {
        let state = self.state.lock().unwrap();
        state.history.iter().any(|((other, _), message)| other == channel && message.payload == *payload)
    }

    /// Loses all but the first `keep` messages of a channel, which gets a new epoch.
    pub(crate) fn lose(&self, channel: &ChannelName, keep: u64) {
        let mut state = self.state.lock().unwrap();
        state.births += 1;
        let births = state.births;
        let Some(kept) = state.channels.get_mut(channel) else { return };
        kept.epoch = Epoch::new(births);
        kept.messages.retain(|message| message.seq.get() <= keep);
        kept.newest = kept.newest.min(Seq::new(keep));
        kept.newest_at = kept.messages.back().map_or(kept.newest_at, |message| message.at);
        kept.ending = Ending::Open;
        let epoch = kept.epoch;
        let left = kept.messages.iter().cloned();
        let left: Vec<_> =
            left.map(|message| ((channel.clone(), Cursor { epoch, seq: message.seq }), message)).collect();
        kept.keys.retain(|_, (_, numbers)| numbers.after.get() + u64::from(numbers.count) <= keep);
        if kept.newest == Seq::ZERO {
            state.channels.remove(channel);
        }
        state.history.extend(left);
        state.count += 1;
        let announcement = Announcement {
            count: state.count,
            channel: channel.clone(),
            change: Change::Lost(state.reach(channel)),
        };
        drop(state);
        self.announce(&announcement);
    }

    pub(crate) fn load(&self, channel: &ChannelName) -> Option<Loaded> {
        let state = self.state.lock().unwrap();
        let kept = state.channels.get(channel)?;
        let (mut weight, mut tail) = (0, VecDeque::new());
        for message in kept.messages.iter().rev() {
            weight += message.weight();
            if !tail.is_empty() && weight > self.tail.bytes {
                break;
            }
            tail.push_front(message.clone());
        }
        Some(kept.loaded(tail.into()))
    }

    pub(crate) fn read(&self, stretch: &Stretch) -> Option<Piece> {
        let state = self.state.lock().unwrap();
        let kept = state.channels.get(&stretch.channel).filter(|kept| kept.epoch == stretch.epoch)?;
        let oldest = kept.oldest();
        let messages = if stretch.after.next() < oldest.0 { Vec::new() } else { kept.after(stretch.after) };
        let messages = messages.into_iter().take(stretch.limit.messages).collect();
        Some(Piece { oldest, messages, damaged: None })
    }

    pub(crate) fn locate(&self, channel: &ChannelName, epoch: Epoch, landmark: Landmark) -> Option<Located> {
        let state = self.state.lock().unwrap();
        let kept = state.channels.get(channel).filter(|kept| kept.epoch == epoch)?;
        let seen = |message: &&Arc<Message>| match landmark {
            Landmark::Time(time) => message.at <= time,
            Landmark::Id(id) => message.id <= id,
        };
        let before = kept.messages.iter().rfind(seen).map(|message| message.seq);
        let after = kept.messages.iter().find(|message| !seen(message));
        let after = after.map(|message| (message.seq, message.at));
        Some(Located { before, after, end: kept.newest.next() })
    }

    /// Everything after a number, in whatever epoch.
    pub(crate) fn after(&self, channel: &ChannelName, after: Seq) -> Option<Excerpt> {
        let state = self.state.lock().unwrap();
        let kept = state.channels.get(channel)?;
        let messages = kept.after(after);
        let after = messages.first().map_or(kept.newest, |message| message.seq.previous());
        Some(Excerpt { epoch: kept.epoch, after, messages, ending: kept.ending })
    }

    /// Seals a channel up to the end of a millisecond, or of the last one that is over.
    pub(crate) fn seal(&self, channel: &ChannelName, millis: u64) -> u64 {
        let sealed = millis.min((self.clock)().as_millis().saturating_sub(1));
        let mut state = self.state.lock().unwrap();
        if let Some(kept) = state.channels.get_mut(channel) {
            kept.at = kept.at.max(Timestamp::end_of_millis(sealed));
        }
        sealed
    }
}

impl State {
    fn reach(&self, channel: &ChannelName) -> Reach {
        match self.channels.get(channel) {
            Some(&Kept { epoch, newest, ending, .. }) => Reach { epoch, newest, ending, since: epoch.get() },
            None => {
                Reach { epoch: Epoch::ZERO, newest: Seq::ZERO, ending: Ending::Open, since: self.births + 1 }
            }
        }
    }

    fn publish(
        &mut self,
        log: &Log,
        channel: &ChannelName,
        SharedPublish { payloads, ending, key }: SharedPublish,
    ) -> Result<(Outcome, Option<Excerpt>), PublishError> {
        let born = !self.channels.contains_key(channel);
        let room = log.retention.channels == 0 || (self.channels.len() as u64) < log.retention.channels;
        if born && !room {
            return Err(PublishError::TooManyChannels { retry_after: Duration::from_secs(1) });
        }
        self.births += u64::from(born);
        let epoch = Epoch::new(self.births);
        let kept = self.channels.entry(channel.clone()).or_insert_with(|| Kept { epoch, ..Kept::default() });
        let epoch = kept.epoch;
        if let Some((key, fingerprint)) = &key
            && let Some((known, numbers)) = kept.keys.get(key.as_str())
        {
            let same = known == fingerprint;
            return same.then_some((Outcome::Repeated(epoch, *numbers), None)).ok_or(PublishError::KeyReused);
        }
        if kept.ending == Ending::Close {
            return Err(PublishError::Closed);
        }
        let after = kept.newest;
        let mut messages = Vec::new();
        for payload in payloads {
            kept.newest = kept.newest.next();
            kept.at = (log.clock)().max(kept.at.next());
            kept.newest_at = kept.at;
            let id = mint_id(kept.at, kept.newest.get());
            messages.push(Arc::new(Message { seq: kept.newest, id, at: kept.at, payload }));
        }
        kept.ending = ending;
        kept.messages.extend(messages.iter().cloned());
        while log.retention.messages > 0 && kept.messages.len() as u64 > log.retention.messages {
            kept.messages.pop_front();
        }
        if let Some((key, fingerprint)) = key {
            let numbers = SeqRange { after, count: u32::try_from(messages.len()).unwrap() };
            kept.keys.insert(key.as_str().to_owned(), (fingerprint, numbers));
        }
        let cursor = |message: &Arc<Message>| Cursor { epoch, seq: message.seq };
        for message in &messages {
            self.history.insert((channel.clone(), cursor(message)), message.clone());
        }
        let stamp =
            |message: &Arc<Message>| Stamp { cursor: cursor(message), id: message.id, at: message.at };
        let stamps = messages.iter().map(stamp).collect();
        Ok((Outcome::Kept(epoch, stamps), Some(Excerpt { epoch, after, messages, ending })))
    }
}

impl Kept {
    fn loaded(&self, tail: Vec<Arc<Message>>) -> Loaded {
        Loaded {
            life: None,
            epoch: self.epoch,
            oldest: self.oldest(),
            newest: (self.newest, self.newest_at),
            ended: self.ending == Ending::Close,
            tail,
            damaged: None,
        }
    }

    fn oldest(&self) -> (Seq, Timestamp) {
        let next = (self.newest.next(), self.newest_at);
        self.messages.front().map_or(next, |message| (message.seq, message.at))
    }

    fn after(&self, seq: Seq) -> Vec<Arc<Message>> {
        self.messages.iter().filter(|message| message.seq > seq).cloned().collect()
    }
}

impl Excerpt {
    /// For a publish that changed nothing.
    fn nothing() -> Self {
        Self { epoch: Epoch::ZERO, after: Seq::ZERO, messages: Vec::new(), ending: Ending::Open }
    }
}
