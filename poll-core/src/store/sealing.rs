//! Which channels a shared journal is sealing for readers who do not wait for that: one seal of a channel at a time.

use std::sync::Arc;

use crate::sync::Mutex;
use crate::types::{ChannelName, NameMap};

/// The channels that a shared journal is sealing in the background.
#[derive(Default)]
pub(super) struct Sealing(Arc<Mutex<NameMap<()>>>);

/// One of them; until it is dropped no other seal of the channel begins.
pub(super) struct Begun {
    sealing: Arc<Mutex<NameMap<()>>>,
    channel: ChannelName,
}

impl Sealing {
    /// `None` if one is on its way.
    pub(super) fn begin(&self, channel: &ChannelName) -> Option<Begun> {
        let earlier = self.0.lock().insert(channel.clone(), ());
        earlier.is_none().then(|| Begun { sealing: self.0.clone(), channel: channel.clone() })
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.sealing.lock().remove(&self.channel);
    }
}
