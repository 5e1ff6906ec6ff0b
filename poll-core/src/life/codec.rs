//! A life as journals and backups keep it: a JSON object that leaves out whatever is as usual.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ancestry::{Ancestry, Segment};
use super::bounds::{Bound, Bounds};
use super::content_type::ContentType;
use super::producer::ProducerStamp;
use super::record::{Life, Lifetime, Origin, Phase};
use super::text::{Order, ProducerId};
use crate::types::{ChannelName, Epoch, Seq, Timestamp};

/// What was read is no life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifeError;

impl fmt::Display for LifeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the record of a channel's life")
    }
}

impl std::error::Error for LifeError {}

/// A life in the form in which it is written. Times are in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LifeRecord {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sliding: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<BoundRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<BoundRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<BoundRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<OriginRecord>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ancestry: Vec<SegmentRecord>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    hidden: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closer: Option<StampRecord>,
    #[serde(skip_serializing_if = "is_zero")]
    touched: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BoundRecord {
    Most(u64),
    Unlimited,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OriginRecord {
    source: String,
    epoch: u64,
    after: u64,
    further: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SegmentRecord {
    channel: String,
    epoch: u64,
    last: u64,
    at: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StampRecord {
    id: String,
    epoch: u64,
    seq: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Life {
    /// As a journal keeps it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings and numbers alone, which cannot fail.
        serde_json::to_vec(&LifeRecord::from(self)).unwrap_or_default()
    }

    /// As a journal kept it.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LifeError> {
        serde_json::from_slice::<LifeRecord>(bytes).map_err(|_| LifeError)?.try_into()
    }
}

impl From<&Life> for LifeRecord {
    fn from(life: &Life) -> Self {
        let Life { content_type, lifetime, bounds, origin, ancestry, phase, order, closer, touched } = life;
        let (sliding, until) = match *lifetime {
            Lifetime::Endless => (None, None),
            Lifetime::Sliding(duration) => {
                (Some(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)), None)
            }
            Lifetime::Until(end) => (None, Some(end.as_micros())),
        };
        let segment = |segment: &Segment| SegmentRecord {
            channel: segment.channel.as_str().to_owned(),
            epoch: segment.epoch.get(),
            last: segment.last.get(),
            at: segment.last_at.as_micros(),
        };
        let origin_record = |origin: &Origin| OriginRecord {
            source: origin.source.as_str().to_owned(),
            epoch: origin.epoch.get(),
            after: origin.after.get(),
            further: origin.further,
        };
        let stamp = |stamp: &ProducerStamp| StampRecord {
            id: stamp.id.as_str().to_owned(),
            epoch: stamp.epoch,
            seq: stamp.seq,
        };
        Self {
            content_type: content_type.as_ref().map(|given| given.as_str().to_owned()),
            sliding,
            until,
            messages: bound_record(bounds.messages),
            seconds: bound_record(bounds.seconds),
            bytes: bound_record(bounds.bytes),
            origin: origin.as_ref().map(origin_record),
            ancestry: ancestry.segments().iter().map(segment).collect(),
            hidden: *phase == Phase::Hidden,
            order: order.as_ref().map(|order| order.as_str().to_owned()),
            closer: closer.as_ref().map(stamp),
            touched: touched.as_micros(),
        }
    }
}

impl TryFrom<LifeRecord> for Life {
    type Error = LifeError;

    fn try_from(record: LifeRecord) -> Result<Self, LifeError> {
        let lifetime = match (record.sliding, record.until) {
            (None, None) => Lifetime::Endless,
            (Some(micros), None) => Lifetime::Sliding(Duration::from_micros(micros)),
            (None, Some(micros)) => Lifetime::Until(Timestamp::from_micros(micros)),
            (Some(_), Some(_)) => return Err(LifeError),
        };
        let name = |text: &str| ChannelName::parse(text).map_err(|_| LifeError);
        let segment = |segment: &SegmentRecord| {
            let (epoch, last) = (Epoch::new(segment.epoch), Seq::new(segment.last));
            let last_at = Timestamp::from_micros(segment.at);
            Ok(Segment { channel: name(&segment.channel)?, epoch, last, last_at })
        };
        let segments: Vec<_> = record.ancestry.iter().map(segment).collect::<Result<_, LifeError>>()?;
        if segments.windows(2).any(|two| two[0].last >= two[1].last) {
            return Err(LifeError);
        }
        let origin = record.origin.map(|origin| {
            let (epoch, after) = (Epoch::new(origin.epoch), Seq::new(origin.after));
            Ok(Origin { source: name(&origin.source)?, epoch, after, further: origin.further })
        });
        let closer = record.closer.map(|StampRecord { id, epoch, seq }| {
            Ok(ProducerStamp { id: ProducerId::parse(&id).map_err(|_| LifeError)?, epoch, seq })
        });
        let content_type = record.content_type.map(|given| ContentType::parse(&given).map_err(|_| LifeError));
        let bounds = Bounds {
            messages: bound(record.messages),
            seconds: bound(record.seconds),
            bytes: bound(record.bytes),
        };
        Ok(Self {
            content_type: content_type.transpose()?,
            lifetime,
            bounds,
            origin: origin.transpose()?,
            ancestry: Ancestry::from_segments(segments),
            phase: if record.hidden { Phase::Hidden } else { Phase::Live },
            order: record.order.map(|order| Order::parse(&order).map_err(|_| LifeError)).transpose()?,
            closer: closer.transpose()?,
            touched: Timestamp::from_micros(record.touched),
        })
    }
}

fn bound_record(bound: Bound) -> Option<BoundRecord> {
    match bound {
        Bound::Server => None,
        Bound::Most(most) => Some(BoundRecord::Most(most)),
        Bound::Unlimited => Some(BoundRecord::Unlimited),
    }
}

fn bound(record: Option<BoundRecord>) -> Bound {
    match record {
        None => Bound::Server,
        Some(BoundRecord::Most(most)) => Bound::Most(most),
        Some(BoundRecord::Unlimited) => Bound::Unlimited,
    }
}
