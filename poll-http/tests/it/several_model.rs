//! Reading several channels against a plain model: whatever is published, evicted, ended or lost in a restart, and however
//! the list and the pattern change between two requests, each message of each channel is given once and in order, or told
//! as missed.

use std::collections::BTreeMap;

use poll_core::{ChannelName, Payload, Publish, Retention};
use proptest::prelude::*;
use serde_json::Value;

use crate::world::{World, pass};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const RETAINED: u64 = 3;

#[derive(Debug, Clone)]
enum Step {
    Publish(usize, usize),
    Close(usize),
    /// Everything in memory is gone.
    Restart,
    /// The reader forgets its token.
    Forget,
    Poll(Poll, Vec<usize>, usize),
    /// A long poll that waits until this is published.
    Wait(Vec<usize>, usize),
    /// A stream of which so many lines are read.
    Stream(Pattern, Vec<usize>, usize),
}

#[derive(Debug, Clone, Copy)]
enum Poll {
    Short,
    Long,
}

#[derive(Debug, Clone, Copy)]
enum Pattern {
    Lines,
    Events,
    Push,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let channel = || 0..NAMES.len();
    let list = || proptest::sample::subsequence((0..NAMES.len()).collect::<Vec<_>>(), 2..=NAMES.len());
    let poll = prop_oneof![Just(Poll::Short), Just(Poll::Long)];
    let pattern = prop_oneof![Just(Pattern::Lines), Just(Pattern::Events), Just(Pattern::Push)];
    let step = prop_oneof![
        8 => (channel(), 1usize..6).prop_map(|(channel, count)| Step::Publish(channel, count)),
        1 => channel().prop_map(Step::Close),
        1 => Just(Step::Restart),
        1 => Just(Step::Forget),
        6 => (poll, list(), 1usize..8).prop_map(|(poll, list, limit)| Step::Poll(poll, list, limit)),
        2 => (list(), channel()).prop_map(|(list, channel)| Step::Wait(list, channel)),
        5 => (pattern, list(), 0usize..8).prop_map(|(pattern, list, lines)| Step::Stream(pattern, list, lines)),
    ];
    prop::collection::vec(step, 0..40)
}

/// A channel as the model knows it.
#[derive(Default)]
struct Channel {
    /// The time of each message, as a number that grows over all channels.
    all: Vec<u64>,
    evicted: u64,
    ended: bool,
}

impl Channel {
    fn newest(&self) -> u64 {
        self.all.len() as u64
    }

    fn is_born(&self) -> bool {
        self.ended || !self.all.is_empty()
    }
}

/// What the reader's token says of a channel.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Place {
    /// Before its first message.
    Unborn,
    /// After this message of its life that began with this restart.
    After(u64, u64),
}

/// Where a read of a channel begins.
struct Begin {
    from: u64,
    missed: u64,
    reset: bool,
}

struct Model {
    world: World,
    channels: Vec<Channel>,
    life: u64,
    published: u64,
    token: Option<String>,
    places: BTreeMap<usize, Place>,
}

impl Model {
    fn place(&self, channel: usize, number: u64) -> Place {
        if self.channels[channel].is_born() { Place::After(self.life, number) } else { Place::Unborn }
    }

    fn begin(&self, channel: usize, otherwise: u64) -> Begin {
        let Channel { evicted, .. } = self.channels[channel];
        let kept = |number: u64| {
            let from = number.max(evicted);
            Begin { from, missed: from - number, reset: false }
        };
        match self.places.get(&channel) {
            None => kept(otherwise),
            Some(Place::Unborn) => kept(0),
            Some(Place::After(life, number)) if *life == self.life && self.channels[channel].is_born() => {
                kept(*number)
            }
            Some(Place::After(..)) => Begin { from: evicted, missed: 0, reset: true },
        }
    }

    /// The messages after these numbers, by time.
    fn after(&self, begun: &[(usize, Begin)]) -> Vec<(usize, u64)> {
        let of = |(channel, begin): &(usize, Begin)| {
            let (channel, from) = (*channel, begin.from);
            (from + 1..=self.channels[channel].newest()).map(move |number| (channel, number))
        };
        let mut all: Vec<_> = begun.iter().flat_map(of).collect();
        all.sort_by_key(|&(channel, number)| self.channels[channel].all[number as usize - 1]);
        all
    }

