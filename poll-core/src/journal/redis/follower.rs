//! How what is written becomes visible on this node: in order, once, and without a hole.
//!
//! Pure: no connection and no clock. What comes in is what arrived on the connections; what goes out ([`Effect`]) is what to
//! send next, and whom to answer. Messages go to the store at once ([`Shown`]).
//!
//! Announcements of a partition are counted. While the count has no holes, all that is in memory is current. After a
//! hole, a new subscription, or if Redis is ahead of what was heard for a tenth of a second, the partition is
//! **resynchronised**: its state is asked for, its channels in memory are compared, and those that are behind are read.
//!
//! Nothing is believed that contradicts what was seen: what another generation or another reign says counts once the
//! script has compared it with what this node knows (see [`generation`](super::generation)).

mod channels;
mod effect;
mod progress;
#[cfg(test)]
mod tests;

use crate::journal::redis::log::announcement::{Announcement, Change, Content, Kept};
use crate::journal::redis::log::generation::Mark;
use crate::journal::redis::log::partition::Partition;
use crate::journal::redis::log::script::{Call, HasLife, Newest, Place, Range, Status, Verdict};
use crate::types::{ChannelName, Ending, Epoch, Loaded, Seq, Timestamp};
use channels::{Channels, Target};
pub(super) use effect::{Effect, Install, OwnedRun, Shown};
use progress::{Progress, Resync};

/// What was known of a partition when a command was sent to it; to be given back with the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) partition: Partition,
    pub(super) mark: Mark,
    /// Which subscription was in force.
    subscription: u32,
}

/// What a verdict means for the call that got it.
#[derive(Debug)]
pub(super) enum Judged<T> {
    Done(Mark, T),
    /// It was not executed. To be sent again once [`Follower::publishing`] says so.
    Again,
}

/// Follows all partitions for one node.
pub(super) struct Follower<P, C> {
    partitions: Vec<Progress<C>>,
    channels: Channels<P, C>,
}

/// How a mark relates to what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It belongs to the history that is followed.
    Current,
    /// It is of an earlier generation.
    Stale,
    /// It is of another reign, which has not been compared yet.
    Unsettled,
}

/// Where a mark comes from.
#[derive(Debug, Clone, Copy)]
enum Source {
    Announcement,
    /// The reply to a call that said what it knew, and was executed.
    Reply(Asked),
}

impl<P, C> Follower<P, C> {
    pub(super) fn new() -> Self {
        let partitions = Partition::all().map(|_| Progress::default()).collect();
        Self { partitions, channels: Channels::default() }
    }

    /// What is known of a partition. To be called when a command is sent.
    pub(super) fn ask(&self, partition: Partition) -> Asked {
        let progress = &self.partitions[partition.index()];
        Asked { partition, mark: progress.to_verify(), subscription: progress.subscription }
    }

    /// Whether publishes may be sent to a partition: not before it was asked, and not while it is being renewed.
    pub(super) fn publishing(&self, partition: Partition) -> bool {
        self.partitions[partition.index()].is_settled()
    }

    /// What there is to do since the last time.
    pub(super) fn effects(&mut self) -> Vec<Effect<P, C>> {
        std::mem::take(&mut self.channels.effects)
    }

    /// Whether [`tick`](Self::tick) has anything to look at.
    pub(super) fn is_pending(&self) -> bool {
        !self.channels.is_empty() || self.partitions.iter().any(Progress::is_pending)
    }

    /// The subscription to these partitions is confirmed, for the first time or anew.
    pub(super) fn subscribed(&mut self, now: Timestamp, partitions: &[Partition]) {
        for &partition in partitions {
            self.desync(now, partition);
            self.at(partition).live = None;
        }
    }

