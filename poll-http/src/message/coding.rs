//! Content codings: which of them a client accepts, and what an answer says of its own (RFC 9110, sections 8.4 and 12.5.3).
//!
//! One coding is offered, gzip, because every client has it and its members can be put together from parts (`gzip`).

use std::borrow::Cow;

use http::HeaderValue;
use http::header::{CONTENT_ENCODING, VARY};

use crate::message::body::Coding;
use crate::message::head::{Field, Head, text};
use crate::message::query::{Query, Repeats};
use crate::message::reply::Reply;

/// The codings that an answer may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codings {
    /// Nothing is compressed, and answers do not depend on `Accept-Encoding`.
    Off,
    /// None: the client does not accept any, or prefers none.
    Identity,
    /// Gzip, or none where that is not worth it.
    Gzip,
}

/// One value for all dialects.
const DEPENDS_ON: HeaderValue = HeaderValue::from_static("Accept, Accept-Encoding");

impl Codings {
    /// What the client accepts. Nothing where its token is in the URL: what is secret in a request and what others
    /// chose must not be compressed together.
    pub(crate) fn accepted(head: Head<'_>) -> Self {
        match Query::of(head).get("access_token", Repeats::FirstWins) {
            Ok(None) => Self::preferred(head.fields(Field::AcceptEncoding)),
            Ok(Some(_)) | Err(_) => Self::Off,
        }
    }

    /// The preference of `Accept-Encoding`. Without the field nothing is compressed, and if no coding is acceptable, not
    /// even the identity, neither. Malformed elements are ignored.
    fn preferred<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let (mut gzip, mut identity, mut any) = (None, None, None);
        for element in lines.filter_map(text).flat_map(|line| line.split(',')) {
            let (coding, parameters) = element.split_once(';').unwrap_or((element, ""));
            let Some(quality) = quality(parameters) else { continue };
            let coding = coding.trim();
            let known = if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
                &mut gzip
            } else if coding.eq_ignore_ascii_case("identity") {
                &mut identity
            } else if coding == "*" {
                &mut any
            } else {
                continue;
            };
            *known = Some(quality.max(known.unwrap_or(0)));
        }
        let gzip = gzip.or(any).unwrap_or(0);
        // Acceptable unless it is excluded, but a client that lists another coding prefers that.
        let identity = identity.or(any).unwrap_or(0);
        if gzip > 0 && gzip >= identity { Self::Gzip } else { Self::Identity }
    }

    /// Adds to an answer what its coding is, and that there are others. Its tag becomes that of its coding.
    pub(crate) fn label(self, reply: &mut Reply) {
        if self == Self::Off {
            return;
        }
        reply.headers_mut().insert(VARY, DEPENDS_ON);
        if reply.body.coding() == Coding::Gzip {
            reply.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            reply.tag = reply.tag.take().map(|tag| gzipped(&tag).into());
        }
    }

    /// The tag that the client has of an answer it may be given, if it has one. `tag` is that of the identity.
    pub(crate) fn seen<'a>(self, tag: &'a [u8], is_seen: impl Fn(&[u8]) -> bool) -> Option<Cow<'a, [u8]>> {
        if is_seen(tag) {
            return Some(tag.into());
        }
        let gzipped = (self == Self::Gzip).then(|| gzipped(tag))?;
        is_seen(&gzipped).then_some(gzipped.into())
    }
}

/// The tag of what has this tag, compressed (RFC 9110, section 8.8.3.3). A weak one: the same content is not compressed to the
/// same bytes on every machine.
fn gzipped(tag: &[u8]) -> Vec<u8> {
    let strong = tag.strip_prefix(b"W/").unwrap_or(tag);
    let opaque = strong.strip_suffix(b"\"").unwrap_or(strong);
    [b"W/", opaque, b"-gzip\""].concat()
}

