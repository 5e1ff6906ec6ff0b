//! Presence: which named clients wait on a channel, as a list or as it changes.
//!
//! What: `GET /api/presence`, and an ordinary subscription to `presence/{channel}`, on which the server publishes joins and
//! leaves.
//! Why both together: joins and leaves are changes to a list, so following begins with the list, and after a gap the list is
//! asked for again.
//! Not here: being present, which means waiting under a name ([`Builder::client_id`](crate::Builder::client_id)).

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{BoxStream, Stream, StreamExt, unfold};
use poll_core::{ChannelName, Timestamp};
use serde::{Deserialize, Serialize, Serializer};

use crate::client::Client;
use crate::error::Error;
use crate::exchange::{Call, encode};
use crate::message::{Event, StartAt};
use crate::pattern::ChunkedStream;
use crate::retry::Attempts;
use crate::subscription::Subscription;
use crate::wire::{read, timestamp};

/// What is put before a channel's name to name the channel of its joins and leaves.
const PREFIX: &str = "presence/";

/// The clients present on a channel at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Present {
    /// The channel.
    pub channel: String,
    /// How many there are.
    pub count: u64,
    /// The first of them by name; a server lists at most 1000.
    pub clients: Vec<PresentClient>,
}

/// A client that is present.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PresentClient {
    /// Its name.
    pub id: String,
    /// The start of its first wait.
    #[serde(deserialize_with = "timestamp", serialize_with = "text")]
    pub since: Timestamp,
}

/// What [`Client::follow_presence`] yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PresenceEvent {
    /// All clients that are present now. Comes first, and again after joins or leaves were missed; replaces what was known.
    Present(Present),
    /// A client joined. It may be in the list already.
    Join {
        /// Its name.
        id: String,
        /// When, by the server's clock.
        at: Timestamp,
    },
    /// A client left. It may be missing from the list already.
    Leave {
        /// Its name.
        id: String,
        /// When, by the server's clock.
        at: Timestamp,
    },
}

/// Who is present on a channel, as it changes: a [`Stream`] of [`PresenceEvent`]s. It makes requests only while it is
/// polled. It ends when the channel of joins and leaves is closed, and after an error that is not transient.
pub struct PresenceEvents {
    stream: BoxStream<'static, Result<PresenceEvent, Error>>,
}

impl Client {
    /// Which named clients are present on a channel, on any server of the log.
    ///
    /// # Errors
    /// Any; [`Error::Refused`] with 404 if the server does not keep presence (`--presence`), with 401 or 403 without the
    /// right to read the channel.
    pub async fn present(&self, channel: &ChannelName) -> Result<Present, Error> {
        let (inner, target) = (&self.inner, format!("/api/presence?channel={}", encode(channel.as_str())));
        let (limit, within) = (inner.settings.max_answer_bytes, inner.settings.answer_within);
        let answer = inner.ask(&Call::get(target, within), &inner.stats, &[200]).await?;
        read(&answer.whole(limit, within).await?)
    }

    /// Follows who is present on a channel: first the list, then each join and leave. It needs the right to read both the
    /// channel and `presence/{channel}`. Failures are retried as in every subscription.
    ///
    /// ```no_run
    /// # async fn example(client: poll_client::Client, room: poll_client::ChannelName) -> Result<(), poll_client::Error> {
    /// use std::collections::BTreeSet;
    ///
    /// use futures_util::TryStreamExt;
    /// use poll_client::PresenceEvent;
    ///
    /// let (mut events, mut there) = (client.follow_presence(&room)?, BTreeSet::new());
    /// while let Some(event) = events.try_next().await? {
    ///     match event {
    ///         PresenceEvent::Present(list) => there = list.clients.into_iter().map(|client| client.id).collect(),
    ///         PresenceEvent::Join { id, .. } => drop(there.insert(id)),
    ///         PresenceEvent::Leave { id, .. } => drop(there.remove(&id)),
    ///     }
    ///     println!("{there:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Usage`] if the channel's name is too long for joins and leaves to be published (more than 1015 bytes).
    pub fn follow_presence(&self, channel: &ChannelName) -> Result<PresenceEvents, Error> {
        let told = ChannelName::parse(&format!("{PREFIX}{channel}"));
        let told = told.map_err(|error| Error::Usage(format!("{PREFIX}{channel}: {error}")))?;
        let changes = ChunkedStream::new(self, told).start_at(StartAt::Now).subscribe();
        let (client, channel) = (self.clone(), channel.clone());
        let following = Following { client, channel, changes, list: List::Due };
        let stream = unfold(following, |mut following| async move {
            let event = following.next().await?;
            Some((event, following))
        });
        Ok(PresenceEvents { stream: stream.boxed() })
    }
}

struct Following {
    client: Client,
    channel: ChannelName,
    changes: Subscription,
    list: List,
}

/// Whether the list was returned, so that changes can bring it up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Due,
    Known,
    /// Asking for it failed for good.
    Failed,
}

/// What the subscription to joins and leaves brought.
enum Step {
    Event(Event),
    /// A list is due, and the position from which changes follow it is known.
    Positioned,
    Failed(Error),
    End,
}

/// The content of a message on the channel of joins and leaves.
#[derive(Deserialize)]
struct Told {
    event: String,
    id: String,
    #[serde(deserialize_with = "timestamp")]
    at: Timestamp,
}

impl Following {
    async fn next(&mut self) -> Option<Result<PresenceEvent, Error>> {
        if self.list == List::Failed {
            return None;
        }
        loop {
            match self.step().await {
                Step::Positioned => {
                    let list = list(&self.client, &self.channel).await;
                    self.list = if list.is_ok() { List::Known } else { List::Failed };
                    return Some(list.map(PresenceEvent::Present));
                }
                Step::Event(Event::Message(message)) => {
                    // Other content, from a newer server, is ignored.
                    let Ok(Told { event, id, at }) = message.content.parse() else { continue };
                    match &*event {
                        "join" => return Some(Ok(PresenceEvent::Join { id, at })),
                        "leave" => return Some(Ok(PresenceEvent::Leave { id, at })),
                        _ => {}
                    }
                }
                Step::Event(Event::Missed { .. }) => self.list = List::Due,
                Step::Event(Event::Refused { .. } | Event::Closed { .. }) => {}
                Step::Failed(error) => return Some(Err(error)),
                Step::End => return None,
            }
        }
    }

    /// The next step.
    async fn step(&mut self) -> Step {
        poll_fn(|cx| match self.changes.poll_next_unpin(cx) {
            Poll::Ready(Some(Ok(event))) => Poll::Ready(Step::Event(event)),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Step::Failed(error)),
            Poll::Ready(None) => Poll::Ready(Step::End),
            Poll::Pending if self.list == List::Due && self.changes.position().is_some() => {
                Poll::Ready(Step::Positioned)
            }
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

async fn list(client: &Client, channel: &ChannelName) -> Result<Present, Error> {
    let mut attempts = Attempts::new(&client.inner);
    loop {
        match client.present(channel).await {
            Ok(list) => {
                attempts.answered();
                return Ok(list);
            }
            Err(error) => attempts.failed(error).await?,
        }
    }
}

impl Stream for PresenceEvents {
    type Item = Result<PresenceEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.poll_next_unpin(cx)
    }
}

impl fmt::Debug for PresenceEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresenceEvents").finish_non_exhaustive()
    }
}

fn text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}
