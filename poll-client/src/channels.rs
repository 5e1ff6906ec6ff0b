//! The channels of a subscription: the list it starts with, and a handle that changes the list while it runs.
//!
//! An entry of the list has a ticket, so that a channel that was removed and added again starts anew, even if the
//! subscription sees both changes at once. Positions are in `reader.rs`.

use std::fmt;
use std::sync::Arc;

use poll_core::{ChannelKey, ChannelName, Cursor, Token};
use tokio::sync::watch;

use crate::message::StartAt;

/// One channel or several, each once, in the order given. Whatever subscribes takes `impl Into<Channels>`, so the
/// reference to one name is a list.
///
/// ```
/// use poll_client::{ChannelName, Channels};
///
/// let name = |text| ChannelName::parse(text).expect("a short plain name");
/// let (news, weather) = (name("news"), name("weather"));
/// assert_eq!(Channels::from(&news).len(), 1);
/// assert_eq!(Channels::from([&news, &weather, &news]).len(), 2);
/// assert_eq!(Channels::from(vec![news, weather]).iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["news", "weather"]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Channels(Vec<ChannelName>);

impl Channels {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, in order.
    pub fn iter(&self) -> impl Iterator<Item = &ChannelName> {
        self.0.iter()
    }
}

impl FromIterator<ChannelName> for Channels {
    fn from_iter<I: IntoIterator<Item = ChannelName>>(names: I) -> Self {
        let mut list: Vec<ChannelName> = Vec::new();
        for name in names {
            if !list.contains(&name) {
                list.push(name);
            }
        }
        Self(list)
    }
}

impl<'a> FromIterator<&'a ChannelName> for Channels {
    fn from_iter<I: IntoIterator<Item = &'a ChannelName>>(names: I) -> Self {
        names.into_iter().cloned().collect()
    }
}

impl From<ChannelName> for Channels {
    fn from(name: ChannelName) -> Self {
        Self(vec![name])
    }
}

impl From<&ChannelName> for Channels {
    fn from(name: &ChannelName) -> Self {
        name.clone().into()
    }
}

impl From<Vec<ChannelName>> for Channels {
    fn from(names: Vec<ChannelName>) -> Self {
        names.into_iter().collect()
    }
}

impl From<&[ChannelName]> for Channels {
    fn from(names: &[ChannelName]) -> Self {
        names.iter().collect()
    }
}

impl From<&Vec<ChannelName>> for Channels {
    fn from(names: &Vec<ChannelName>) -> Self {
        names.iter().collect()
    }
}

impl<const N: usize> From<[ChannelName; N]> for Channels {
    fn from(names: [ChannelName; N]) -> Self {
        names.into_iter().collect()
    }
}

impl<const N: usize> From<&[ChannelName; N]> for Channels {
    fn from(names: &[ChannelName; N]) -> Self {
        names.iter().collect()
    }
}

impl<const N: usize> From<[&ChannelName; N]> for Channels {
    fn from(names: [&ChannelName; N]) -> Self {
        names.into_iter().collect()
    }
}

/// Changes the list of a running subscription. Cheap to clone.
///
/// Channels that stay are read on without a gap or a repetition: a request that waits, or an open stream, is given up
/// and made again with the new list at the same positions. Once a channel is removed, nothing of it is returned any
/// more, not even what was already read. A subscription whose list is empty waits for a channel.
///
/// ```no_run
/// # async fn example(client: poll_client::Client, news: poll_client::ChannelName, weather: poll_client::ChannelName) -> Result<(), poll_client::Error> {
/// use futures_util::TryStreamExt;
/// use poll_client::{ChunkedStream, Event, StartAt};
///
/// let mut events = ChunkedStream::new(&client, &news).subscribe();
/// let channels = events.channels();
/// while let Some(event) = events.try_next().await? {
///     if let Event::Message(message) = event
///         && message.channel == news
///     {
///         channels.add_at(&weather, StartAt::Oldest);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ChannelList {
    list: Arc<watch::Sender<List>>,
}

/// The list as it is wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct List {
    pub(crate) entries: Vec<Entry>,
    next_ticket: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) channel: ChannelName,
    pub(crate) ticket: u64,
    pub(crate) begin: Begin,
}

/// Where one channel begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    Oldest,
    Now,
    After(Cursor),
    /// After the cursor if it is one of this channel, else now. Only the server knows.
    Perhaps(Cursor),
}

impl ChannelList {
    /// The channels as they are now wanted.
    #[must_use]
    pub fn get(&self) -> Channels {
        self.list.borrow().entries.iter().map(|entry| &entry.channel).collect()
    }

    /// Adds channels, which start with the next message published. One that is in the list stays as it is.
    pub fn add(&self, channels: impl Into<Channels>) {
        self.add_at(channels, StartAt::Now);
    }

