//! What operators ask of a server: its channels, what they retain, and an end to them; and who is connected.
//!
//! The token of administration is the client's token ([`Builder::token`](crate::Builder::token)). Nothing is retried,
//! because a purge or a deletion that was not answered may have been done, and a second one would take what came since.
//! Not here: metrics, which are text for a collector.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use poll_core::ChannelName;
pub use poll_core::life::Bound;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::client::Client;
use crate::error::Error;
use crate::exchange::{Call, Repeat, encode};
use crate::presence::Present;
use crate::wire::read;

/// A channel as the server describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChannelState {
    /// Its name.
    pub channel: String,
    /// How many messages are retained.
    pub messages: u64,
    /// The bytes that these count as.
    pub bytes: u64,
    /// The number of the oldest message, or the next number if nothing is retained.
    pub oldest: u64,
    /// The number of the newest message; 0 before the first.
    pub newest: u64,
    /// Waiting readers on the server that was asked.
    pub waiters: Waiters,
    /// What its cursors begin with.
    pub epoch: String,
    /// Whether it takes nothing more.
    pub closed: bool,
    /// What it retains, where that is its own.
    pub settings: Settings,
}

/// Requests that wait and streams that are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Waiters {
    /// Long polls.
    pub long: u64,
    /// Streams, server-sent events among them.
    pub stream: u64,
    /// Pushes.
    pub push: u64,
}

/// What a channel retains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// At most so many messages.
    #[serde(rename = "retain_messages", default, with = "bound")]
    pub messages: Bound,
    /// For so many seconds.
    #[serde(rename = "retain_seconds", default, with = "bound")]
    pub seconds: Bound,
    /// At most so many bytes.
    #[serde(rename = "retain_bytes", default, with = "bound")]
    pub bytes: Bound,
}

/// A page of channels, by the bytes of their names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ChannelPage {
    /// The channels.
    pub channels: Vec<ChannelState>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<String>,
}

/// An open connection of the server that was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConnectionState {
    /// Its number.
    pub id: u64,
    /// Address and port of its other end.
    pub peer: String,
    /// The address by which the limits count its last client; `None` before the first.
    pub address: Option<String>,
    /// The name of the last client that had one.
    pub client: Option<String>,
    /// The version of its last request; `None` before the first.
    pub protocol: Option<String>,
    /// Whether it is encrypted; `None` until that is settled.
    pub tls: Option<bool>,
    /// Since it was accepted.
    pub age_seconds: f64,
    /// How many requests came.
    pub requests: u64,
    /// Bytes that came, with those of TLS.
    pub bytes_received: u64,
    /// Bytes that went, with those of TLS.
    pub bytes_sent: u64,
    /// Its requests that wait and streams that are open.
    pub waiting: u64,
    /// What these wait for; of many some.
    pub waits: Vec<WaitState>,
}

/// Requests of a connection that wait for the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WaitState {
    /// `long`, `stream`, `push`, or `cold` for those that wait for older messages to be read.
    pub pattern: String,
    /// The first of their channels.
    pub channel: String,
    /// How many channels.
    pub channels: u64,
    /// How many requests.
    pub requests: u64,
}

/// A page of connections, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct ConnectionPage {
    /// The connections.
    pub connections: Vec<ConnectionState>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<u64>,
}

/// The administration of a server; [`Client::administration`] returns it.
#[derive(Debug, Clone, Copy)]
pub struct Administration<'a> {
    client: &'a Client,
}

impl Client {
    /// The administration of the server, for which the client's token is the token of administration.
    #[must_use]
    pub fn administration(&self) -> Administration<'_> {
        Administration { client: self }
    }
}

