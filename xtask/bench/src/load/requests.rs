//! The requests of one channel's readers.
//!
//! All readers of a channel receive the same response, so the request that follows from it is made once and shared.

use std::net::SocketAddr;

use anyhow::Result;

use super::response::{Head, Response};
use crate::endpoints::{Position, ReadTemplate};

/// The requests of one channel.
pub(super) struct Requests {
    host: SocketAddr,
    pub(super) channel: String,
    template: ReadTemplate,
    /// From a reader that has read nothing.
    pub(super) first: Vec<u8>,
    /// From a reader that is at `position`.
    pub(super) latest: Vec<u8>,
    position: Position,
}

impl Requests {
    pub(super) fn new(host: SocketAddr, channel: String, template: ReadTemplate) -> Self {
        let position = Position::default();
        let first = template.request(host, &channel, &position);
        Self { host, channel, template, latest: first.clone(), first, position }
    }

    /// The request that follows from this response.
    pub(super) fn after(&mut self, response: &Response<'_>) -> Result<&[u8]> {
        let Head { last_modified, etag, .. } = response.head;
        let (one, two) = self.template.next.position(&response.body, last_modified, etag)?;
        if (one, two) != (&self.position.one, &self.position.two) {
            self.position = Position { one: one.to_vec(), two: two.to_vec() };
            self.latest = self.template.request(self.host, &self.channel, &self.position);
        }
        Ok(&self.latest)
    }
}