    /// Adds channels that start there. One that is in the list stays as it is.
    #[expect(clippy::needless_pass_by_value, reason = "as `start_at` of the patterns takes it")]
    pub fn add_at(&self, channels: impl Into<Channels>, start: StartAt) {
        let channels = channels.into();
        self.change(|list| list.add(&channels, &start));
    }

    /// Removes channels. If one is added again, it starts anew.
    pub fn remove(&self, channels: impl Into<Channels>) {
        let channels = channels.into();
        self.change(|list| list.entries.retain(|entry| !channels.0.contains(&entry.channel)));
    }

    /// Replaces the list: channels in both stay as they are, new ones start with the next message published.
    pub fn set(&self, channels: impl Into<Channels>) {
        let channels = channels.into();
        self.change(|list| {
            list.entries.retain(|entry| channels.0.contains(&entry.channel));
            list.add(&channels, &StartAt::Now);
        });
    }

    pub(crate) fn new(channels: &Channels, start: &StartAt) -> Self {
        let mut list = List::default();
        list.add(channels, start);
        Self { list: Arc::new(watch::Sender::new(list)) }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<List> {
        self.list.subscribe()
    }

    /// Tells the subscription only if there is something to tell, because every change costs a request.
    fn change(&self, change: impl FnOnce(&mut List)) {
        self.list.send_if_modified(|list| {
            let tickets = |list: &List| list.entries.iter().map(|entry| entry.ticket).collect::<Vec<_>>();
            let before = tickets(list);
            change(list);
            before != tickets(list)
        });
    }
}

impl List {
    fn add(&mut self, channels: &Channels, start: &StartAt) {
        let alone = channels.len() == 1;
        for channel in channels.iter() {
            if self.entries.iter().any(|entry| entry.channel == *channel) {
                continue;
            }
            let begin = match start {
                StartAt::Oldest => Begin::Oldest,
                StartAt::Now => Begin::Now,
                StartAt::After(Token::Cursor(cursor)) if alone => Begin::After(*cursor),
                StartAt::After(Token::Cursor(cursor)) => Begin::Perhaps(*cursor),
                StartAt::After(Token::Set(set)) => {
                    set.get(&ChannelKey::of(channel)).map_or(Begin::Now, Begin::After)
                }
            };
            self.entries.push(Entry { channel: channel.clone(), ticket: self.next_ticket, begin });
            self.next_ticket += 1;
        }
    }
}

impl fmt::Debug for ChannelList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChannelList").field(&self.get()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ChannelName {
        ChannelName::parse(text).unwrap()
    }

    fn tickets(list: &ChannelList) -> String {
        let list = list.list.borrow();
        list.entries.iter().map(|entry| format!("{}{} ", entry.channel, entry.ticket)).collect()
    }

    #[test]
    fn a_channel_that_stays_keeps_its_ticket_and_one_that_comes_back_gets_a_new_one() {
        let (a, b, c) = (name("a"), name("b"), name("c"));
        let list = ChannelList::new(&Channels::from([&a, &b, &a]), &StartAt::Now);
        let mut changes = list.watch();
        assert_eq!(tickets(&list), "a0 b1 ");
        list.add([&a, &b]);
        list.remove(&c);
        list.set([&b, &a]);
        assert!(!changes.has_changed().unwrap(), "no change, no request");
        list.remove(&a);
        list.add(&a);
        assert_eq!(tickets(&list), "b1 a2 ");
        list.set([&c, &b]);
        assert_eq!(tickets(&list), "b1 c3 ");
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        list.set(Vec::new());
        assert!(list.get().is_empty() && changes.has_changed().unwrap());
    }

    #[test]
    fn a_token_gives_each_channel_its_part() {
        let (a, b) = (name("a"), name("b"));
        let begins = |channels: Channels, token: &str| {
            let list = ChannelList::new(&channels, &StartAt::After(token.parse().unwrap()));
            list.list.borrow().entries.iter().map(|entry| entry.begin).collect::<Vec<_>>()
        };
        let plain = "00000000000000070000000000000002";
        let cursor = plain.parse().unwrap();
        assert_eq!(begins((&a).into(), plain), [Begin::After(cursor)]);
        assert_eq!(begins([&a, &b].into(), plain), [Begin::Perhaps(cursor); 2]);
        let entry = poll_core::CursorSet::entry(&ChannelKey::of(&a), cursor);
        let compound = format!("m1-{}", String::from_utf8(entry.to_vec()).unwrap());
        assert_eq!(begins([&b, &a].into(), &compound), [Begin::Now, Begin::After(cursor)]);
        assert_eq!(begins((&b).into(), &compound), [Begin::Now]);
    }
}