    fn target(&self, pattern: &str, list: &[usize]) -> String {
        let names: String =
            list.iter().rev().map(|&channel| format!("channel={}&", NAMES[channel])).collect();
        let token = self.token.as_ref().map_or(String::new(), |token| format!("cursor={token}"));
        format!("/api/{pattern}?{names}{token}")
    }

    async fn publish(&mut self, channel: usize, count: usize) {
        if self.channels[channel].ended {
            return;
        }
        for _ in 0..count {
            pass(1).await;
            self.published += 1;
            let payload = Payload::text(self.published.to_string());
            let name = ChannelName::parse(NAMES[channel]).unwrap();
            self.world.store.publish(self.world.now(), &name, Publish::one(payload)).await.unwrap();
            let model = &mut self.channels[channel];
            model.all.push(self.published);
            model.evicted = model.newest().saturating_sub(RETAINED);
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Publish(channel, count) => self.publish(channel, count).await,
            Step::Close(channel) => {
                let name = ChannelName::parse(NAMES[channel]).unwrap();
                self.world.store.close(self.world.now(), &name).await.unwrap();
                self.channels[channel].ended = true;
            }
            Step::Restart => {
                self.world = World::retaining(retention());
                self.channels = NAMES.iter().map(|_| Channel::default()).collect();
                self.life += 1;
            }
            Step::Forget => {
                self.token = None;
                self.places.clear();
            }
            Step::Poll(poll, list, limit) => {
                let pattern = if matches!(poll, Poll::Short) { "poll" } else { "longpoll" };
                let target = format!("{}&limit={limit}&timeout=0.1", self.target(pattern, &list));
                let answer = self.world.get(&target).await;
                assert_eq!(answer.status, 200, "{target}: {}", answer.text());
                self.check(&list, limit, &answer.json());
            }
            Step::Wait(list, channel) => {
                let begun: Vec<_> = list.iter().map(|&channel| (channel, self.begin(channel, 0))).collect();
                let ended = list.iter().all(|&channel| self.channels[channel].ended);
                let comes = list.contains(&channel) && !self.channels[channel].ended;
                if !self.after(&begun).is_empty() || ended || !comes {
                    return;
                }
                let waiting = self.world.later(&format!("{}&timeout=30", self.target("longpoll", &list)));
                self.world.until_waiting(1).await;
                self.publish(channel, 1).await;
                let answer = waiting.await.unwrap().json();
                assert_eq!(answer["count"], 1, "{answer}");
                self.check(&list, 1_000, &answer);
            }
            Step::Stream(pattern, list, lines) => self.stream(pattern, &list, lines).await,
        }
        assert_eq!((self.world.waiters(), self.world.store.notifier().waiting()), (0, 0));
    }

    /// Compares a poll's answer, and moves the reader.
    fn check(&mut self, list: &[usize], limit: usize, answer: &Value) {
        let begun: Vec<_> = list.iter().map(|&channel| (channel, self.begin(channel, 0))).collect();
        let expected = self.after(&begun);
        let names =
            |members: Vec<Value>| if members.is_empty() { Value::Null } else { Value::Array(members) };
        let missed = begun.iter().filter(|(_, begin)| begin.missed > 0);
        let missed = missed
            .map(|(channel, begin)| serde_json::json!({"channel": NAMES[*channel], "missed": begin.missed}));
        assert_eq!(answer["missed"], names(missed.collect()), "{answer}");
        let resets = begun.iter().filter(|(_, begin)| begin.reset).map(|(channel, _)| NAMES[*channel].into());
        assert_eq!(answer["reset"], names(resets.collect()), "{answer}");
        let messages = answer["messages"].as_array().unwrap();
        assert_eq!(messages.len(), limit.min(expected.len()), "{answer}");
        let mut next: BTreeMap<usize, u64> =
            begun.iter().map(|(channel, begin)| (*channel, begin.from)).collect();
        let mut before = 0;
        for message in messages {
            let channel = NAMES.iter().position(|name| message["channel"] == *name).unwrap();
            let number = next.get_mut(&channel).unwrap();
            *number += 1;
            assert_eq!(message["id"], *number, "{answer}");
            let content = self.channels[channel].all[*number as usize - 1];
            assert_eq!(message["content"], content.to_string());
            assert!(content > before, "by time: {answer}");
            before = content;
        }
        let over = next.iter().all(|(&channel, &number)| {
            let channel = &self.channels[channel];
            channel.ended && number.max(channel.evicted) == channel.newest()
        });
        assert_eq!(answer["closed"], if over { Value::Bool(true) } else { Value::Null }, "{answer}");
        self.places =
            next.into_iter().map(|(channel, number)| (channel, self.place(channel, number))).collect();
        self.token = Some(answer["cursor"].as_str().unwrap().to_owned());
    }

