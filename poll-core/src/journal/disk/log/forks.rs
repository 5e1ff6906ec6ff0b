//! Forks that the log made or removed, by their sources.
//!
//! They are counted by source, so that removing ten thousand forks one by one does not look at all of them each time.

use super::record::Publish;
use crate::life::{Change, Content};
use crate::types::{ChannelName, NameMap};

/// What became of a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Forking {
    Made,
    Removed,
}

/// The forks of one memtable.
#[derive(Debug, Default)]
pub(super) struct Forks(NameMap<OfSource>);

#[derive(Debug, Default)]
struct OfSource {
    forks: NameMap<Forking>,
    /// How many of them were made, and not removed since.
    made: usize,
}

impl Forks {
    /// Notes a fork that a publish makes or removes; returns the source if it is made.
    pub(super) fn note<'a>(&mut self, publish: &Publish<'a>) -> Option<&'a ChannelName> {
        let Change { life: Some(life), content, .. } = publish.change? else { return None };
        let forking = match content {
            Content::Born => Forking::Made,
            Content::Removed => Forking::Removed,
            Content::Same | Content::Purged => return None,
        };
        let source = &life.origin.as_ref()?.source;
        let of_source = self.0.entry(source.clone()).or_default();
        let before = of_source.forks.insert(publish.channel.clone(), forking);
        of_source.made += usize::from(forking == Forking::Made);
        of_source.made -= usize::from(before == Some(Forking::Made));
        (forking == Forking::Made).then_some(source)
    }

    /// What became of a fork of a source.
    pub(super) fn get(&self, source: &ChannelName, fork: &ChannelName) -> Option<Forking> {
        self.0.get(source)?.forks.get(fork).copied()
    }

    /// Whether there are forks of a source that were made here, and not removed here or `later`.
    pub(super) fn any_made(&self, source: &ChannelName, later: Option<&Self>) -> bool {
        let Some(of_source) = self.0.get(source).filter(|of_source| of_source.made > 0) else { return false };
        let Some(later) = later.and_then(|later| later.0.get(source)) else { return true };
        let mut made = of_source.forks.iter().filter(|(_, forking)| **forking == Forking::Made);
        made.any(|(fork, _)| later.forks.get(fork) != Some(&Forking::Removed))
    }

    /// All of them, with their sources.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ChannelName, &ChannelName, Forking)> {
        self.0.iter().flat_map(|(source, of)| of.forks.iter().map(move |(fork, made)| (source, fork, *made)))
    }
}
