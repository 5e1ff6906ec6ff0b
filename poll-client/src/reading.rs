//! Reading channels by a pattern, while the list of channels may change.
//!
//! A change gives up whatever the pattern is waiting for: positions and queue are only ever changed together, so the next
//! request goes on exactly where the queue ends.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use tokio::sync::watch;

use crate::channels::{ChannelList, List};
use crate::client::Client;
use crate::error::Error;
use crate::message::Event;
use crate::position::Returned;
use crate::reader::Reader;
use crate::source::{Out, Source};
use crate::stats::Stats;

/// How a pattern makes requests.
pub(crate) trait Pattern: Send + 'static {
    /// Makes a request, or reads a piece of the open answer. May be dropped at any await. After that, and after an error,
    /// the next step makes a new request at the reader's positions.
    fn step(
        &mut self,
        reader: &mut Reader,
        out: &mut Out<Event>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Gives up an open answer.
    fn hang_up(&mut self);
}

pub(crate) struct Reading<P> {
    reader: Reader,
    pattern: P,
    changes: watch::Receiver<List>,
}

impl<P: Pattern> Reading<P> {
    pub(crate) fn new(client: &Client, list: &ChannelList, returned: Returned, pattern: P) -> Self {
        let mut changes = list.watch();
        let mut reader = Reader::new(client, returned);
        reader.relist(&changes.borrow_and_update());
        Self { reader, pattern, changes }
    }

    pub(crate) fn stats(&self) -> Arc<Stats> {
        self.reader.stats.clone()
    }

    fn relist(&mut self, out: &mut Out<Event>) {
        let removed = self.reader.relist(&self.changes.borrow_and_update());
        out.queue.retain(|event| event.channel().is_none_or(|channel| !removed.contains(channel)));
        self.pattern.hang_up();
    }
}

impl<P: Pattern> Source for Reading<P> {
    type Item = Event;

    async fn step(&mut self, out: &mut Out<Event>) -> Result<(), Error> {
        loop {
            let Self { reader, pattern, changes } = self;
            let work = async {
                if reader.has_channels() {
                    pattern.step(reader, out).await
                } else {
                    std::future::pending().await
                }
            };
            match select(pin!(changes.changed()), pin!(work)).await {
                // The list lives as long as the subscription, so this is never an error.
                Either::Left((Ok(()) | Err(_), _)) => {}
                Either::Right((done, _)) => return done,
            }
            self.relist(out);
        }
    }

    fn refresh(&mut self, out: &mut Out<Event>) {
        if self.changes.has_changed().unwrap_or(false) {
            self.relist(out);
        }
    }

    fn returned(&mut self, event: &Event) {
        self.reader.returned(event);
    }

    fn returned_all(&mut self) {
        self.reader.returned_all();
    }
}