    async fn stream(&mut self, pattern: Pattern, list: &[usize], lines: usize) {
        let now = |channel: usize| self.channels[channel].newest();
        let begun: Vec<_> =
            list.iter().map(|&channel| (channel, self.begin(channel, now(channel)))).collect();
        let (path, fields): (_, &[_]) = match pattern {
            Pattern::Lines => ("stream", &[]),
            Pattern::Events => ("stream", &[("accept", "text/event-stream")]),
            Pattern::Push => ("push", &[]),
        };
        let over = list.iter().all(|&channel| self.channels[channel].ended);
        let expected = self.after(&begun);
        let told = begun.iter().any(|(_, begin)| begin.missed > 0 || begin.reset);
        let mut wire = self.world.connect();
        wire.send("GET", &self.target(path, list), fields, b"").await;
        let head = wire.head().await;
        if matches!(pattern, Pattern::Events) && over && self.token.is_some() && expected.is_empty() && !told
        {
            assert_eq!(head.status, 204);
            return;
        }
        assert_eq!(head.status, 200);
        let connected = line(wire.chunk().await, pattern);
        let mut places: BTreeMap<usize, Place> = BTreeMap::new();
        for (channel, begin) in &begun {
            let known = self.places.get(channel).copied();
            let place = match known {
                // In no life: what is still to be told is told next time.
                _ if begin.reset => Place::After(u64::MAX, 0),
                Some(Place::After(life, number)) => Place::After(life, number),
                Some(Place::Unborn) => self.place(*channel, 0),
                None => self.place(*channel, begin.from),
            };
            places.insert(*channel, place);
        }
        let mut token = connected["cursor"].as_str().unwrap().to_owned();
        let resets = begun.iter().filter(|(_, begin)| begin.missed > 0 || begin.reset);
        let events: Vec<(usize, u64, Option<&Begin>)> = resets
            .map(|(channel, begin)| (*channel, begin.from, Some(begin)))
            .chain(expected.iter().map(|&(channel, number)| (channel, number, None)))
            .collect();
        for (channel, number, begin) in events.iter().take(lines) {
            let line = line(wire.chunk().await, pattern);
            assert_eq!(line["channel"], NAMES[*channel], "{line}");
            match begin {
                Some(begin) => {
                    assert_eq!(line["type"], "reset");
                    assert_eq!(line["missed"], if begin.reset { Value::Null } else { begin.missed.into() });
                }
                None => {
                    assert_eq!((&line["type"], &line["id"]), (&"update".into(), &(*number).into()));
                    assert_eq!(
                        line["message"],
                        self.channels[*channel].all[*number as usize - 1].to_string()
                    );
                }
            }
            places.insert(*channel, self.place(*channel, *number));
            token = line["cursor"].as_str().unwrap().to_owned();
        }
        if over && lines >= events.len() {
            let closed = line(wire.chunk().await, pattern);
            assert_eq!((closed["type"].as_str(), closed["reason"].as_str()), (Some("closed"), Some("ended")));
            assert_eq!(wire.chunk().await, None);
        }
        wire.leave().await;
        (self.places, self.token) = (places, Some(token));
    }
}

/// A chunk as the JSON in it.
fn line(chunk: Option<String>, pattern: Pattern) -> Value {
    let chunk = chunk.expect("another line");
    let json = match pattern {
        Pattern::Events => chunk.lines().find_map(|line| line.strip_prefix("data: ")).expect("an event"),
        Pattern::Lines | Pattern::Push => &chunk,
    };
    serde_json::from_str(json).unwrap()
}

fn retention() -> Retention {
    Retention { messages: RETAINED, ..Retention::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn every_message_is_given_once_and_in_order_or_told_as_missed(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let mut model = Model {
                world: World::retaining(retention()),
                channels: NAMES.iter().map(|_| Channel::default()).collect(),
                life: 0,
                published: 0,
                token: None,
                places: BTreeMap::new(),
            };
            for step in steps {
                model.take(step).await;
            }
        });
    }
}
