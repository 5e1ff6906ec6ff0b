//! Readers: one file a pattern, all of one shape: `new`, and `ask`, which is one question from one wait's beginning to
//! its edge.
//!
//! A reader keeps only what its pattern keeps between questions (a connection, an entity tag); where it stands is its
//! [`Place`]. A message is seen once it was read in whole, and only then the cursor moves.

mod long;
mod push;
mod short;
mod sse;
mod stream;

use std::fmt;
use std::net::SocketAddr;

use anyhow::Result;
use clap::ValueEnum;

use super::lane::Place;

/// How a reader asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Pattern {
    Short,
    Long,
    Stream,
    Sse,
    Push,
}

impl Pattern {
    pub(super) const ALL: [Self; 5] = [Self::Short, Self::Long, Self::Stream, Self::Sse, Self::Push];
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Short => "short",
            Self::Long => "long",
            Self::Stream => "stream",
            Self::Sse => "sse",
            Self::Push => "push",
        })
    }
}

/// A reader of one of the patterns.
pub(super) enum Reader {
    Short(short::Short),
    Long(long::Long),
    Stream(stream::Stream),
    Sse(sse::Sse),
    Push(push::Push),
}

impl Reader {
    pub(super) fn new(pattern: Pattern, address: SocketAddr) -> Self {
        match pattern {
            Pattern::Short => Self::Short(short::Short::new(address)),
            Pattern::Long => Self::Long(long::Long::new(address)),
            Pattern::Stream => Self::Stream(stream::Stream::new(address)),
            Pattern::Sse => Self::Sse(sse::Sse::new(address)),
            Pattern::Push => Self::Push(push::Push::new(address)),
        }
    }

    /// One question.
    pub(super) async fn ask(&mut self, place: &mut Place) -> Result<()> {
        match self {
            Self::Short(reader) => reader.ask(place).await,
            Self::Long(reader) => reader.ask(place).await,
            Self::Stream(reader) => reader.ask(place).await,
            Self::Sse(reader) => reader.ask(place).await,
            Self::Push(reader) => reader.ask(place).await,
        }
    }
}