impl Administration<'_> {
    /// The channels whose names begin with `prefix`, from the [`ChannelPage::next`] of the page before on, at most `limit`
    /// of them, of which the server counts more than 1000 as 1000.
    ///
    /// # Errors
    /// Any; [`Error::Refused`] with 401 if the token is not the right one, with 404 if the server has no administration.
    pub async fn list(
        &self,
        prefix: Option<&ChannelName>,
        after: Option<&str>,
        limit: u64,
    ) -> Result<ChannelPage, Error> {
        let mut target = format!("/admin/channels?limit={limit}");
        for (name, value) in [("prefix", prefix.map(ChannelName::as_str)), ("after", after)] {
            if let Some(value) = value {
                target.push_str(&format!("&{name}={}", encode(value)));
            }
        }
        read(&self.ask(Method::GET, target, Bytes::new()).await?)
    }

    /// One channel.
    ///
    /// # Errors
    /// As [`Self::list`], with 404 also if there is no such channel.
    pub async fn show(&self, channel: &ChannelName) -> Result<ChannelState, Error> {
        read(&self.ask(Method::GET, path(channel, ""), Bytes::new()).await?)
    }

    /// Drops a channel's messages. Its numbers and cursors go on.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub async fn purge(&self, channel: &ChannelName) -> Result<ChannelState, Error> {
        read(&self.ask(Method::POST, path(channel, "/purge"), Bytes::new()).await?)
    }

    /// Closes a channel: it takes nothing more.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub async fn close(&self, channel: &ChannelName) -> Result<ChannelState, Error> {
        read(&self.ask(Method::POST, path(channel, "/close"), Bytes::new()).await?)
    }

    /// Deletes a channel with its messages.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub async fn delete(&self, channel: &ChannelName) -> Result<(), Error> {
        self.ask(Method::DELETE, path(channel, ""), Bytes::new()).await.map(drop)
    }

    /// Replaces what a channel retains, as a whole.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub async fn configure(&self, channel: &ChannelName, settings: &Settings) -> Result<ChannelState, Error> {
        let body = serde_json::to_vec(settings).map_err(|error| Error::Usage(error.to_string()))?;
        read(&self.ask(Method::PUT, path(channel, "/settings"), body.into()).await?)
    }

    /// Which named clients are present on a channel, on any server of the log. It does not need the right to read the channel.
    ///
    /// # Errors
    /// As [`Self::list`], with 404 also if the server does not keep presence (`--presence`).
    pub async fn present(&self, channel: &ChannelName) -> Result<Present, Error> {
        read(&self.ask(Method::GET, path(channel, "/presence"), Bytes::new()).await?)
    }

    /// The open connections of the server that is asked, from the [`ConnectionPage::next`] of the page before on, at most
    /// `limit` of them, of which the server counts more than 1000 as 1000.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn connections(&self, after: Option<u64>, limit: u64) -> Result<ConnectionPage, Error> {
        let after = after.unwrap_or_default();
        let target = format!("/admin/connections?limit={limit}&after={after}");
        read(&self.ask(Method::GET, target, Bytes::new()).await?)
    }

    /// Cuts a connection of the server that is asked.
    ///
    /// # Errors
    /// As [`Self::list`], with 404 also if there is no such connection.
    pub async fn cut(&self, id: u64) -> Result<(), Error> {
        self.ask(Method::DELETE, format!("/admin/connections/{id}"), Bytes::new()).await.map(drop)
    }

    async fn ask(&self, method: Method, target: String, body: Bytes) -> Result<Bytes, Error> {
        let inner = &self.client.inner;
        let (limit, within) = (inner.settings.max_answer_bytes, inner.settings.answer_within);
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let repeat = if method == Method::GET { Repeat::Harmless } else { Repeat::Never };
        let call = Call { method, target, headers, body, head_within: within, repeat };
        inner.ask(&call, &inner.stats, &[200, 204]).await?.whole(limit, within).await
    }
}

fn path(channel: &ChannelName, what: &str) -> String {
    format!("/admin/channels/{}{what}", encode(channel.as_str()))
}

/// `null` is the server's own, 0 is no limit.
mod bound {
    use super::{Bound, Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(bound: &Bound, serializer: S) -> Result<S::Ok, S::Error> {
        let number = match bound {
            Bound::Server => None,
            Bound::Unlimited => Some(0),
            Bound::Most(most) => Some(*most),
        };
        number.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bound, D::Error> {
        Ok(match Option::<u64>::deserialize(deserializer)? {
            None => Bound::Server,
            Some(0) => Bound::Unlimited,
            Some(most) => Bound::Most(most),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_written_as_the_server_reads_them() {
        let text = r#"{"retain_messages":7,"retain_seconds":0,"retain_bytes":null}"#;
        let settings: Settings = serde_json::from_str(text).unwrap();
        assert_eq!(
            settings,
            Settings { messages: Bound::Most(7), seconds: Bound::Unlimited, bytes: Bound::Server }
        );
        assert_eq!(serde_json::to_string(&settings).unwrap(), text);
        assert_eq!(serde_json::from_str::<Settings>("{}").unwrap(), Settings::default());
    }
}
