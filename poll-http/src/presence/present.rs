//! [`Present`]: who is present on one channel, and the response in JSON for readers of the channel and for operators.

use std::sync::Arc;

use http::StatusCode;
use poll_core::{ChannelName, Timestamp};

use crate::message::body::Body;
use crate::message::json::{write_number, write_string, write_time};
use crate::message::reply::Reply;
use crate::message::respond;

/// The most clients that a response lists.
pub(super) const MOST_LISTED: usize = 1_000;

/// Who is present on one channel.
pub(crate) struct Present {
    pub(super) count: usize,
    /// The first [`MOST_LISTED`] by name, each with the start of its first wait.
    pub(super) clients: Vec<(Arc<str>, Timestamp)>,
}

impl Present {
    /// The response.
    pub(crate) fn reply(&self, channel: &ChannelName) -> Reply {
        let mut out = br#"{"channel":"#.to_vec();
        write_string(&mut out, channel.as_str());
        out.extend_from_slice(br#","count":"#);
        write_number(&mut out, self.count as u64);
        out.extend_from_slice(br#","clients":["#);
        for (index, (client, since)) in self.clients.iter().enumerate() {
            out.extend_from_slice(if index > 0 { br#",{"id":"# } else { br#"{"id":"# });
            write_string(&mut out, client);
            out.extend_from_slice(br#","since":"#);
            write_time(&mut out, *since);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
        respond::whole(StatusCode::OK, respond::JSON, respond::NO_STORE, Body::full(out))
    }
}
