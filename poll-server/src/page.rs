//! The live page and that of administration with their files, and the JavaScript client, built into the binary.
//!
//! What: bytes, entity tags and headers of `/`, `/style.css`, `/app.js` with its modules, and `/poll.js`; of `/admin/`, which is
//! reached as everything below it is, and what it needs, as nothing else is on a listener of its own.
//! Why: push and Early Hints get real content, and visitors see each pattern work.
//! Not here: how they are served (poll-http).

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use poll_http::{Asset, Site};

/// Own files only: no inline script or style, nothing from other origins, no framing. The icon is a data URL.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// A path and the file that it serves.
macro_rules! files {
    ($($name:literal),+ $(,)?) => { [$((concat!("/", $name), include_str!(concat!("page/", $name)))),+] };
}

/// The page's modules, which `/app.js` imports.
const MODULES: [(&str, &str); 13] = files![
    "arrivals.js",
    "charts.js",
    "chat.js",
    "clock.js",
    "demo.js",
    "job.js",
    "lane.js",
    "meter.js",
    // A link to the file that poll-client/js builds.
    "poll.js",
    "push.js",
    "terminal.js",
    "track.js",
    "words.js",
];

/// The page of administration, and what it needs.
const ADMIN: [(&str, &str, &str); 4] = [
    ("/admin/", HTML, include_str!("page/admin/index.html")),
    ("/admin/style.css", CSS, include_str!("page/style.css")),
    ("/admin/admin.css", CSS, include_str!("page/admin/admin.css")),
    ("/admin/admin.js", JS, include_str!("page/admin/admin.js")),
];

/// The pages and their files.
pub(crate) fn site() -> Site {
    let [html, css, js] = files!["index.html", "style.css", "app.js"].map(|(_, text)| text);
    Site {
        page: Some(asset("/", HTML, "", html)),
        assets: [
            asset("/style.css", CSS, "</style.css>; rel=preload; as=style", css),
            // A module is fetched as a script of another origin is, so what was announced is used only with `crossorigin`.
            asset("/app.js", JS, "</app.js>; rel=preload; as=script; crossorigin", js),
        ]
        .into(),
        files: MODULES
            .iter()
            .map(|(path, text)| asset(path, JS, "", text))
            .chain(ADMIN.iter().map(|(path, media, text)| asset(path, media, "", text)))
            .collect(),
    }
}

fn asset(path: &'static str, content_type: &'static str, link: &'static str, text: &'static str) -> Asset {
    let bytes = text.as_bytes();
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
        let admin = include_str!("page/admin/index.html");
        assert!(!admin.contains("<style") && !admin.contains(" style=") && !admin.contains(" onclick="));
        assert_eq!(
            admin.matches("<script").count(),
            admin.matches("<script src=\"/admin/admin.js\"").count()
        );
        for path in admin.split("=\"/admin/").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(ADMIN.iter().any(|(served, ..)| served["/admin/".len()..] == *path), "{path}");
        }
        let own = MODULES.iter().filter(|(path, _)| *path != "/poll.js").map(|(_, text)| *text);
        let own = own.chain(ADMIN.iter().map(|(_, _, text)| *text));
        for text in own.chain([include_str!("page/app.js"), html, include_str!("page/style.css")]) {
            for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
                assert!(
                    !text.contains(forbidden),
                    "{forbidden}: what came over the wire goes through textContent"
                );
            }
            let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"));
        }
    }

    #[test]
    fn what_the_scripts_import_is_served() {
        let scripts = MODULES.iter().chain([&("/app.js", include_str!("page/app.js"))]);
        for (path, text) in scripts {
            for import in text.lines().filter_map(|line| line.strip_prefix("import ")) {
                let from = import.split("from './").nth(1).and_then(|rest| rest.strip_suffix("';")).unwrap();
                assert!(MODULES.iter().any(|(path, _)| path[1..] == *from), "{path} imports {from}");
            }
        }
    }
}
