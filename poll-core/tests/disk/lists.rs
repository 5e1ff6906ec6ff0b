//! Reading several channels at once from a disk: over restarts and beyond what is in memory, with one token over all.

use std::collections::BTreeMap;

use poll_core::journal::Tail;
use poll_core::journal::disk::Options;
use poll_core::{
    ChannelList, Continuity, Life, Limit, ListStart, Payload, Place, Position, Publish, Retention, Timestamp,
    Token,
};
use proptest::prelude::*;

use crate::fake::FakeDisk;
use crate::fixture::{Disk, NOON, name, open, unbounded};

const NAMES: [&str; 3] = ["a", "b", "c"];
const RETAINED: u64 = 6;

#[derive(Debug, Clone)]
enum Step {
    Publish(usize, usize),
    Close(usize),
    Restart,
    Read(Vec<usize>, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let channel = || 0..NAMES.len();
    let list = proptest::sample::subsequence(vec![0, 1, 2], 1..=3);
    let step = prop_oneof![
        6 => (channel(), 1usize..6).prop_map(|(channel, count)| Step::Publish(channel, count)),
        1 => channel().prop_map(Step::Close),
        2 => Just(Step::Restart),
        6 => (list, 1usize..9).prop_map(|(list, limit)| Step::Read(list, limit)),
    ];
    prop::collection::vec(step, 1..30)
}

/// A tail of two messages a channel, and two channels in memory: most is read from the file.
fn options() -> Options {
    Options { tail: Tail { bytes: 300, channels: 2, ..Options::default().tail }, ..Options::default() }
}

fn retention() -> Retention {
    Retention { messages: RETAINED, ..unbounded() }
}

struct Model {
    disk: FakeDisk,
    open: Disk,
    now: Timestamp,
    /// The newest number of each channel, and whether it has ended.
    channels: [(u64, bool); NAMES.len()],
    token: Option<String>,
    places: BTreeMap<usize, u64>,
}

impl Model {
    async fn take(mut self, step: Step) -> Self {
        match step {
            Step::Publish(channel, count) => {
                let (newest, ended) = &mut self.channels[channel];
                for _ in 0..if *ended { 0 } else { count } {
                    self.now = self.now.next();
                    let publish = Publish::one(Payload::text(self.now.as_micros().to_string()));
                    self.open.store.publish(self.now, &name(NAMES[channel]), publish).await.unwrap();
                    *newest += 1;
                }
            }
            Step::Close(channel) => {
                self.open.store.close(self.now, &name(NAMES[channel])).await.unwrap();
                self.channels[channel].1 = true;
            }
            Step::Restart => {
                self.open.close().await;
                self.open = open(self.disk.port(), retention(), options()).await;
            }
            Step::Read(list, limit) => self.read(&list, limit).await,
        }
        self
    }

    /// Reads as polls do until nothing is left, each with the token of the one before.
    async fn read(&mut self, indices: &[usize], limit: usize) {
        let list = ChannelList::new(indices.iter().map(|&index| name(NAMES[index])));
        let mut told: BTreeMap<usize, u64> = BTreeMap::new();
        let mut next: BTreeMap<usize, u64> =
            indices.iter().map(|index| (*index, self.places.get(index).copied().unwrap_or(0))).collect();
        loop {
            let start = self.token.as_ref().map_or(ListStart::Each(Position::Start), |token| {
                ListStart::Token { token: token.parse::<Token>().unwrap(), otherwise: Position::Start }
            });
            let store = &self.open.store;
            let (places, states): (Vec<Place>, Vec<_>) =
                store.pin_list(self.now, &list, &start).await.unwrap().into_iter().unzip();
            let due = states.into_iter().map(Some).enumerate();
            let limit = Limit::messages(limit);
            let view = store.read_list(self.now, &list, &places, due, limit).await.unwrap();
            for (channel, state) in &view.looks {
                assert_eq!(state.continuity, Continuity::Kept);
                *told.entry(indices[*channel]).or_default() += state.missed().unwrap();
                *next.get_mut(&indices[*channel]).unwrap() += state.missed().unwrap();
            }
            let mut before = Timestamp::ZERO;
            for entry in view.batch.iter().flat_map(|batch| batch.entries()) {
                let number = next.get_mut(&indices[entry.channel]).unwrap();
                *number += 1;
                assert_eq!(entry.message.seq.get(), *number, "each once, in order, without a hole");
                assert!(entry.message.at >= before);
                before = entry.message.at;
            }
            assert!(view.batch.as_ref().is_none_or(|batch| batch.entries().len() <= limit.messages));
            let mut token = Vec::new();
            list.write_token(&mut token, view.next.iter().map(|place| place.cursor));
            self.token = Some(String::from_utf8(token).unwrap());
            if view.batch.is_none() {
                let ended = indices.iter().all(|index| self.channels[*index].1);
                assert_eq!(view.is_closed(), ended);
                for (place, index) in view.next.iter().zip(indices) {
                    assert_eq!(place.life == Life::Over, self.channels[*index].1);
                }
                break;
            }
        }
        for (index, number) in &next {
            let (newest, _) = self.channels[*index];
            assert_eq!(*number, newest, "all of it was given or told");
            let before = self.places.get(index).copied().unwrap_or(0);
            assert_eq!(told[index], newest.saturating_sub(RETAINED).saturating_sub(before));
        }
        self.places = next;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn a_list_is_read_like_its_channels_over_restarts_and_from_the_file(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let disk = FakeDisk::default();
            let open = open(disk.port(), retention(), options()).await;
            let mut model = Model {
                disk,
                open,
                now: NOON,
                channels: [(0, false); NAMES.len()],
                token: None,
                places: BTreeMap::new(),
            };
            for step in steps {
                model = model.take(step).await;
            }
            model.open.close().await;
        });
    }
}

#[tokio::test]
async fn a_hundred_channels_that_are_not_in_memory_are_read_at_once() {
    let disk = FakeDisk::default();
    let first = open(disk.port(), unbounded(), Options::default()).await;
    let names: Vec<String> = (0..100).map(|number| format!("c{number:02}")).collect();
    for name in &names {
        first.send(NOON, name, name).await;
    }
    first.close().await;
    let again = open(disk.port(), unbounded(), Options::default()).await;
    let list = ChannelList::new(names.iter().map(|text| name(text)));
    let start = ListStart::Each(Position::Start);
    let settled = again.store.pin_list(NOON, &list, &start).await.unwrap();
    assert_eq!(settled.len(), 100);
    let places: Vec<Place> = settled.iter().map(|(place, _)| *place).collect();
    let due = (0..100).map(|channel| (channel, None));
    let view = again.store.read_list(NOON, &list, &places, due, Limit::default()).await.unwrap();
    assert_eq!(view.batch.unwrap().entries().len(), 100);
    again.close().await;
}
