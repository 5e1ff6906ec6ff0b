//! The live page with its two files, and the JavaScript client, built into the binary.
//!
//! What: bytes, entity tags and headers of `/`, `/style.css`, `/app.js` and `/poll.js`.
//! Why: push and Early Hints get real content, and visitors see each pattern work.
//! Not here: how they are served (poll-http).

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use poll_http::{Asset, Site};

/// Own files only: no inline script or style, nothing from other origins, no framing. The icon is a data URL.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";

/// The page at `/` and its files.
pub(crate) fn site() -> Site {
    let html = include_bytes!("page/index.html");
    let css = include_bytes!("page/style.css");
    let js = include_bytes!("page/app.js");
    // A link to the file that poll-client/js builds.
    let client = include_bytes!("page/poll.js");
    Site {
        page: Some(asset("/", "text/html; charset=utf-8", "", html)),
        assets: [
            asset("/style.css", "text/css; charset=utf-8", "</style.css>; rel=preload; as=style", css),
            asset("/app.js", "text/javascript; charset=utf-8", "</app.js>; rel=preload; as=script", js),
        ]
        .into(),
        files: [asset(
            "/poll.js",
            "text/javascript; charset=utf-8",
            "</poll.js>; rel=preload; as=script",
            client,
        )]
        .into(),
    }
}

fn asset(path: &'static str, content_type: &'static str, link: &'static str, bytes: &'static [u8]) -> Asset {
    let fixed: [(HeaderName, &'static str); 5] = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        // The names carry no version, so a cached copy is revalidated each time; the tag makes that a 304.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    let mut headers: HeaderMap =
        fixed.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
    headers.insert(header::ETAG, etag(bytes));
    let (link, body) = (HeaderValue::from_static(link), Bytes::from_static(bytes));
    Asset { path: path.to_owned(), headers, body, link }
}

/// A strong entity tag (RFC 9110 section 8.8.3): length and FNV-1a of the bytes, so it changes with them and only then.
fn etag(bytes: &[u8]) -> HeaderValue {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let tag = format!("\"{:x}-{hash:016x}\"", bytes.len());
    HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_strong_and_follow_the_content() {
        assert_ne!(etag(b"a"), etag(b"b"));
        assert_eq!(etag(b"a"), etag(b"a"));
        assert!(etag(b"a").as_bytes().starts_with(b"\"1-") && etag(b"a").as_bytes().ends_with(b"\""));
    }

    /// The policy forbids them, so they would fail silently.
    #[test]
    fn the_page_has_nothing_inline_and_nothing_from_elsewhere() {
        let html = include_str!("page/index.html");
        assert!(!html.contains("<style") && !html.contains(" style=") && !html.contains(" onclick="));
        assert_eq!(html.matches("<script").count(), html.matches("<script src=\"/app.js\"").count());
        let js = include_str!("page/app.js");
        for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!js.contains(forbidden), "{forbidden}: what came over the wire goes through textContent");
        }
        for text in [html, js, include_str!("page/style.css")] {
            let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"));
        }
    }
}