/// The quality among an element's parameters in thousandths: 1 without one, `None` if it is malformed (RFC 9110, section 12.4.2).
fn quality(parameters: &str) -> Option<u16> {
    let weight = parameters.trim();
    if weight.is_empty() {
        return Some(1_000);
    }
    let (name, value) = weight.split_once('=')?;
    if name.eq_ignore_ascii_case("q") { super::accept::thousandths(value) } else { None }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn gzip_is_used_where_it_is_accepted_and_nothing_is_preferred() {
        let cases: [(&[&str], Codings); 31] = [
            (&[], Codings::Identity),
            (&[""], Codings::Identity),
            (&["gzip"], Codings::Gzip),
            (&["x-gzip"], Codings::Gzip),
            (&["GZip"], Codings::Gzip),
            (&["*"], Codings::Gzip),
            (&["gzip, deflate, br, zstd"], Codings::Gzip),
            (&["br", "gzip"], Codings::Gzip),
            (&["br, zstd, deflate"], Codings::Identity),
            (&["identity"], Codings::Identity),
            (&["gzip;q=0"], Codings::Identity),
            (&["gzip;q=0.000"], Codings::Identity),
            (&["gzip;q=0, *"], Codings::Identity),
            (&["gzip;q=0.001"], Codings::Gzip),
            (&["gzip ; Q=0.5"], Codings::Gzip),
            (&["gzip;\tq=1.000"], Codings::Gzip),
            (&["identity, gzip"], Codings::Gzip),
            (&["identity;q=1, gzip;q=0.9"], Codings::Identity),
            (&["identity;q=0.5, gzip;q=0.5"], Codings::Gzip),
            (&["identity;q=0.5, gzip;q=0.6"], Codings::Gzip),
            (&["identity;q=0"], Codings::Identity),
            (&["identity;q=0, gzip"], Codings::Gzip),
            (&["*;q=0"], Codings::Identity),
            (&["*;q=0, gzip"], Codings::Gzip),
            (&["*;q=0.5, gzip;q=0.3"], Codings::Identity),
            (&["gzip;q=2"], Codings::Identity),
            (&["gzip;q=0.1234"], Codings::Identity),
            (&["gzip;q="], Codings::Identity),
            (&["gzip;level=9"], Codings::Identity),
            (&["gzip;q=-1, ,;, gzip;q=0.2"], Codings::Gzip),
            (&["gzipped, agzip, \u{e9}"], Codings::Identity),
        ];
        for (lines, expected) in cases {
            let preferred = Codings::preferred(lines.iter().map(|line| line.as_bytes()));
            assert_eq!(preferred, expected, "{lines:?}");
        }
    }

    #[test]
    fn a_token_in_the_url_switches_it_off() {
        let accepted = |target: &str| {
            let head = Request::get(target).header("accept-encoding", "gzip").body(()).unwrap();
            Codings::accepted((&head.into_parts().0).into())
        };
        assert_eq!(accepted("/?channel=c"), Codings::Gzip);
        for target in
            ["/?access_token=t", "/?channel=c&access%5ftoken=t", "/?access_token=", "/?access_token=%ff"]
        {
            assert_eq!(accepted(target), Codings::Off, "{target}");
        }
    }

    #[test]
    fn each_coding_has_a_tag_of_its_own() {
        assert_eq!(gzipped(b"W/\"a-1\""), b"W/\"a-1-gzip\"");
        assert_eq!(gzipped(b"\"a:1\""), b"W/\"a:1-gzip\"");
        let seen = |codings: Codings, has: &str| {
            let tag = codings.seen(b"W/\"a\"", |tag| tag == has.as_bytes());
            tag.map(|tag| String::from_utf8(tag.into_owned()).unwrap())
        };
        for codings in [Codings::Off, Codings::Identity, Codings::Gzip] {
            assert_eq!(seen(codings, "W/\"a\"").as_deref(), Some("W/\"a\""), "{codings:?}");
            assert_eq!(seen(codings, "W/\"b-gzip\""), None, "{codings:?}");
        }
        assert_eq!(seen(Codings::Gzip, "W/\"a-gzip\"").as_deref(), Some("W/\"a-gzip\""));
        assert_eq!(seen(Codings::Identity, "W/\"a-gzip\""), None, "a client that cannot read it");
    }
}
