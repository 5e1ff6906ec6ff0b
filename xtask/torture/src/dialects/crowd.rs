//! Many readers of one channel, and one publisher that aims at the edge of the first one's wait.
//!
//! All of them are answered by the same message and ask again at once, so their waits end within some milliseconds of
//! one another, and one shot is near the edge of many.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::aim::{Aim, Edge, in_window};
use crate::lane::{Outcome, Stop};
use crate::place::{Begin, Pace, Place};
use crate::publisher::{self, Shot};
use crate::reader::chat::CHANNEL;
use crate::reader::{Pattern, Reader};
use xtask::history::History;

pub(super) struct Crowd {
    pub(super) address: SocketAddr,
    pub(super) readers: u64,
    pub(super) stop: Stop,
    pub(super) seed: u64,
}

/// A question, and what it gave.
struct Asked {
    /// When it was asked to end.
    deadline: Instant,
    /// The numbers of the messages it gave.
    given: Vec<u64>,
}

impl Crowd {
    /// One outcome a reader; a message counts as published for each of them.
    pub(super) async fn run(self) -> Result<Vec<Outcome>> {
        let (announce, edges) = watch::channel(Edge { question: 0, at: Instant::now() });
        let (say_published, published) = watch::channel(None);
        let mut readers = JoinSet::new();
        for number in 0..self.readers {
            let seed = self.seed.wrapping_add(number);
            let mut place = Place::new(CHANNEL, Begin::Start, Pace::Edge, seed);
            if number == 0 {
                place = place.aimed_at(announce.clone());
            }
            readers.spawn_local(read(self.address, place, published.clone()));
        }
        drop(announce);
        let shots = publisher::run(self.address, CHANNEL, self.stop, Aim::new(!self.seed), edges).await;
        let shots = shots.context("a crowd's publisher")?;
        say_published.send_replace(Some(shots.len() as u64));
        let mut outcomes = Vec::new();
        while let Some(asked) = readers.join_next().await {
            let (asked, history) = asked.context("a reader has panicked")??;
            outcomes.push(outcome(&asked, &history, &shots));
        }
        Ok(outcomes)
    }
}

async fn read(
    address: SocketAddr,
    mut place: Place,
    published: watch::Receiver<Option<u64>>,
) -> Result<(Vec<Asked>, History)> {
    let mut reader = Reader::new(Pattern::Chat, address);
    let (mut asked, mut history, mut empty_in_a_row) = (Vec::new(), History::default(), 0);
    loop {
        place.question += 1;
        reader.ask(&mut place).await.with_context(|| format!("question {}", place.question))?;
        empty_in_a_row = if place.seen.is_empty() { empty_in_a_row + 1 } else { 0 };
        let mut given = Vec::new();
        for seen in place.seen.drain(..) {
            let number =
                seen.token.parse().with_context(|| format!("`{}` was never published", seen.token))?;
            history.saw(number);
            given.push(number);
        }
        asked.extend(place.deadline.map(|deadline| Asked { deadline, given }));
        let all = *published.borrow();
        if all.is_some_and(|all| history.newest() >= all || empty_in_a_row > Pattern::Chat.patience()) {
            return Ok((asked, history));
        }
    }
}

fn outcome(asked: &[Asked], history: &History, shots: &[Shot]) -> Outcome {
    let near = |one: &Asked, shot: &Shot| in_window(one.deadline, shot.at);
    let in_window = shots.iter().filter(|shot| asked.iter().any(|one| near(one, shot))).count() as u64;
    let shot = |number: &u64| shots.get(usize::try_from(number - 1).ok()?);
    let caught = asked.iter().filter(|one| one.given.iter().filter_map(shot).any(|shot| near(one, shot)));
    Outcome {
        pattern: Pattern::Chat,
        published: shots.len() as u64,
        in_window,
        caught: caught.count() as u64,
        questions: asked.len() as u64,
        empty: asked.iter().filter(|one| one.given.is_empty()).count() as u64,
        verdict: history.verdict(shots.len() as u64),
    }
}