    /// Something was announced.
    pub(super) fn announced(
        &mut self,
        now: Timestamp,
        partition: Partition,
        announcement: Announcement,
        shown: &impl Shown,
    ) {
        let Announcement { mark, change } = announcement;
        match self.observe(now, partition, mark, Source::Announcement, shown) {
            Standing::Current => {}
            Standing::Stale => return,
            Standing::Unsettled => {
                let progress = self.at(partition);
                match &mut progress.resync {
                    Resync::Asked { missed, .. } => *missed = true,
                    _ => self.desync(now, partition),
                }
                return;
            }
        }
        if self.at(partition).live.is_some_and(|live| mark.count > live + 1) {
            self.desync(now, partition);
        }
        self.at(partition).live = Some(mark.count);
        self.apply(now, mark, change, shown);
        let progress = self.at(partition);
        if progress.resync == Resync::Idle {
            match progress.synced {
                Some(synced) if mark.count <= synced => {}
                Some(synced) if mark.count == synced + 1 => self.advance(now, partition, mark.count, shown),
                _ => {
                    self.desync(now, partition);
                    self.at(partition).live = Some(mark.count);
                }
            }
        }
    }

    fn apply(&mut self, now: Timestamp, mark: Mark, change: Change, shown: &impl Shown) {
        if let Some(channel) = change.channel() {
            shown.announced(channel);
        }
        match change {
            Change::Renewed => {}
            Change::Forgotten(channel, birth) => {
                self.channels.forgotten(&channel, mark.generation.epoch(birth), shown);
            }
            Change::Lived(channel, _) => self.channels.reset(&channel, shown),
            Change::Kept(channel, kept, Content::Messages(messages)) => {
                let Kept { birth, before, ending, .. } = kept;
                let run = OwnedRun { epoch: mark.generation.epoch(birth), after: before, messages, ending };
                self.channels.show(now, &channel, (mark.count, &run), shown);
            }
            Change::Kept(channel, kept, Content::ToBeRead) => {
                let epoch = mark.generation.epoch(kept.birth);
                let target = Target { epoch, seq: kept.newest(), ending: kept.ending };
                self.channels.behind(now, &channel, (mark.count, target), shown);
            }
        }
    }

    /// A call got its verdict.
    pub(super) fn judged<T>(
        &mut self,
        now: Timestamp,
        asked: Asked,
        verdict: Verdict<T>,
        shown: &impl Shown,
    ) -> Judged<T> {
        match verdict {
            Verdict::Done(mark, reply) => {
                let standing = self.observe(now, asked.partition, mark, Source::Reply(asked), shown);
                if standing == Standing::Current {
                    self.told(now, asked.partition, mark.count);
                }
                return Judged::Done(mark, reply);
            }
            Verdict::Lost(found) => self.lost(now, asked, found),
            Verdict::Renewed(mark) => {
                self.observe(now, asked.partition, mark, Source::Reply(asked), shown);
            }
        }
        Judged::Again
    }

    /// A partition said how far it is.
    pub(super) fn stated(
        &mut self,
        now: Timestamp,
        asked: Asked,
        verdict: Verdict<Status>,
        shown: &impl Shown,
    ) -> Judged<Status> {
        let partition = asked.partition;
        let judged = self.judged(now, asked, verdict, shown);
        self.at(partition).asking = None;
        let Judged::Done(mark, _) = &judged else {
            if matches!(self.at(partition).resync, Resync::Asked { .. }) {
                self.question(now, partition);
            }
            return judged;
        };
        if self.standing(partition, *mark) == Standing::Current {
            self.at(partition).settle();
        }
        let Resync::Asked { missed, .. } = self.at(partition).resync else { return judged };
        let progress = self.at(partition);
        let (known, verified) = (progress.known, progress.is_verified());
        let same_history = (known.generation, known.reign) == (mark.generation, mark.reign);
        if progress.subscription != asked.subscription || !verified || !same_history {
            // What is known has changed meanwhile; it is compared once more.
            self.question(now, partition);
        } else if missed {
            self.desync(now, partition);
        } else {
            self.resolve(now, partition, mark.count, shown);
        }
        judged
    }

