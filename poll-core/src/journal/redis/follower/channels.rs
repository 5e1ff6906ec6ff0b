//! The channels that have something pending: a load, a hole, a publisher or a reader that waits.

use super::effect::{Effect, Install, LATE, OwnedRun, PATIENCE, Shown};
use crate::journal::redis::log::partition::Partition;
use crate::journal::redis::log::script::Range;
use crate::types::{ChannelName, Ending, Epoch, Followed, Loaded, NameMap, Seq, Timestamp};

/// How much is remembered of what is announced while a channel is being loaded.
const REMEMBERED: usize = 64;

/// How long a read may take before it is sent again.
const READ: std::time::Duration = std::time::Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Channels<P, C> {
    pending: NameMap<Pending<P, C>>,
    pub(super) effects: Vec<Effect<P, C>>,
}

#[derive(Debug)]
struct Pending<P, C> {
    partition: Partition,
    loading: Option<Loading>,
    /// What is known to be in Redis and is not visible.
    target: Option<Target>,
    /// Since when it is being read.
    reading: Option<Timestamp>,
    /// When it is to be read, if it is not there by then.
    due: Timestamp,
    /// In the order of their numbers.
    parked: Vec<Parked<P>>,
    waiting: Vec<Waiting<C>>,
}

/// A load that is under way.
#[derive(Debug, Default)]
struct Loading {
    /// What was announced meanwhile, and the count of each.
    runs: Vec<(u64, OwnedRun)>,
    /// The newest of what was announced meanwhile and is not in `runs`, and its count.
    beyond: Option<(u64, Target)>,
    doubt: Doubt,
}

/// Whether what a load brings may be of what is over, or may have missed an announcement.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    #[default]
    No,
    Yes,
}

/// How far a channel is in Redis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) epoch: Epoch,
    pub(super) seq: Seq,
    pub(super) ending: Ending,
}

/// A publish that was kept and is not visible yet.
#[derive(Debug)]
struct Parked<P> {
    run: OwnedRun,
    publisher: P,
    since: Timestamp,
}

#[derive(Debug)]
struct Waiting<C> {
    epoch: Epoch,
    seq: Seq,
    reader: C,
    since: Timestamp,
}

impl Target {
    fn of(run: &OwnedRun) -> Self {
        Self { epoch: run.epoch, seq: run.newest(), ending: run.ending }
    }
}

impl Loading {
    fn beyond(&mut self, count: u64, target: Target) {
        if self.beyond.is_none_or(|(newest, _)| newest < count) {
            self.beyond = Some((count, target));
        }
    }
}

impl<P, C> Default for Channels<P, C> {
    fn default() -> Self {
        Self { pending: NameMap::default(), effects: Vec::new() }
    }
}

impl<P, C> Pending<P, C> {
    fn new(partition: Partition) -> Self {
        let (parked, waiting) = (Vec::new(), Vec::new());
        let due = Timestamp::MAX;
        Self { partition, loading: None, target: None, reading: None, due, parked, waiting }
    }

    fn is_empty(&self) -> bool {
        self.loading.is_none() && self.target.is_none() && self.parked.is_empty() && self.waiting.is_empty()
    }

    /// Nothing is waited for any longer: the channel is not in memory.
    fn settle(&mut self, effects: &mut Vec<Effect<P, C>>) {
        (self.target, self.reading) = (None, None);
        effects.extend(self.parked.drain(..).map(|parked| Effect::Answer(parked.publisher)));
        effects.extend(self.waiting.drain(..).map(|waiting| Effect::Checked(waiting.reader)));
    }

    /// Since when a publisher or a reader waits.
    fn since(&self) -> Option<Timestamp> {
        let parked = self.parked.iter().map(|parked| parked.since);
        parked.chain(self.waiting.iter().map(|waiting| waiting.since)).min()
    }

