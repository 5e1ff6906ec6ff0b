//! What the store knows of one channel, behind the channel's lock.
//!
//! What happens to it is told by its siblings: `publishing` (a publish comes and goes), `bounds` (what is too much or
//! too old goes), `seal` (time is promised to readers).

use super::batch::Tails;
use super::keys::Keys;
use super::log::Log;
use super::pending::PendingTimes;
use super::receipts::Receipts;
use crate::memory::Charge;
use crate::types::{Epoch, Loaded, Seq, Timestamp};

pub(crate) struct ChannelState {
    pub(crate) phase: ChannelPhase,
    /// The newest number and time given out; ahead of the log while the journal has publishes.
    pub(super) minted: Seq,
    pub(super) minted_at: Timestamp,
    /// When time was last sealed ahead of the clock; see `seal.rs`.
    pub(super) led: Timestamp,
    /// Up to here the journal has everything, so memory may let go of it. Behind the log only where publishes
    /// are shown before they are kept.
    pub(super) kept: Seq,
    /// Publishes that were shown and are not kept yet.
    pub(super) unkept: usize,
    /// Publishes that the journal was handed and has not answered.
    pub(super) pending: usize,
    /// Publishes that the journal was ever handed.
    pub(super) handed: u64,
    /// The times of those that are pending, which limit what can be sealed.
    pub(crate) pending_times: PendingTimes,
    /// When somebody last published or read.
    pub(crate) used: Timestamp,
    pub(crate) log: Log,
    pub(crate) tails: Tails,
    pub(crate) keys: Keys,
    /// Few channels have any.
    pub(crate) receipts: Option<Box<Receipts>>,
    /// For the times that evicted messages left behind.
    pub(super) times: Option<Charge>,
}

/// Whether a channel takes publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChannelPhase {
    Open,
    /// A publish that ends the channel is on its way, or has arrived.
    Closing,
    /// The journal failed a publish, or does not know what became of it. Numbers behind it may be void, so nothing is
    /// handed over until all publishes have come back.
    Failing,
    /// The channel was taken out of the directory; whoever still holds it looks it up again.
    Forgotten,
}

impl ChannelState {
    /// Of a channel without messages, in a new life.
    pub(super) fn new() -> Self {
        Self {
            phase: ChannelPhase::Open,
            minted: Seq::ZERO,
            minted_at: Timestamp::ZERO,
            led: Timestamp::ZERO,
            kept: Seq::ZERO,
            unkept: 0,
            pending: 0,
            handed: 0,
            pending_times: PendingTimes::default(),
            used: Timestamp::ZERO,
            log: Log::new(Epoch::new(rand::random::<u64>().max(1))),
            tails: Tails::default(),
            keys: Keys::default(),
            receipts: None,
            times: None,
        }
    }

    /// Of a channel that the journal kept.
    pub(super) fn resumed(loaded: Loaded) -> Self {
        let (newest, newest_at) = loaded.newest;
        let mut state = Self::new();
        state.log = Log::resumed(loaded.epoch, loaded.oldest, loaded.newest);
        loaded.tail.into_iter().rev().for_each(|message| state.log.recall(message));
        state.keys = Keys::not_loaded();
        if let Some((first, last)) = loaded.damaged {
            state.log.note_damaged(first, last);
        }
        (state.minted, state.kept) = (newest, newest);
        // A seal is not kept, so the last millisecond may have been sealed.
        state.minted_at = Timestamp::end_of_millis(newest_at.as_millis());
        if loaded.ended {
            state.log.end_now();
            state.phase = ChannelPhase::Closing;
        }
        state
    }

    /// The log as readers may know it: a channel is born with its first message.
    pub(crate) fn born(&self) -> Option<&Log> {
        (self.log.newest() > Seq::ZERO || self.log.is_ended()).then_some(&self.log)
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.log.epoch()
    }

    /// Whether forgetting the channel would take nothing from anybody: nothing retained, on its way or known.
    pub(crate) fn is_idle(&self) -> bool {
        self.log.is_empty() && self.pending == 0 && self.keys.is_empty()
    }

    /// Whether the journal has all there is to know, so that the channel can be loaded again.
    pub(crate) fn is_kept(&self) -> bool {
        self.pending == 0 && self.unkept == 0
    }

    /// Since when nobody has used the channel. A use later than `now` was by a clock that has gone back since: it counts
    /// as one of now, or a clock that leapt ahead would keep the channel in use for as long.
    pub(crate) fn unused_since(&mut self, now: Timestamp) -> Timestamp {
        self.used = self.used.min(now);
        self.used
    }

    /// The newest number given out.
    pub(crate) fn minted(&self) -> Seq {
        self.minted
    }

    /// Whether the next publish is the channel's first.
    pub(crate) fn is_unborn(&self) -> bool {
        self.minted == Seq::ZERO && self.pending == 0 && self.born().is_none()
    }
}
