//! Readers: one question at a time, from the beginning of its wait to its edge.
//!
//! A reader keeps only what a client of its pattern or dialect keeps between questions, and its [`Position`]. A message
//! counts as seen once it was read in whole, and only then the cursor moves.

mod dialects;
mod poll;
mod push;
mod stream;

use std::net::SocketAddr;

use anyhow::Result;

use self::push::Push;
use self::stream::Format;
use crate::client::Client;
use crate::pattern::Pattern;
use crate::position::{Kept, Position};

/// A reader of one of the patterns.
pub(super) struct Reader {
    pattern: Pattern,
    client: Client,
    push: Push,
    kept: Kept,
}

impl Reader {
    pub(super) fn new(pattern: Pattern, address: SocketAddr) -> Self {
        Self { pattern, client: Client::new(address), push: Push::new(address), kept: Kept::default() }
    }

    /// One of chat or of the channel dialect that has everything up to the message with this id.
    pub(super) fn after(self, id: String) -> Self {
        Self { kept: Kept { id: Some(id), time: None }, ..self }
    }

    pub(super) fn pattern(&self) -> Pattern {
        self.pattern
    }

    /// Asks at another address from now on.
    pub(super) fn turn_to(&mut self, address: SocketAddr) {
        (self.client, self.push) = (Client::new(address), Push::new(address));
    }

    /// One question.
    pub(super) async fn ask(&mut self, position: &mut Position) -> Result<()> {
        let Self { pattern, client, push, kept } = self;
        match pattern {
            Pattern::Short => poll::short(client, kept, position).await,
            Pattern::Long => poll::long(client, position).await,
            Pattern::Stream => stream::ask(client, Format::Lines, position).await,
            Pattern::Sse => stream::ask(client, Format::Events, position).await,
            Pattern::Push => push.ask(position).await,
            Pattern::GolongpollKept
            | Pattern::GolongpollTaken
            | Pattern::GolongpollSince
            | Pattern::GolongpollSinceTaken => dialects::golongpoll(client, kept, *pattern, position).await,
            Pattern::ChannelId | Pattern::ChannelSince => {
                dialects::channel(client, kept, *pattern, position).await
            }
            Pattern::Chat => dialects::chat(client, kept, position).await,
            Pattern::DurableStreams => dialects::durable_streams(client, kept, position).await,
        }
    }

    /// Forgets a connection that broke, and nothing else.
    pub(super) fn hang_up(&mut self) {
        self.client.hang_up();
        self.push.hang_up();
    }
}
