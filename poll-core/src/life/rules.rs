//! The rules of a channel's life: what may be done with it, and what changes.
//!
//! Pure functions of the facts, the same above every journal. They are asked in the order in which publishes are handed
//! over, and what they decide is kept with the publish it belongs to.

use std::sync::{Arc, LazyLock};

use super::ancestry::Ancestry;
use super::bounds::Bounds;
use super::change::{Change, Content};
use super::content_type::ContentType;
use super::error::AppendError;
use super::producer::{Known, Producer, ProducerStamp};
use super::record::{Life, Lifetime, Phase};
use super::request::{Condition, Create};
use crate::types::{Cursor, Ending, Timestamp};

/// What is known of a channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) life: &'a Life,
    /// Whether there is a channel at all.
    pub(crate) born: bool,
    pub(crate) ending: Ending,
    /// The position after its newest message.
    pub(crate) end: Cursor,
    /// When it was last used.
    pub(crate) used: Timestamp,
}

/// What the log says of a channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// Whether it has messages, or has ended.
    pub(crate) has_log: bool,
    pub(crate) ending: Ending,
    pub(crate) end: Cursor,
    pub(crate) newest_at: Timestamp,
}

/// Whether there is a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existence {
    Absent,
    Live,
    /// Deleted, but for its forks.
    Hidden,
    /// Its time is over, and it has to be removed.
    Over,
}

/// What to do with an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ruling {
    Accept(Change),
    /// It was kept before; this is the producer's last.
    Duplicate(u64),
    /// What is pending decides.
    Wait,
    /// The producers have to be loaded first.
    NeedsProducers,
    Refuse(AppendError),
}

/// How a channel ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Remove,
    Hide,
}