    /// A partition was to get a new generation.
    pub(super) fn renewed(
        &mut self,
        now: Timestamp,
        partition: Partition,
        verdict: &Verdict<()>,
        shown: &impl Shown,
    ) {
        let (Verdict::Done(mark, ()) | Verdict::Renewed(mark) | Verdict::Lost(mark)) = verdict;
        if mark.generation > self.at(partition).known.generation {
            self.adopt(now, partition, *mark, shown);
        } else if !self.at(partition).is_settled() {
            // What is there is still not what was seen.
            self.at(partition).doubt();
            self.question(now, partition);
        }
    }

    /// Whether a partition has a later generation than the reply with this mark: what it says may be lost.
    pub(super) fn is_replaced(&self, partition: Partition, mark: Mark) -> bool {
        self.standing(partition, mark) == Standing::Stale
    }

    /// An own publish was kept. Answers its publisher once it is visible here, if the channel is in memory.
    pub(super) fn published(
        &mut self,
        now: Timestamp,
        mark: Mark,
        channel: &ChannelName,
        run: OwnedRun,
        publisher: P,
        shown: &impl Shown,
    ) {
        match self.standing(Partition::of(channel), mark) {
            Standing::Stale => self.channels.effects.push(Effect::Doubt(publisher)),
            Standing::Current => self.channels.own(now, channel, (mark.count, run), publisher, shown),
            // If it is part of the history, the resynchronisation shows it.
            Standing::Unsettled => {
                let (after, messages) = (run.newest(), Vec::new());
                let run = OwnedRun { after, messages, ending: Ending::Open, ..run };
                self.channels.park(now, channel, run, publisher);
            }
        }
    }

    /// An own publish changed a channel's life. Answers its publisher: what is read here from now on is loaded.
    pub(super) fn changed(&mut self, channel: &ChannelName, publisher: P, shown: &impl Shown) {
        self.channels.reset(channel, shown);
        self.channels.effects.push(Effect::Answer(publisher));
    }

    /// A load is being sent.
    pub(super) fn loading(&mut self, channel: &ChannelName) {
        self.channels.loading(channel);
    }

    /// A load will not be answered.
    pub(super) fn load_failed(&mut self, channel: &ChannelName) {
        self.channels.load_failed(channel);
    }

    /// A channel was loaded, as of a mark.
    pub(super) fn loaded(
        &mut self,
        now: Timestamp,
        mark: Mark,
        channel: &ChannelName,
        loaded: Option<Loaded>,
        shown: &impl Shown,
    ) -> Install {
        let partition = Partition::of(channel);
        let current = self.standing(partition, mark) == Standing::Current;
        let install = self.channels.loaded(now, channel, current.then_some(mark.count), loaded);
        if matches!(install, Install::Now(_)) {
            self.at(partition).installed(channel, shown);
        }
        install
    }

    /// An [`Effect::Read`] was answered.
    pub(super) fn read_back(
        &mut self,
        now: Timestamp,
        mark: Mark,
        channel: &ChannelName,
        epoch: Epoch,
        range: Option<Range>,
        shown: &impl Shown,
    ) {
        match self.standing(Partition::of(channel), mark) {
            Standing::Current => self.channels.read_back(now, channel, epoch, range, shown),
            Standing::Stale | Standing::Unsettled => self.channels.read_failed(now, channel),
        }
    }

    /// An [`Effect::Read`] will not be answered.
    pub(super) fn read_failed(&mut self, now: Timestamp, channel: &ChannelName) {
        self.channels.read_failed(now, channel);
    }