    fn remember(&mut self, count: u64, run: &OwnedRun) {
        let Some(loading) = &mut self.loading else { return };
        if loading.runs.len() < REMEMBERED {
            loading.runs.push((count, run.clone()));
        } else {
            loading.beyond(count, Target::of(run));
        }
    }

    fn doubt_load(&mut self) {
        if let Some(loading) = &mut self.loading {
            loading.doubt = Doubt::Yes;
        }
    }

    fn want(&mut self, target: Target, due: Timestamp) {
        let greater = |old: &Target| old.epoch == target.epoch && old.seq > target.seq;
        if !self.target.as_ref().is_some_and(greater) {
            self.target = Some(target);
        }
        self.due = self.due.min(due);
    }
}

impl<P, C> Channels<P, C> {
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    fn at(&mut self, channel: &ChannelName) -> &mut Pending<P, C> {
        let new = || Pending::new(Partition::of(channel));
        self.pending.entry(channel.clone()).or_insert_with(new)
    }

    /// What was announced as the change that made this count.
    pub(super) fn show(
        &mut self,
        now: Timestamp,
        channel: &ChannelName,
        (count, run): (u64, &OwnedRun),
        shown: &impl Shown,
    ) {
        if let Some(pending) = self.pending.get_mut(channel) {
            pending.remember(count, run);
        }
        match shown.follow(channel, &run.as_run()) {
            Followed::Shown => self.progress(now, channel, shown),
            Followed::NotInMemory => self.settle(channel),
            Followed::Behind(_) => {
                self.behind(now, channel, (count, Target::of(run)), shown);
            }
            Followed::OtherEpoch => self.reset(channel, shown),
        }
    }

    /// What this node published as the change that made this count.
    pub(super) fn own(
        &mut self,
        now: Timestamp,
        channel: &ChannelName,
        (count, run): (u64, OwnedRun),
        publisher: P,
        shown: &impl Shown,
    ) {
        if let Some(pending) = self.pending.get_mut(channel) {
            pending.remember(count, &run);
        }
        match shown.follow(channel, &run.as_run()) {
            Followed::Shown => {
                self.effects.push(Effect::Answer(publisher));
                self.progress(now, channel, shown);
            }
            Followed::NotInMemory => {
                self.effects.push(Effect::Answer(publisher));
                self.settle(channel);
            }
            Followed::Behind(_) => self.park(now, channel, run, publisher),
            Followed::OtherEpoch => {
                self.effects.push(Effect::Answer(publisher));
                self.reset(channel, shown);
            }
        }
    }

    /// A publish waits for those before it.
    pub(super) fn park(&mut self, now: Timestamp, channel: &ChannelName, run: OwnedRun, publisher: P) {
        let pending = self.at(channel);
        pending.want(Target::of(&run), now.after(LATE));
        let place = pending.parked.partition_point(|parked| parked.run.after <= run.after);
        pending.parked.insert(place, Parked { run, publisher, since: now });
    }

    /// The channel was this far in Redis when the partition was at `count`.
    pub(super) fn behind(
        &mut self,
        now: Timestamp,
        channel: &ChannelName,
        (count, target): (u64, Target),
        shown: &impl Shown,
    ) {
        if let Some(loading) = self.pending.get_mut(channel).and_then(|pending| pending.loading.as_mut()) {
            loading.beyond(count, target);
        }
        match shown.newest(channel) {
            None => self.settle(channel),
            Some((known, ..)) if known != target.epoch && known != Epoch::ZERO => self.reset(channel, shown),
            Some(_) => {
                self.at(channel).want(target, now);
                self.progress(now, channel, shown);
            }
        }
    }

    /// A channel was forgotten.
    pub(super) fn forgotten(&mut self, channel: &ChannelName, epoch: Epoch, shown: &impl Shown) {
        let mut wanted = false;
        if let Some(pending) = self.pending.get_mut(channel) {
            pending.doubt_load();
            wanted = pending.target.is_some_and(|target| target.epoch == epoch);
        }
        // One that is hidden, or whose time is over, shows no epoch.
        let is_it = |known| known == epoch || known == Epoch::ZERO;
        if wanted || shown.newest(channel).is_some_and(|(known, ..)| is_it(known)) {
            self.reset(channel, shown);
        }
    }

