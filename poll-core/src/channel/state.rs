//! The state of one channel, under its lock.
//!
//! What changes it is in its siblings: `publishing` (a publish comes and goes), `bounds` (what is too old or too much
//! is dropped), `seal` (time is promised to readers).

use super::batch::Tails;
use super::keys::Keys;
use super::log::Log;
use super::minting::Minting;
use super::pending::PendingTimes;
use super::phase::ChannelPhase;
use super::receipts::Receipts;
use crate::life::{Ledger, Life};
use crate::memory::Charge;
use crate::types::{Epoch, Loaded, Seq, Timestamp};

pub(crate) struct ChannelState {
    pub(crate) phase: ChannelPhase,
    /// The newest number and time given out; ahead of the log while publishes are pending. Where they are given out
    /// elsewhere: of the newest message, or the time up to which the journal sealed the channel.
    pub(super) minted: Seq,
    pub(super) minted_at: Timestamp,
    /// When time was last sealed ahead of the clock; see `seal.rs`.
    pub(super) led: Timestamp,
    /// The journal has everything up to here, so memory may drop it. Behind the log only where publishes are shown
    /// before they are kept.
    pub(super) kept: Seq,
    /// Publishes that were shown and are not kept yet.
    pub(super) unkept: usize,
    /// Publishes that the journal has not answered.
    pub(super) pending: usize,
    /// How many publishes the journal was ever handed.
    pub(super) handed: u64,
    /// The times of pending messages, which limit what can be sealed.
    pub(crate) pending_times: PendingTimes,
    /// When it was last published to or read.
    pub(crate) used: Timestamp,
    pub(crate) log: Log,
    pub(crate) tails: Tails,
    pub(crate) keys: Keys,
    /// Few channels have any.
    pub(crate) receipts: Option<Box<Receipts>>,
    /// For the times of evicted messages.
    pub(super) times: Option<Charge>,
    /// What is remembered of the channel beside its messages; few have any of it.
    pub(crate) ledger: Option<Box<Ledger>>,
    /// Whether it was loaded, so that the journal may know more.
    pub(super) recalled: bool,
}

impl ChannelState {
    /// The state of a channel without messages, in this incarnation.
    pub(super) fn new(epoch: Epoch) -> Self {
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
            log: Log::new(epoch),
            tails: Tails::default(),
            keys: Keys::default(),
            receipts: None,
            times: None,
            ledger: None,
            recalled: false,
        }
    }

    /// The state of a channel that the journal kept.
    pub(super) fn resumed(loaded: Loaded, life: Option<Life>, minting: Minting) -> Self {
        let (newest, newest_at) = loaded.newest;
        let mut state = Self::new(loaded.epoch);
        let inherits = life.as_ref().and_then(|life| life.ancestry.cut());
        // Where nothing of its own was evicted, a fork reaches back to what it inherits.
        let whole = inherits.is_some_and(|cut| loaded.oldest.0 == cut.last.next());
        let oldest = if whole { (Seq::new(1), Timestamp::ZERO) } else { loaded.oldest };
        state.log = Log::resumed(loaded.epoch, oldest, loaded.newest);
        state.ledger = life.map(|life| Box::new(Ledger::recalled(life)));
        state.recalled = true;
        loaded.tail.into_iter().rev().for_each(|message| state.log.recall(message));
        state.keys = Keys::not_loaded();
        if let Some((first, last)) = loaded.damaged {
            state.log.note_damaged(first, last);
        }
        (state.minted, state.kept) = (newest, newest);
        state.minted_at = match minting {
            // Seals are not kept, so the last millisecond may have been sealed.
            Minting::Here => Timestamp::end_of_millis(newest_at.as_millis()),
            Minting::Elsewhere => newest_at,
        };
        if loaded.ended {
            state.log.end_now();
            state.phase = ChannelPhase::Closing;
        }
        state
    }

    /// The log as readers see it; `None` where there is no channel, as before its first message.
    pub(crate) fn visible_log(&self) -> Option<&Log> {
        let has_log = self.log.newest() > Seq::ZERO || self.log.is_ended();
        let visible = self.ledger.as_ref().map_or(has_log, |ledger| ledger.is_visible(has_log));
        visible.then_some(&self.log)
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.log.epoch()
    }

    /// Whether the channel can be forgotten without loss: nothing is retained, pending or known.
    pub(crate) fn is_idle(&self) -> bool {
        self.log.is_empty()
            && self.pending == 0
            && self.keys.is_empty()
            && self.ledger.as_ref().is_none_or(|ledger| ledger.is_forgettable())
    }

    /// Whether the journal has everything, so that the channel can be loaded again.
    pub(crate) fn is_kept(&self) -> bool {
        self.pending == 0 && self.unkept == 0 && self.ledger.as_ref().is_none_or(|ledger| ledger.is_free())
    }

    /// When the channel was last used. A later time than `now` was read from a clock that has gone back since, and
    /// counts as now: otherwise a clock that jumped ahead would keep the channel in use for as long.
    pub(crate) fn unused_since(&mut self, now: Timestamp) -> Timestamp {
        self.used = self.used.min(now);
        self.used
    }

    /// The newest number given out.
    pub(crate) fn minted(&self) -> Seq {
        self.minted
    }

    /// Whether the next publish is the channel's first.
    pub(crate) fn is_new(&self) -> bool {
        let born = self.ledger.as_ref().is_some_and(|ledger| ledger.is_born());
        self.minted == Seq::ZERO && self.pending == 0 && !self.log.is_ended() && !born
    }
}