    /// An [`Effect::Compare`] was answered.
    pub(super) fn compared(
        &mut self,
        now: Timestamp,
        asked: Asked,
        compared: &Newest,
        verdict: Verdict<<Newest as Call>::Reply>,
        shown: &impl Shown,
    ) {
        let partition = asked.partition;
        let Judged::Done(mark, found) = self.judged(now, asked, verdict, shown) else { return };
        if self.standing(partition, mark) != Standing::Current
            || asked.subscription != self.at(partition).subscription
        {
            return;
        }
        for (channel, found) in compared.channels.iter().zip(found) {
            match (shown.newest(channel), found) {
                (None, _) | (Some((Epoch::ZERO, ..)), None) => {}
                // Its life may have changed meanwhile.
                (Some(_), Some(Place { life: HasLife::Yes, .. })) => self.channels.reset(channel, shown),
                (Some((epoch, seq, ending)), Some(Place { epoch: there, newest, ending: last, .. })) => {
                    if epoch != there && epoch != Epoch::ZERO {
                        self.channels.reset(channel, shown);
                    } else if newest > seq || last != ending {
                        let target = Target { epoch: there, seq: newest, ending: last };
                        self.channels.behind(now, channel, (mark.count, target), shown);
                    }
                }
                (Some(_), None) => self.channels.reset(channel, shown),
            }
        }
        let Resync::Comparing { base, left, .. } = &mut self.at(partition).resync else { return };
        *left -= 1;
        if *left == 0 {
            let base = *base;
            self.finish(now, partition, base, shown);
        }
    }

    /// A reader waits until everything is visible that there was when the partition said this mark, which it was asked
    /// for after the reader came. To be called after [`stated`](Self::stated).
    pub(super) fn check(
        &mut self,
        now: Timestamp,
        mark: Mark,
        channel: &ChannelName,
        reader: C,
        shown: &impl Shown,
    ) {
        let partition = Partition::of(channel);
        let standing = self.standing(partition, mark);
        let progress = self.at(partition);
        let current = match standing {
            Standing::Current => progress.synced.is_some_and(|synced| synced >= mark.count),
            // All of it was dropped from memory since.
            Standing::Stale => true,
            Standing::Unsettled => false,
        };
        if current {
            self.channels.check(now, channel, reader, shown);
        } else {
            progress.wait(now, mark.count, channel.clone(), reader);
            self.told(now, partition, mark.count);
        }
    }

    /// A reader waits until a message is visible.
    pub(super) fn await_shown(
        &mut self,
        now: Timestamp,
        channel: &ChannelName,
        (epoch, seq): (Epoch, Seq),
        reader: C,
        shown: &impl Shown,
    ) {
        self.channels.await_shown(now, channel, epoch, seq, reader, shown);
    }

    /// Looks for what is late. To be called about every 25 ms while [`is_pending`](Self::is_pending).
    pub(super) fn tick(&mut self, now: Timestamp, shown: &impl Shown) {
        self.channels.tick(now, shown);
        for partition in Partition::all() {
            let progress = self.at(partition);
            for channel in progress.overdue(now) {
                self.channels.reset(&channel.0, shown);
                self.channels.effects.push(Effect::Checked(channel.1));
            }
            let progress = self.at(partition);
            if progress.gave_up_renewing(now) {
                self.question(now, partition);
            } else if progress.is_late(now) {
                self.desync(now, partition);
            }
        }
    }
}

/// What concerns a partition.
impl<P, C> Follower<P, C> {
    fn at(&mut self, partition: Partition) -> &mut Progress<C> {
        &mut self.partitions[partition.index()]
    }

    fn standing(&self, partition: Partition, mark: Mark) -> Standing {
        let known = self.partitions[partition.index()].known;
        match mark.generation.cmp(&known.generation) {
            std::cmp::Ordering::Less => Standing::Stale,
            std::cmp::Ordering::Equal if mark.reign == known.reign => Standing::Current,
            _ => Standing::Unsettled,
        }
    }

    /// Takes notice of a mark.
    fn observe(
        &mut self,
        now: Timestamp,
        partition: Partition,
        mark: Mark,
        source: Source,
        shown: &impl Shown,
    ) -> Standing {
        let known = self.at(partition).known;
        if mark.generation > known.generation {
            self.adopt(now, partition, mark, shown);
            return Standing::Current;
        }
        if let Source::Reply(asked) = source
            && mark.generation == known.generation
        {
            self.at(partition).replied(asked.mark, mark);
        }
        let standing = self.standing(partition, mark);
        match standing {
            Standing::Current => {
                let progress = self.at(partition);
                progress.known.count = progress.known.count.max(mark.count);
                if !progress.is_verified() {
                    self.question(now, partition);
                }
            }
            Standing::Unsettled => self.question(now, partition),
            // Redis may have lost the later one.
            Standing::Stale => {
                if let Source::Announcement = source {
                    self.question(now, partition);
                }
            }
        }
        standing
    }