    /// Drops a channel from memory; its waiters are woken and load it.
    pub(super) fn reset(&mut self, channel: &ChannelName, shown: &impl Shown) {
        if let Some(pending) = self.pending.get_mut(channel) {
            pending.doubt_load();
        }
        shown.reset(channel);
        self.settle(channel);
    }

    /// Ends everything pending in a partition.
    pub(super) fn reset_partition(&mut self, partition: Partition, shown: &impl Shown) {
        let pending = self.pending.iter().filter(|(_, pending)| pending.partition == partition);
        let channels: Vec<_> = pending.map(|(channel, _)| channel.clone()).collect();
        for channel in channels {
            self.reset(&channel, shown);
        }
    }

    /// What is waited for in a partition may be lost.
    pub(super) fn doubt_awaited(&mut self, partition: Partition) {
        for pending in self.pending.values_mut().filter(|pending| pending.partition == partition) {
            self.effects.extend(pending.parked.drain(..).map(|parked| Effect::Doubt(parked.publisher)));
            self.effects.extend(pending.waiting.drain(..).map(|waiting| Effect::Over(waiting.reader)));
        }
    }

    /// Loads of a partition that are under way may have missed something.
    pub(super) fn doubt_loads(&mut self, partition: Partition) {
        let pending = self.pending.values_mut().filter(|pending| pending.partition == partition);
        pending.for_each(Pending::doubt_load);
    }

    fn settle(&mut self, channel: &ChannelName) {
        let Some(pending) = self.pending.get_mut(channel) else { return };
        pending.settle(&mut self.effects);
        if pending.is_empty() {
            self.pending.remove(channel);
        }
    }

    /// The channel may have got further.
    fn progress(&mut self, now: Timestamp, channel: &ChannelName, shown: &impl Shown) {
        let Some(pending) = self.pending.get_mut(channel) else { return };
        while let Some(parked) = pending.parked.first() {
            match shown.follow(channel, &parked.run.as_run()) {
                Followed::Shown => {
                    let parked = pending.parked.remove(0);
                    self.effects.push(Effect::Answer(parked.publisher));
                }
                Followed::Behind(_) => break,
                Followed::NotInMemory => return self.settle(channel),
                Followed::OtherEpoch => return self.reset(channel, shown),
            }
        }
        let Some((epoch, seq, ending)) = shown.newest(channel) else { return self.settle(channel) };
        // What another incarnation was to have is past.
        let past = |wanted: Epoch| wanted != epoch && epoch != Epoch::ZERO;
        let reached = |waiting: &mut Waiting<C>| past(waiting.epoch) || seq >= waiting.seq;
        let waiting = pending.waiting.extract_if(.., reached);
        self.effects.extend(waiting.map(|waiting| Effect::Checked(waiting.reader)));
        let closes = |target: &Target| target.ending == Ending::Close && ending == Ending::Open;
        let missing = |target: &Target| !past(target.epoch) && (seq < target.seq || closes(target));
        pending.target = pending.target.filter(missing);
        if let Some(target) = pending.target
            && pending.reading.is_none()
            && pending.due <= now
        {
            pending.reading = Some(now);
            pending.due = Timestamp::MAX;
            self.effects.push(Effect::Read(channel.clone(), target.epoch, seq));
        }
        if pending.is_empty() {
            self.pending.remove(channel);
        }
    }

