//! `Accept`: a client's preference for a media type (RFC 9110, section 12.5.1).

use std::cmp::Reverse;

use mediatype::names::{_STAR, Q};
use mediatype::{MediaType, MediaTypeList, ReadParams as _};

use crate::message::head::{Field, Head};

/// The weight of a media type. Of two with the same quality, the more precise one is preferred, then the earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Weight {
    /// In thousandths.
    quality: u16,
    precision: Precision,
    place: Reverse<usize>,
}

/// The precision of a media range. The most precise range that matches decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Precision {
    /// `*/*`.
    Any,
    /// `text/*`.
    Type,
    /// `text/event-stream`.
    Subtype,
}

/// The weight of a media type; `None` if it is not acceptable, or the field is absent. Malformed elements are ignored, and
/// so are parameters other than the quality.
pub(crate) fn weight(head: Head<'_>, media: &str) -> Option<Weight> {
    let media = MediaType::parse(media).ok()?;
    let ranges = head.texts(Field::Accept).flat_map(MediaTypeList::new).flatten();
    let weights = ranges.enumerate().filter_map(|(place, range)| {
        let precision = precision(&range, &media)?;
        Some(Weight { quality: quality(&range)?, precision, place: Reverse(place) })
    });
    weights.max_by_key(|weight| (weight.precision, weight.quality)).filter(|weight| weight.quality > 0)
}

/// The precision of a range, if it matches a media type.
fn precision(range: &MediaType<'_>, media: &MediaType<'_>) -> Option<Precision> {
    match (range.ty == media.ty, range.subty == media.subty && range.suffix == media.suffix) {
        (true, true) => Some(Precision::Subtype),
        (true, false) if range.subty == _STAR => Some(Precision::Type),
        (false, _) if range.ty == _STAR && range.subty == _STAR => Some(Precision::Any),
        _ => None,
    }
}

/// A range's quality in thousandths; `None` if it is malformed.
fn quality(range: &MediaType<'_>) -> Option<u16> {
    let Some(value) = range.get_param(Q) else { return Some(1_000) };
    thousandths(value.as_str())
}

/// A quality in thousandths; `None` if it is malformed (RFC 9110, section 12.4.2).
pub(crate) fn thousandths(value: &str) -> Option<u16> {
    let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
    let digits = decimals.bytes().all(|byte| byte.is_ascii_digit());
    if !matches!(whole, "0" | "1") || decimals.len() > 3 || !digits {
        return None;
    }
    let quality = format!("{whole}{decimals:0<3}").parse().ok()?;
    (quality <= 1_000).then_some(quality)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn wanted(fields: &[&str], media: &str) -> Option<Weight> {
        let request =
            fields.iter().fold(Request::get("/"), |request, field| request.header("accept", *field));
        weight((&request.body(()).unwrap().into_parts().0).into(), media)
    }

    #[test]
    fn the_most_precise_range_decides() {
        let quality = |fields: &[&str], media| wanted(fields, media).map(|weight| weight.quality);
        let cases: [(&[&str], Option<u16>, Option<u16>); 16] = [
            (&[], None, None),
            (&[""], None, None),
            (&["*/*"], Some(1_000), Some(1_000)),
            (&["text/*"], Some(1_000), None),
            (&["text/html, */*;q=0.1"], Some(100), Some(100)),
            (&["text/event-stream"], Some(1_000), None),
            (&["TEXT/Event-Stream ; Q=0.25"], Some(250), None),
            (&["text/event-stream;q=0, */*"], None, Some(1_000)),
            (&["*/*;q=0.5, text/*;q=0.7, text/event-stream;q=0.2"], Some(200), Some(500)),
            (&["text/event-stream; charset=utf-8; q=0.5"], Some(500), None),
            (&["text/event-stream;q=0.3", "application/x-ndjson;q=1.000"], Some(300), Some(1_000)),
            (&["text/event-stream;q=2, application/x-ndjson;q=0.1234"], None, None),
            (&["text/event-stream;q=, application/x-ndjson;q=-1"], None, None),
            (&["text/event-stream;q=1.001, application/x-ndjson;q=.5"], None, None),
            (&["nonsense, ,, */event-stream, text/event-stream;x=\"a,b\";q=0.9"], Some(900), None),
            (&["text/event-stream+json, application/x-ndjson+xml"], None, None),
        ];
        for (fields, events, lines) in cases {
            let got = (quality(fields, "text/event-stream"), quality(fields, "application/x-ndjson"));
            assert_eq!(got, (events, lines), "{fields:?}");
        }
    }

    #[test]
    fn of_the_same_quality_the_more_precise_comes_first_then_the_earlier() {
        let (events, lines) = ("text/event-stream", "application/x-ndjson");
        for more in
            ["text/event-stream, */*", "*/*, text/event-stream", "text/event-stream, application/x-ndjson"]
        {
            assert!(wanted(&[more], events) > wanted(&[more], lines), "{more}");
        }
        let other = ["application/x-ndjson", "text/event-stream"];
        assert!(wanted(&other, lines) > wanted(&other, events));
        assert_eq!(wanted(&["*/*"], events), wanted(&["*/*"], lines));
    }
}
