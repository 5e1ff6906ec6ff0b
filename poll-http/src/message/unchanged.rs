//! 304: whether the client has what it would be answered with (RFC 9110, section 13.1.2).

use http::StatusCode;
use poll_core::Timestamp;

use crate::message::coding::Codings;
use crate::message::reply::Reply;
use crate::message::respond;

/// Whether one of the client's tags is this one.
pub(crate) fn is_unchanged(seen: &[u8], tag: &[u8]) -> bool {
    // Nearly all clients send back a single tag.
    seen == tag || matches(seen, tag)
}

/// The answer then, of an answer that may be compressed: `tag` is its tag without that. `None` if the client has neither.
pub(crate) fn unchanged(seen: &[u8], tag: &[u8], codings: Codings, now: Timestamp) -> Option<Reply> {
    let tag = codings.seen(tag, |tag| is_unchanged(seen, tag))?;
    let mut reply = not_modified(&tag, now);
    codings.label(&mut reply);
    Some(reply)
}

/// The answer then.
pub(crate) fn not_modified(tag: &[u8], now: Timestamp) -> Reply {
    Reply {
        cache: Some(respond::NO_CACHE.into()),
        tag: Some(tag.into()),
        made: Some(now),
        ..respond::bare(StatusCode::NOT_MODIFIED)
    }
}

/// Weak comparison with a list of tags (RFC 9110 §13.1.2). The tags made here hold no comma.
fn matches(seen: &[u8], tag: &[u8]) -> bool {
    fn opaque(tag: &[u8]) -> &[u8] {
        tag.strip_prefix(b"W/").unwrap_or(tag)
    }
    let tag = opaque(tag);
    let mut tags = seen.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    tags.any(|one| one == b"*" || opaque(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_match_weakly_and_in_lists() {
        let tag = b"W/\"a-1\"";
        for seen in ["W/\"a-1\"", "\"a-1\"", "\"x\", W/\"a-1\"", "*"] {
            assert!(matches(seen.as_bytes(), tag), "{seen}");
        }
        for seen in ["W/\"a-2\"", "a-1", ""] {
            assert!(!matches(seen.as_bytes(), tag), "{seen}");
        }
    }
}