    /// What was read of a channel.
    pub(super) fn read_back(
        &mut self,
        now: Timestamp,
        channel: &ChannelName,
        epoch: Epoch,
        range: Option<Range>,
        shown: &impl Shown,
    ) {
        if let Some(pending) = self.pending.get_mut(channel) {
            (pending.reading, pending.due) = (None, now);
        }
        let Some((known, seq, _)) = shown.newest(channel) else { return self.settle(channel) };
        if known != epoch && known != Epoch::ZERO {
            return self.progress(now, channel, shown);
        }
        let Some(Range { piece, newest, ending }) = range else { return self.reset(channel, shown) };
        let last = piece.messages.last().map_or(seq, |message| message.seq);
        if piece.damaged.is_some() || piece.messages.is_empty() && newest > seq {
            // What comes next cannot be read, or is no longer retained: a load tells its readers.
            return self.reset(channel, shown);
        }
        let after = piece.messages.first().map_or(seq, |message| message.seq.previous());
        let ending = if last >= newest { ending } else { Ending::Open };
        let run = OwnedRun { epoch, after, messages: piece.messages, ending };
        match shown.follow(channel, &run.as_run()) {
            Followed::Shown => {
                if let Some(pending) = self.pending.get_mut(channel) {
                    // What was announced after the read is asked for at once, unless it brought nothing.
                    pending.due = if last > seq { now } else { now.after(LATE) };
                }
                self.progress(now, channel, shown);
            }
            Followed::NotInMemory => self.settle(channel),
            Followed::Behind(_) | Followed::OtherEpoch => self.reset(channel, shown),
        }
    }

    /// A read will not be answered.
    pub(super) fn read_failed(&mut self, now: Timestamp, channel: &ChannelName) {
        if let Some(pending) = self.pending.get_mut(channel) {
            pending.reading = None;
            pending.due = now.after(LATE);
        }
    }

    /// A load is being sent.
    pub(super) fn loading(&mut self, channel: &ChannelName) {
        self.at(channel).loading = Some(Loading::default());
    }

    /// A load will not be answered.
    pub(super) fn load_failed(&mut self, channel: &ChannelName) {
        let Some(pending) = self.pending.get_mut(channel) else { return };
        pending.loading = None;
        if pending.is_empty() {
            self.pending.remove(channel);
        }
    }

    /// A load was answered, as of this count; of `None` if it is not of the history that is followed.
    pub(super) fn loaded(
        &mut self,
        now: Timestamp,
        channel: &ChannelName,
        count: Option<u64>,
        mut loaded: Option<Loaded>,
    ) -> Install {
        let Some(pending) = self.pending.get_mut(channel) else { return Install::Again };
        let Some(loading) = pending.loading.take() else { return Install::Again };
        let current = count.filter(|_| loading.doubt == Doubt::No);
        let missing = current.ok_or(IsOver).and_then(|count| loading.go_on(count, &mut loaded));
        let Ok(missing) = missing else {
            pending.loading = Some(Loading::default());
            return Install::Again;
        };
        // However much is published, a load ends: what did not come with it is read.
        if let Some(target) = missing {
            pending.want(target, Timestamp::MAX);
            pending.reading = Some(now);
            let newest = loaded.as_ref().map_or(Seq::ZERO, |loaded| loaded.newest.0);
            self.effects.push(Effect::Read(channel.clone(), target.epoch, newest));
        }
        if pending.is_empty() {
            self.pending.remove(channel);
        }
        Install::Now(loaded)
    }

    /// A reader waits for what is known to be missing.
    pub(super) fn check(&mut self, now: Timestamp, channel: &ChannelName, reader: C, shown: &impl Shown) {
        let target = self.pending.get(channel).and_then(|pending| pending.target);
        match target {
            Some(Target { epoch, seq, .. }) => self.await_shown(now, channel, epoch, seq, reader, shown),
            None => self.effects.push(Effect::Checked(reader)),
        }
    }

