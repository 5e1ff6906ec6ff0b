//! A life as journals and backups keep it: a JSON object that leaves out whatever is as usual.
//!
//! In a journal only the last segment of the ancestry is in it; the others follow the object, after a line feed, and are not
//! read with it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ancestry::{Ancestry, Older, Segment};
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
        let cut = self.ancestry.cut().map(SegmentRecord::from);
        let record = LifeRecord { ancestry: cut.into_iter().collect(), ..self.record() };
        // Strings and numbers alone, which cannot fail.
        let mut bytes = serde_json::to_vec(&record).unwrap_or_default();
        if let Some(older) = self.ancestry.older() {
            bytes.push(b'\n');
            older.encode(&mut bytes);
        }
        bytes
    }

    /// As a journal kept it.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LifeError> {
        let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<LifeRecord>();
        let record = values.next().and_then(Result::ok).ok_or(LifeError)?;
        let mut life = Self::try_from(record)?;
        let rest = &bytes[values.byte_offset()..];
        let Some(older) = rest.strip_prefix(b"\n") else {
            // All of them were in the object once.
            return if rest.is_empty() { Ok(life) } else { Err(LifeError) };
        };
        let older = Older::kept(older).ok_or(LifeError)?;
        life.ancestry = match life.ancestry.segments() {
            [cut] => Ancestry::from_parts(older, cut.clone()),
            _ => return Err(LifeError),
        };
        Ok(life)
    }

    /// The record without the ancestry.
    fn record(&self) -> LifeRecord {
        let Self { content_type, lifetime, bounds, origin, ancestry: _, phase, order, closer, touched } =
            self;
        let (sliding, until) = match *lifetime {
            Lifetime::Endless => (None, None),
            Lifetime::Sliding(duration) => {
                (Some(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)), None)
            }
            Lifetime::Until(end) => (None, Some(end.as_micros())),
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
        LifeRecord {
            content_type: content_type.as_ref().map(|given| given.as_str().to_owned()),
            sliding,
            until,
            messages: bound_record(bounds.messages),
            seconds: bound_record(bounds.seconds),
            bytes: bound_record(bounds.bytes),
            origin: origin.as_ref().map(origin_record),
            ancestry: Vec::new(),
            hidden: *phase == Phase::Hidden,
            order: order.as_ref().map(|order| order.as_str().to_owned()),
            closer: closer.as_ref().map(stamp),
            touched: touched.as_micros(),
        }
    }
}

impl From<&Life> for LifeRecord {
    fn from(life: &Life) -> Self {
        Self { ancestry: life.ancestry.segments().iter().map(SegmentRecord::from).collect(), ..life.record() }
    }
}

impl From<&Segment> for SegmentRecord {
    fn from(segment: &Segment) -> Self {
        Self {
            channel: segment.channel.as_str().to_owned(),
            epoch: segment.epoch.get(),
            last: segment.last.get(),
            at: segment.last_at.as_micros(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_goes_round_with_its_ancestry_in_the_record_or_behind_it() {
        let record = r#"{"type":"text/plain","origin":{"source":"c","epoch":3,"after":9,"further":0},"ancestry":[
            {"channel":"a","epoch":1,"last":2,"at":20},{"channel":"b","epoch":2,"last":5,"at":50},
            {"channel":"c","epoch":3,"last":9,"at":90}],"touched":7}"#;
        let life = Life::from_bytes(record.as_bytes()).unwrap();
        assert_eq!(life.ancestry.segments().len(), 3);
        let kept = life.to_bytes();
        let again = Life::from_bytes(&kept).unwrap();
        assert_eq!(again, life);
        assert_eq!(LifeRecord::from(&again), serde_json::from_str(record).unwrap());
        for wrong in [&kept[..kept.len() - 1], &[&kept[..], b"x"].concat()] {
            assert_eq!(Life::from_bytes(wrong).unwrap().ancestry.segments().len(), 1);
        }
        for wrong in ["", "{}{}", "{}\n", "{}\n\0\0\0\0", "{\"touched\":1}x"] {
            assert_eq!(Life::from_bytes(wrong.as_bytes()), Err(LifeError), "{wrong:?}");
        }
        assert_eq!(Life::from_bytes(b"{}"), Ok(Life::default()));
    }
}
