//! Which channels there are, a page at a time, and what is retained of each: for administration.
//!
//! Looking at channels neither loads them nor counts as a use. Hidden channels and those whose time is over are left out.

use super::handle::Store;
use super::load::with_life;
use crate::channel::{Channel, Minting};
use crate::journal::ListedChannel;
use crate::life::{Description, Standing, Use};
use crate::types::{ChannelName, Epoch, JournalError, Selection, Timestamp};

/// How often a page is filled up, where channels that are gone left it short.
const ROUNDS: usize = 4;

/// A page of channels.
#[derive(Debug)]
pub struct ChannelPage {
    /// Channels in the order of their names.
    pub channels: Vec<ListedState>,
    /// The name after which the next page begins; `None` if this is the last. A page may have fewer channels than its limit.
    pub next: Option<ChannelName>,
}

/// A channel of a page.
#[derive(Debug)]
pub struct ListedState {
    /// Its name.
    pub channel: ChannelName,
    /// What is known of it.
    pub description: Description,
    /// What its retained messages weigh in bytes, as its bounds count them; in a shared log, about what they take there.
    pub bytes: u64,
}

impl Store {
    /// A page of all channels, in memory or not. Channels whose own record is damaged are left out.
    ///
    /// # Errors
    /// When the journal cannot be read now.
    pub async fn list(&self, now: Timestamp, mut selection: Selection) -> Result<ChannelPage, JournalError> {
        let most = selection.limit;
        let mut page = self.list_once(now, selection.clone()).await?;
        for _ in 1..ROUNDS {
            if page.next.is_none() || page.channels.len() >= most {
                break;
            }
            selection = Selection { after: page.next, limit: most - page.channels.len(), ..selection };
            let more = self.list_once(now, selection.clone()).await?;
            page.channels.extend(more.channels);
            page.next = more.next;
        }
        Ok(page)
    }

    async fn list_once(&self, now: Timestamp, selection: Selection) -> Result<ChannelPage, JournalError> {
        let Some(archive) = self.archive() else { return Ok(self.list_in_memory(now, &selection)) };
        archive.health().borrow().check_readable()?;
        let listing = self.ask_briefly(|reply| archive.list(selection, now, reply)).await?;
        let channels = listing.channels.into_iter().filter_map(|listed| self.listed(now, listed));
        Ok(ChannelPage { channels: channels.collect(), next: listing.next })
    }

    /// One channel; `None` if there is none of this name.
    ///
    /// # Errors
    /// When the journal cannot be read now, or the channel is damaged.
    pub async fn inspect(
        &self,
        now: Timestamp,
        channel: &ChannelName,
    ) -> Result<Option<ListedState>, JournalError> {
        self.load(now, channel).await?;
        if self.shared().is_none()
            && !matches!(self.describe(now, channel, Use::Look).await?, Standing::Live(_))
        {
            return Ok(None);
        }
        let page = self.list(now, Selection::only(channel)).await?;
        Ok(page.channels.into_iter().find(|listed| listed.channel == *channel))
    }

    fn list_in_memory(&self, now: Timestamp, selection: &Selection) -> ChannelPage {
        let (channels, next) = self.residents().directory.list(selection);
        let state = |channel: &std::sync::Arc<Channel>| {
            let mut state = channel.state.lock();
            let Standing::Live(description) = state.standing(now, false).1 else { return None };
            let bytes = state.log.weight();
            Some(ListedState { channel: channel.name().clone(), description, bytes })
        };
        ChannelPage { channels: channels.iter().filter_map(state).collect(), next }
    }

    /// What memory knows of a channel, as it may be ahead, or else what is stored. Of a shared log, what is stored.
    fn listed(&self, now: Timestamp, listed: ListedChannel) -> Option<ListedState> {
        let ListedChannel { name, loaded, bytes } = listed;
        let resident = if self.shared().is_none() { self.residents().get(&name) } else { None };
        let standing = match resident {
            Some(channel) => channel.state.lock().standing(now, false).1,
            None => {
                let (loaded, epoch) = (with_life(loaded).ok()?, Epoch::ZERO);
                let channel = Channel::resumed(name.clone(), Some(loaded), epoch, Minting::Elsewhere, now);
                channel.state.lock().standing(now, false).1
            }
        };
        let Standing::Live(description) = standing else { return None };
        Some(ListedState { channel: name, description, bytes })
    }
}