    /// A reader waits for a message.
    pub(super) fn await_shown(
        &mut self,
        now: Timestamp,
        channel: &ChannelName,
        epoch: Epoch,
        seq: Seq,
        reader: C,
        shown: &impl Shown,
    ) {
        let known = shown.newest(channel);
        let missing = |(known, newest, _)| (known == epoch || known == Epoch::ZERO) && newest < seq;
        if !known.is_some_and(missing) {
            return self.effects.push(Effect::Checked(reader));
        }
        let pending = self.at(channel);
        pending.want(Target { epoch, seq, ending: Ending::Open }, now.after(LATE));
        pending.waiting.push(Waiting { epoch, seq, reader, since: now });
    }

    /// Looks for what is late.
    pub(super) fn tick(&mut self, now: Timestamp, shown: &impl Shown) {
        let channels: Vec<_> = self.pending.keys().cloned().collect();
        for channel in channels {
            let pending = self.at(&channel);
            if pending.since().is_some_and(|since| now.since(since) >= PATIENCE) {
                self.reset(&channel, shown);
                continue;
            }
            if pending.reading.is_some_and(|since| now.since(since) >= READ) {
                (pending.reading, pending.due) = (None, now);
            }
            if pending.target.is_some() {
                self.progress(now, &channel, shown);
            }
        }
    }
}

#[cfg(test)]
impl<P, C> Channels<P, C> {
    /// Whether a channel is being read up to a number.
    pub(super) fn reads(&self, channel: &ChannelName, seq: Seq) -> bool {
        let wanted = |pending: &Pending<P, C>| pending.reading.and(pending.target);
        self.pending.get(channel).and_then(wanted).is_some_and(|target| target.seq >= seq)
    }
}

/// What was loaded is of an incarnation that is over.
struct IsOver;

impl Loading {
    /// Puts what was announced behind what was loaded as of this count. Returns what is missing then.
    fn go_on(self, count: u64, loaded: &mut Option<Loaded>) -> Result<Option<Target>, IsOver> {
        // What was announced of earlier changes is in what was loaded, or was forgotten since.
        let mut missing = self.beyond.filter(|(change, _)| *change > count).map(|(_, target)| target);
        for (_, run) in self.runs.into_iter().filter(|(change, _)| *change > count) {
            let target = Target::of(&run);
            if !extend(loaded, run)? && missing.is_none_or(|newest| newest.seq < target.seq) {
                missing = Some(target);
            }
        }
        let (Some(target), Some(loaded)) = (missing, loaded) else { return Ok(missing) };
        let closes = target.ending == Ending::Close && !loaded.ended;
        match loaded.epoch == target.epoch {
            true => Ok(missing.filter(|target| loaded.newest.0 < target.seq || closes)),
            false => Err(IsOver),
        }
    }
}

/// Puts what was announced during a load behind what it brought; false if there is a hole between them.
fn extend(loaded: &mut Option<Loaded>, run: OwnedRun) -> Result<bool, IsOver> {
    let newest = loaded.as_ref().map_or(Seq::ZERO, |loaded| loaded.newest.0);
    if loaded.as_ref().is_some_and(|loaded| loaded.epoch != run.epoch) {
        return Err(IsOver);
    }
    let Some(known) = newest.get().checked_sub(run.after.get()) else { return Ok(false) };
    let at_first = run.messages.first().map(|message| message.at);
    let loaded = loaded.get_or_insert_with(|| Loaded {
        life: None,
        epoch: run.epoch,
        oldest: (Seq::ZERO.next(), at_first.unwrap_or(Timestamp::ZERO)),
        newest: (Seq::ZERO, Timestamp::ZERO),
        ended: false,
        tail: Vec::new(),
        damaged: None,
    });
    if loaded.damaged.is_some() {
        return Ok(false);
    }
    let new = run.messages.into_iter().skip(usize::try_from(known).unwrap_or(usize::MAX));
    for message in new {
        if loaded.tail.is_empty() && loaded.oldest.0 > loaded.newest.0 {
            loaded.oldest = (message.seq, message.at);
        }
        loaded.newest = (message.seq, message.at);
        loaded.tail.push(message);
    }
    loaded.ended |= run.ending == Ending::Close;
    Ok(true)
}
