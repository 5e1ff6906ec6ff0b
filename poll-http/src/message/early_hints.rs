//! What a page needs, sent before the page: pushes if the peer takes them, else 103 Early Hints (RFC 8297).
//!
//! A handler adds a [`Preload`] to its answer's extensions. HTTP/2 pushes it or sends a 103. hyper cannot send a 103, so
//! for HTTP/1.1 its bytes are rendered here and inserted by the IO wrapper. The `Link` field of the final answer is the
//! handler's.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

/// A static file, such as a stylesheet or a script.
#[derive(Clone, Debug)]
pub struct Asset {
    /// Path of its own GET, beginning with `/`.
    pub path: String,
    /// Header fields of its answer: `Content-Type`, `ETag`, `Cache-Control`.
    pub headers: HeaderMap,
    /// Its bytes.
    pub body: Bytes,
    /// Its `Link` field, such as `</app.js>; rel=preload; as=script`.
    pub link: HeaderValue,
}

/// In an answer's extensions: what to push or announce before the answer.
#[derive(Clone, Debug)]
pub struct Preload {
    /// In the order in which they are needed.
    pub assets: Arc<[Asset]>,
}

impl Preload {
    /// The 103 in HTTP/1.1.
    pub(crate) fn interim_head(&self) -> Bytes {
        let mut head = String::from("HTTP/1.1 103 Early Hints\r\n");
        for asset in self.assets.iter() {
            if let Ok(link) = asset.link.to_str() {
                let _ = write!(head, "Link: {link}\r\n");
            }
        }
        head.push_str("\r\n");
        head.into()
    }

    /// The fields of the 103.
    pub(crate) fn links(&self) -> HeaderMap {
        self.assets.iter().map(|asset| (http::header::LINK, asset.link.clone())).collect()
    }
}
