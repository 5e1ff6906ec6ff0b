//! The page at `/` and its files.

use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LINK};
use http::{HeaderValue, StatusCode};

use crate::message::body::Body;
use crate::message::early_hints::{Asset, Preload};
use crate::message::head::{Field, Head};
use crate::message::reply::Reply;
use crate::message::respond;
use crate::message::unchanged::is_unchanged;

/// The page at `/` and what it needs.
#[derive(Debug, Clone, Default)]
pub struct Site {
    /// The page itself; `/` is 404 without.
    pub page: Option<Asset>,
    /// Its stylesheet and script: pushed or announced before the page, and served at their own paths.
    pub assets: Arc<[Asset]>,
    /// Files that are served at their own paths and not announced.
    pub files: Arc<[Asset]>,
}

impl Site {
    /// A single self-contained page of HTML.
    #[must_use]
    pub fn of_page(html: &'static str) -> Self {
        let html_type = HeaderValue::from_static("text/html; charset=utf-8");
        let headers = [(CONTENT_TYPE, html_type), (CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
        let link = HeaderValue::from_static("</>; rel=preload; as=document");
        let body = html.as_bytes().into();
        let page = Asset { path: "/".to_owned(), headers: headers.into_iter().collect(), body, link };
        Self { page: Some(page), ..Self::default() }
    }

    /// All files.
    pub(super) fn all(&self) -> impl Iterator<Item = &Asset> {
        self.page.iter().chain(self.assets.iter()).chain(self.files.iter())
    }

    /// The file at a path.
    pub(super) fn find(&self, path: &str) -> Option<&Asset> {
        self.all().find(|asset| asset.path == path)
    }

    /// The response to a request for a file.
    pub(super) fn answer(&self, head: Head<'_>) -> Reply {
        let Some(asset) = self.find(head.path()) else { return respond::bare(StatusCode::NOT_FOUND) };
        let tag = asset.headers.get(ETAG).map(HeaderValue::as_bytes);
        let seen = head.field(Field::IfNoneMatch);
        let unchanged = tag.zip(seen).is_some_and(|(tag, seen)| is_unchanged(seen, tag));
        let mut reply = if unchanged {
            respond::bare(StatusCode::NOT_MODIFIED)
        } else {
            Reply::new(StatusCode::OK, Body::full(asset.body.clone()).sharing(asset.body.len()))
        };
        *reply.headers_mut() = asset.headers.clone();
        let is_page = self.page.as_ref().is_some_and(|page| page.path == asset.path);
        if is_page && reply.status == StatusCode::OK && !self.assets.is_empty() {
            for asset in self.assets.iter() {
                reply.headers_mut().append(LINK, asset.link.clone());
            }
            reply.extensions_mut().insert(Preload { assets: self.assets.clone() });
        }
        reply
    }
}