    /// Another generation begins: nothing that is in memory counts any more.
    fn adopt(&mut self, now: Timestamp, partition: Partition, mark: Mark, shown: &impl Shown) {
        self.channels.doubt_awaited(partition);
        let progress = self.at(partition);
        let (channels, readers) = progress.adopt(mark);
        let asks = progress.resync != Resync::Idle;
        for channel in channels.into_keys() {
            self.channels.reset(&channel, shown);
        }
        // Those that are not in memory, but on their way into it.
        self.channels.reset_partition(partition, shown);
        self.channels.effects.extend(readers.map(Effect::Checked));
        shown.missed();
        if asks {
            self.desync(now, partition);
        }
    }

    /// The partition is not what was seen of it.
    fn lost(&mut self, now: Timestamp, asked: Asked, found: Mark) {
        let progress = self.at(asked.partition);
        if progress.known.generation != asked.mark.generation || !progress.begin_renewing(now) {
            return;
        }
        let after = progress.known.generation.max(found.generation);
        self.channels.effects.push(Effect::Renew(asked.partition, after, found));
    }

    /// Asks a partition for its state, unless that is under way.
    fn question(&mut self, now: Timestamp, partition: Partition) {
        if self.at(partition).begin_asking(now) {
            self.channels.effects.push(Effect::Ask(partition));
        }
    }

    /// What is in memory may be behind.
    fn desync(&mut self, now: Timestamp, partition: Partition) {
        self.at(partition).desync(now);
        self.channels.doubt_loads(partition);
        self.question(now, partition);
    }

    /// The partition is at `count`, and what is announced after that will be heard.
    fn resolve(&mut self, now: Timestamp, partition: Partition, count: u64, shown: &impl Shown) {
        let progress = self.at(partition);
        let channels = match progress.synced {
            Some(synced) if synced >= count => Vec::new(),
            _ => {
                shown.missed();
                progress.in_memory()
            }
        };
        if channels.is_empty() {
            return self.finish(now, partition, count, shown);
        }
        let chunks = channels.chunks(Newest::MOST);
        progress.resync = Resync::Comparing { base: count, left: chunks.len(), since: now };
        let compare = |channels: &[_]| Effect::Compare(Newest { partition, channels: channels.to_vec() });
        self.channels.effects.extend(chunks.map(compare));
    }

    /// Everything in memory has been compared with how it was at `base`.
    fn finish(&mut self, now: Timestamp, partition: Partition, base: u64, shown: &impl Shown) {
        let progress = self.at(partition);
        progress.resync = Resync::Idle;
        let count = base.max(progress.live.unwrap_or_default()).max(progress.synced.unwrap_or_default());
        self.advance(now, partition, count, shown);
    }

    /// Everything up to `count` is visible, or is known to be missing and being read.
    fn advance(&mut self, now: Timestamp, partition: Partition, count: u64, shown: &impl Shown) {
        for (channel, reader) in self.at(partition).advance(count) {
            self.channels.check(now, &channel, reader, shown);
        }
    }

    /// Redis is at `count`.
    fn told(&mut self, now: Timestamp, partition: Partition, count: u64) {
        self.at(partition).told(now, count);
    }
}

#[cfg(test)]
impl<P: std::fmt::Debug, C: std::fmt::Debug> Follower<P, C> {
    /// Whether a channel is being read up to a number.
    fn reads(&self, channel: &ChannelName, seq: Seq) -> bool {
        self.channels.reads(channel, seq)
    }

    /// What is pending.
    fn describe(&self) -> String {
        let pending = self.partitions.iter().filter(|progress| progress.is_pending());
        format!("{:?} {:?}", pending.collect::<Vec<_>>(), self.channels)
    }
}