impl Facts<'_> {
    /// Of a channel of which nothing had to be remembered.
    pub(crate) fn plain(Seen { has_log, ending, end, newest_at }: Seen) -> Facts<'static> {
        static PLAIN: LazyLock<Life> = LazyLock::new(Life::default);
        Facts { life: &PLAIN, born: has_log, ending, end, used: newest_at }
    }

    pub(crate) fn existence(&self, now: Timestamp) -> Existence {
        // A use in the future was read from a clock that has gone back since, and counts as now.
        let over = || self.life.ends_at(self.used.min(now)).is_some_and(|end| end <= now);
        match self.life.phase {
            _ if !self.born => Existence::Absent,
            Phase::Hidden => Existence::Hidden,
            Phase::Live if over() => Existence::Over,
            Phase::Live => Existence::Live,
        }
    }

    /// An append under a condition, by a producer of which this is known if one is named.
    pub(crate) fn append(
        &self,
        now: Timestamp,
        condition: &Condition,
        ending: Ending,
        known: impl FnOnce(&ProducerStamp) -> Known,
    ) -> Ruling {
        match self.existence(now) {
            Existence::Live => {}
            Existence::Hidden => return Ruling::Refuse(AppendError::Hidden),
            Existence::Absent | Existence::Over => return Ruling::Refuse(AppendError::NotFound),
        }
        let stamp = condition.producer.as_ref();
        if self.ending == Ending::Close {
            return match (stamp, &self.life.closer) {
                (Some(stamp), Some(closer)) if stamp == closer => Ruling::Duplicate(stamp.seq),
                _ => Ruling::Refuse(AppendError::Closed { end: self.end }),
            };
        }
        let claim = stamp.map(|stamp| claim(stamp, known(stamp)));
        // A repeated append gets its answer before anything else is looked at.
        match claim {
            Some(Claim::Duplicate(last)) => return Ruling::Duplicate(last),
            Some(Claim::Wait) => return Ruling::Wait,
            Some(Claim::NotLoaded) => return Ruling::NeedsProducers,
            None | Some(Claim::Next | Claim::Refused(_)) => {}
        }
        if condition.content_type.as_ref().is_some_and(|given| !self.is_of(given)) {
            return Ruling::Refuse(AppendError::OtherType);
        }
        if let Some(Claim::Refused(error)) = claim {
            return Ruling::Refuse(error);
        }
        if condition.order.is_some() && condition.order <= self.life.order {
            return Ruling::Refuse(AppendError::Order);
        }
        Ruling::Accept(self.appended(now, condition, ending))
    }

    /// What an append that is accepted changes.
    fn appended(&self, now: Timestamp, condition: &Condition, ending: Ending) -> Change {
        let closer = condition.producer.as_ref().filter(|_| ending == Ending::Close);
        let life = (condition.order.is_some() || closer.is_some()).then(|| {
            let order = condition.order.clone().or_else(|| self.life.order.clone());
            Arc::new(Life { order, closer: closer.cloned(), touched: now, ..self.life.clone() })
        });
        let producer = condition
            .producer
            .as_ref()
            .map(|stamp| (stamp.id.clone(), Producer { epoch: stamp.epoch, last: stamp.seq, used: now }));
        Change { life, producer, ..Change::default() }
    }

    /// Whether the channel holds what `given` says.
    fn is_of(&self, given: &ContentType) -> bool {
        match &self.life.content_type {
            Some(own) => own.is_same_media(given),
            None => given.is_json(),
        }
    }

    /// Whether the channel is as if `create` had made it. What a fork inherits need not be said again.
    pub(crate) fn is_same(&self, create: &Create) -> bool {
        let is_fork = create.origin.is_some();
        let content_type = match &create.content_type {
            Some(given) => self.is_of(given),
            None => is_fork || self.life.is_json(),
        };
        let lifetime = match create.lifetime {
            Some(given) => given == self.life.lifetime,
            None => is_fork || self.life.lifetime == Lifetime::Endless,
        };
        let origin = match (&create.origin, &self.life.origin) {
            (None, None) => true,
            (Some(given), Some(own)) => {
                given.source == own.source
                    && given.after.is_none_or(|after| after == own.after)
                    && given.further == own.further
            }
            _ => false,
        };
        content_type && lifetime && origin && create.ending == self.ending
    }

    /// The channel ends, and has forks or not.
    pub(crate) fn end(&self, end: End) -> Change {
        match end {
            End::Remove => Change { content: Content::Removed, ..self.renewed(self.life.clone()) },
            End::Hide => self.renewed(Life { phase: Phase::Hidden, ..self.life.clone() }),
        }
    }

    pub(crate) fn configure(&self, bounds: Bounds) -> Change {
        self.renewed(Life { bounds, ..self.life.clone() })
    }

    /// The last use is kept, so that it is known after a restart.
    pub(crate) fn touch(&self) -> Change {
        self.renewed(Life { touched: self.used, ..self.life.clone() })
    }

    /// All messages go.
    pub(crate) fn purge(&self) -> Change {
        // What is inherited goes as well, and does not come back.
        let cut_off = self.life.ancestry.cut().is_some();
        let life = cut_off.then(|| Arc::new(Life { ancestry: Ancestry::default(), ..self.life.clone() }));
        Change { life, content: Content::Purged, ..Change::default() }
    }

    fn renewed(&self, life: Life) -> Change {
        Change { life: Some(Arc::new(life)), ..Change::default() }
    }
}

/// What a producer's append is.
enum Claim {
    Next,
    Duplicate(u64),
    Wait,
    NotLoaded,
    Refused(AppendError),
}

fn claim(stamp: &ProducerStamp, known: Known) -> Claim {
    match known {
        Known::NotLoaded => Claim::NotLoaded,
        Known::Unknown => settled(stamp, None),
        Known::Kept(producer) => settled(stamp, Some(producer)),
        Known::Pending(next, kept) => match settled(stamp, Some(next)) {
            Claim::Next => Claim::Next,
            _ => match kept.map(|kept| settled(stamp, Some(kept))) {
                Some(Claim::Duplicate(last)) => Claim::Duplicate(last),
                _ => Claim::Wait,
            },
        },
    }
}

fn settled(stamp: &ProducerStamp, known: Option<Producer>) -> Claim {
    let gap = |expected| Claim::Refused(AppendError::Gap { expected, received: stamp.seq });
    let Some(Producer { epoch, last, .. }) = known else {
        return if stamp.seq == 0 { Claim::Next } else { gap(0) };
    };
    if stamp.epoch < epoch {
        return Claim::Refused(AppendError::Stale { epoch });
    }
    if stamp.epoch > epoch {
        return if stamp.seq == 0 { Claim::Next } else { Claim::Refused(AppendError::NotFromZero) };
    }
    match stamp.seq {
        seq if seq <= last => Claim::Duplicate(last),
        seq if seq == last + 1 => Claim::Next,
        _ => gap(last + 1),
    }
}
