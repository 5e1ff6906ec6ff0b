//! What the nodes say of themselves through a round: whether they are ready, and what they tell streams.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::Request;
use http_body_util::BodyExt as _;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::client::{Client, expect};
use crate::payload::{self, Line, Notice};

/// Between two questions.
const STEP: Duration = Duration::from_millis(50);
/// A node that does not answer for so long is silent.
const SILENCE: Duration = Duration::from_secs(1);

/// What a node said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    /// With its reasons.
    Unready(String),
    /// It did not answer, or is not there.
    Silent,
}

/// What happened to a stream that stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Opened,
    Told(Notice),
    Broken,
}

/// One node, watched until dropped.
#[derive(Debug)]
pub(super) struct Watch {
    states: Changes<State>,
    events: Changes<Event>,
    tasks: [AbortHandle; 2],
}

type Changes<T> = Rc<RefCell<Vec<(Instant, T)>>>;

impl Watch {
    /// Watches a node, and reads a channel of it to which nothing is published.
    pub(super) fn over(node: SocketAddr, channel: &str) -> Self {
        let (states, events) = (Changes::default(), Changes::default());
        let target = format!("/api/stream?channel={channel}");
        let tasks = [
            tokio::task::spawn_local(ask(node, states.clone())).abort_handle(),
            tokio::task::spawn_local(listen(node, target, events.clone())).abort_handle(),
        ];
        Self { states, events, tasks }
    }

    /// When the node first said, from this moment on, that it is not ready, and why.
    pub(super) fn unready_since(&self, from: Instant) -> Option<(Instant, String)> {
        spans(&self.states.borrow()).find_map(|(begin, end, state)| match state {
            State::Unready(why) if end >= from => Some((begin.max(from), why.clone())),
            _ => None,
        })
    }

    /// Whether the node was anything but ready at some moment between these.
    pub(super) fn was_unready(&self, from: Instant, to: Instant) -> bool {
        let states = self.states.borrow();
        spans(&states).any(|(begin, end, state)| *state != State::Ready && begin <= to && end >= from)
    }

    /// How long the node went on saying that it is not ready after this moment.
    pub(super) fn unready_after(&self, from: Instant) -> Duration {
        let states = self.states.borrow();
        let late = spans(&states).filter(|(_, end, state)| **state != State::Ready && *end > from);
        late.map(|(_, end, _)| end - from).max().unwrap_or_default()
    }

