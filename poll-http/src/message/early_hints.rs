//! What a page needs besides itself, said before the page is: pushes where the peer takes them, else 103 Early Hints.
//!
//! A handler puts a [`Preload`] into its answer's extensions; each protocol does what it can with it. HTTP/2 pushes or
//! sends 103 by its own means; hyper has none for HTTP/1.1 (RFC 8297), so the bytes are written here and slipped in by
//! the IO wrapper. The `Link` field on the final answer is the handler's own.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

/// A file that is served whole: the live page, its stylesheet, its script.
#[derive(Clone, Debug)]
pub struct Asset {
    /// Path of its own GET, beginning with `/`.
    pub path: String,
    /// Header fields of its answer: `Content-Type`, `ETag`, `Cache-Control`.
    pub headers: HeaderMap,
    /// Its bytes.
    pub body: Bytes,
    /// How it is announced: `</app.js>; rel=preload; as=script`.
    pub link: HeaderValue,
}

/// In an answer's extensions: what to push or announce before it.
#[derive(Clone, Debug)]
pub struct Preload {
    /// In the order in which they are needed. Shared, because every page view carries them.
    pub assets: Arc<[Asset]>,
}

impl Preload {
    /// The 103 as HTTP/1.1 has it on the wire.
    pub(crate) fn interim_head(&self) -> Bytes {
        let mut head = String::from("HTTP/1.1 103 Early Hints\r\n");
        for asset in self.assets.iter() {
            // A header value that is not ASCII cannot be announced, only served.
            if let Ok(link) = asset.link.to_str() {
                let _ = write!(head, "Link: {link}\r\n");
            }
        }
        head.push_str("\r\n");
        head.into()
    }

    /// The 103's fields.
    pub(crate) fn links(&self) -> HeaderMap {
        self.assets.iter().map(|asset| (http::header::LINK, asset.link.clone())).collect()
    }
}