    /// What is wrong with what the stream was told.
    pub(super) fn faults(&self) -> Vec<String> {
        check(&self.events.borrow(), &self.states.borrow())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Each state with its first moment and the moment of the next one.
fn spans(states: &[(Instant, State)]) -> impl Iterator<Item = (Instant, Instant, &State)> {
    let ends = states.iter().skip(1).map(|(end, _)| *end).chain([Instant::now()]);
    states.iter().zip(ends).map(|((begin, state), end)| (*begin, end, state))
}

async fn ask(node: SocketAddr, states: Changes<State>) {
    let mut client = Client::new(node);
    loop {
        let asked = Instant::now();
        let state = match timeout(SILENCE, client.get("/readyz")).await {
            Ok(Ok(answer)) if answer.status == 200 => State::Ready,
            Ok(Ok(answer)) => State::Unready(String::from_utf8_lossy(&answer.body).trim().to_owned()),
            _ => {
                client.hang_up();
                State::Silent
            }
        };
        let is_new = states.borrow().last().is_none_or(|(_, last)| *last != state);
        if is_new {
            // It was silent from the question on, and ready or not when it answered.
            let at = if state == State::Silent { asked } else { Instant::now() };
            states.borrow_mut().push((at, state));
        }
        sleep(STEP).await;
    }
}

async fn listen(node: SocketAddr, target: String, events: Changes<Event>) {
    let note = |event| events.borrow_mut().push((Instant::now(), event));
    loop {
        let mut client = Client::new(node);
        // A node that is away is asked again.
        let _ = read(&mut client, &target, &note).await;
        note(Event::Broken);
        sleep(STEP).await;
    }
}

async fn read(client: &mut Client, target: &str, note: &impl Fn(Event)) -> Result<()> {
    let response = client.send(Request::get(target), "").await?;
    expect(response.status(), 200)?;
    let mut body = response.into_body();
    loop {
        let frame = body.frame().await.context("the stream ended")??;
        let data = frame.into_data().ok().context("a stream has trailers")?;
        for line in std::str::from_utf8(&data)?.lines() {
            match payload::line(line)? {
                Line::Position { .. } if line.contains("connected") => note(Event::Opened),
                Line::Told { notice, .. } => note(Event::Told(notice)),
                _ => {}
            }
        }
    }
}

/// A stream is told *stalled* and *resumed* in turn; a node that was unready for a while has told its streams so.
fn check(events: &[(Instant, Event)], states: &[(Instant, State)]) -> Vec<String> {
    let (mut faults, mut opened, mut stalled) = (Vec::new(), None, None);
    // From when to when the stream was told that it is stalled, and open.
    let (mut stalls, mut opens) = (Vec::new(), Vec::new());
    let end = (Instant::now(), Event::Broken);
    for (at, event) in events.iter().chain([&end]) {
        match event {
            Event::Opened => opened = Some(*at),
            Event::Told(Notice::Stalled) if stalled.is_some() => {
                faults.push("a stream was told twice that it is stalled".to_owned());
            }
            Event::Told(Notice::Stalled) => stalled = Some(*at),
            Event::Told(Notice::Resumed) => match stalled.take() {
                Some(from) => stalls.push((from, *at)),
                None => faults.push("a stream resumed that was not stalled".to_owned()),
            },
            Event::Told(Notice::Reset | Notice::Missed) => {}
            Event::Broken => {
                stalls.extend(stalled.take().map(|from| (from, *at)));
                opens.extend(opened.take().map(|from| (from, *at)));
            }
        }
    }
    for (begin, end, state) in spans(states) {
        let is_long = matches!(state, State::Unready(_)) && end - begin > 2 * SILENCE;
        let is_open = opens.iter().any(|(from, to)| *from + SILENCE < begin && *to > begin + SILENCE);
        let is_told = stalls.iter().any(|(from, to)| *from < end && *to > begin);
        if is_long && is_open && !is_told {
            faults.push(format!("a stream was not told that it is stalled: {state:?}"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_stream_must_be_told_of_a_long_stall_once() {
        let at = |seconds| Instant::now() - Duration::from_secs(100) + SECOND * seconds;
        let states = [(at(0), State::Ready), (at(10), State::Unready("away".into())), (at(20), State::Ready)];
        let stalled = |seconds| (at(seconds), Event::Told(Notice::Stalled));
        let resumed = |seconds| (at(seconds), Event::Told(Notice::Resumed));
        let opened = (at(0), Event::Opened);
        assert!(check(&[opened, stalled(10), resumed(20)], &states).is_empty());
        assert_eq!(check(&[opened], &states).len(), 1);
        assert_eq!(check(&[opened, stalled(10), stalled(11), resumed(20)], &states).len(), 1);
        assert_eq!(check(&[opened, resumed(5), stalled(10)], &states).len(), 1);
        assert!(check(&[opened, (at(9), Event::Broken)], &states).is_empty());
        assert!(check(&[opened], &states[..1]).is_empty());
    }

    #[test]
    fn the_first_word_of_not_being_ready_counts() {
        let now = Instant::now();
        let at = |seconds| now - Duration::from_secs(100) + SECOND * seconds;
        let states =
            vec![(at(0), State::Ready), (at(10), State::Unready("away".into())), (at(20), State::Ready)];
        let none = || tokio::task::JoinSet::<()>::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let watch = runtime.block_on(async {
            let mut tasks = none();
            let task = tasks.spawn(async {});
            Watch {
                states: Rc::new(RefCell::new(states)),
                events: Changes::default(),
                tasks: [task.clone(), task],
            }
        });
        assert_eq!(watch.unready_since(at(5)), Some((at(10), "away".into())));
        assert_eq!(watch.unready_since(at(25)), None);
        assert!(watch.was_unready(at(19), at(30)) && !watch.was_unready(at(21), at(30)));
        assert_eq!(watch.unready_after(at(15)), 5 * SECOND);
    }
}
