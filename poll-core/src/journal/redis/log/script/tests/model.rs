//! The script against a plain model of one partition.

use std::collections::HashMap;

use proptest::prelude::*;

use super::fixture::{Redis, name, next};
use super::forget::Forget;
use super::tables::same_partition;
use crate::journal::Stretch;
use crate::journal::redis::log::announcement::{Change, Content};
use crate::journal::redis::log::life::{Deed, Life};
use crate::journal::redis::log::script::{Load, Published, Read, Seal};
use crate::types::{ChannelName, Ending, Epoch, Limit, Payload, Retention, Seq, SeqRange, Timestamp};

/// What is done to one of three channels.
#[derive(Debug, Clone)]
enum Step {
    /// Payloads by their size, whether it closes, under which key.
    Publish(usize, Vec<u8>, Ending, Option<u8>),
    Forget(usize),
    Seal(usize),
    Load(usize, usize),
    Read(usize, u64, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let ending = prop_oneof![19 => Just(Ending::Open), 1 => Just(Ending::Close)];
    let payloads = prop::collection::vec(any::<u8>(), 0..4);
    let key = prop_oneof![2 => Just(None), 1 => (0u8..4).prop_map(Some)];
    prop_oneof![
        8 => (0usize..3, payloads, ending, key)
            .prop_map(|(channel, payloads, ending, key)| Step::Publish(channel, payloads, ending, key)),
        1 => (0usize..3).prop_map(Step::Forget),
        2 => (0usize..3).prop_map(Step::Seal),
        2 => (0usize..3, 1usize..8).prop_map(|(channel, limit)| Step::Load(channel, limit)),
        2 => (0usize..3, 0u64..12, 1usize..8).prop_map(|(channel, after, limit)| Step::Read(channel, after, limit)),
    ]
}

#[derive(Debug, Default)]
struct Channel {
    life: Option<Life>,
    epoch: Epoch,
    messages: Vec<(Timestamp, Payload)>,
    keys: HashMap<u8, (Vec<Payload>, SeqRange)>,
    sealed: u64,
}

const MOST: usize = 6;

impl Channel {
    fn oldest(&self) -> u64 {
        self.messages.len().saturating_sub(MOST) as u64 + 1
    }

    /// The numbers and payloads after a number.
    fn after(&self, after: u64, limit: usize) -> Vec<(u64, Payload)> {
        let numbered = (1..).zip(self.messages.iter().map(|(_, payload)| payload.clone()));
        numbered.filter(|(seq, _)| *seq > after && *seq >= self.oldest()).take(limit).collect()
    }
}

fn numbered(messages: &[std::sync::Arc<crate::types::Message>]) -> Vec<(u64, Payload)> {
    messages.iter().map(|message| (message.seq.get(), message.payload.clone())).collect()
}

fn publish(redis: &mut Redis, name: &ChannelName, model: &mut Channel, step: &Step, births: u64) {
    let Step::Publish(_, sizes, ending, key) = step else { return };
    let payloads: Vec<_> = sizes.iter().map(|size| Payload::bytes(vec![*size; (*size).into()])).collect();
    let mut publish = redis.publish(name, payloads.clone());
    publish.birth = crate::journal::redis::log::generation::Birth::random(births);
    publish.ending = *ending;
    if let Some(key) = key {
        publish = publish.under(&format!("{key}"));
    }
    let count = redis.known.mark.count;
    let published = redis.done(&publish);
    let life = model.life.unwrap_or(Life::Absent);
    if let Some((known, numbers)) = key.and_then(|key| model.keys.get(&key)) {
        let expected = if *known == payloads {
            Published::Repeated(model.epoch, *numbers)
        } else {
            Published::KeyReused
        };
        assert_eq!(published, expected);
        return assert_eq!(redis.known.mark.count, count);
    }
    let Ok(after) = life.after(Deed::Publish(*ending)) else {
        assert_eq!(published, Published::Closed);
        return assert_eq!(redis.known.mark.count, count);
    };
    let Published::Kept(kept) = published else { panic!("{published:?}") };
    assert_eq!(redis.known.mark.count, count + 1);
    if life.is_born_by_a_publish() {
        model.epoch = redis.known.mark.generation.epoch(publish.birth);
    }
    assert_eq!(redis.known.mark.generation.epoch(kept.birth), model.epoch);
    let before = Seq::new(model.messages.len() as u64);
    assert_eq!((kept.before, kept.ending, kept.count as usize), (before, *ending, payloads.len()));
    if !payloads.is_empty() {
        assert!(model.messages.last().is_none_or(|(at, _)| kept.first_at > *at));
        assert!(kept.first_at.as_millis() > model.sealed, "after a seal");
    }
    model.life = Some(after);
    model.messages.extend(kept.stamps().zip(&payloads).map(|((_, at), payload)| (at, payload.clone())));
    if let Some(key) = key {
        let numbers = SeqRange { after: before, count: kept.count };
        model.keys.insert(*key, (payloads, numbers));
    }
}

fn take(redis: &mut Redis, names: &[ChannelName], models: &mut [Channel; 3], step: &Step, births: u64) {
    match step {
        Step::Publish(channel, ..) => publish(redis, &names[*channel], &mut models[*channel], step, births),
        Step::Forget(channel) => {
            let model = &mut models[*channel];
            let epoch = redis.done(&Forget(names[*channel].clone()));
            assert_eq!(epoch, model.life.map(|_| model.epoch));
            *model = Channel { sealed: model.sealed, ..Channel::default() };
            // What was sealed of a channel that is gone is not promised to its successor.
            model.sealed = 0;
        }
        Step::Seal(channel) => {
            let model = &mut models[*channel];
            let millis = model.messages.last().map_or(0, |(at, _)| at.as_millis());
            let sealed = redis.done(&Seal { channel: names[*channel].clone(), millis });
            assert!(sealed.millis <= millis);
            let newest = model.life.map(|_| (model.epoch, Seq::new(model.messages.len() as u64)));
            assert_eq!(sealed.newest, newest);
            model.sealed = model.sealed.max(sealed.millis);
        }
        Step::Load(channel, limit) => {
            let model = &models[*channel];
            let load = Load { channel: names[*channel].clone(), limit: Limit::messages(*limit) };
            let loaded = redis.done(&load);
            assert_eq!(loaded.is_some(), model.life.is_some());
            let Some(loaded) = loaded else { return };
            let newest = model.messages.len() as u64;
            assert_eq!((loaded.epoch, loaded.newest.0.get()), (model.epoch, newest));
            assert_eq!(loaded.ended, model.life == Some(Life::Closed));
            assert_eq!(loaded.oldest.0.get(), model.oldest());
            let after = newest.saturating_sub(*limit as u64);
            assert_eq!(numbered(&loaded.tail), model.after(after, *limit));
        }
        Step::Read(channel, after, limit) => {
            let (model, limit) = (&models[*channel], Limit::messages(*limit));
            let (channel, epoch) = (names[*channel].clone(), model.epoch);
            let range = redis.done(&Read(Stretch { channel, epoch, after: Seq::new(*after), limit }));
            assert_eq!(range.is_some(), model.life.is_some());
            let Some(range) = range else { return };
            assert_eq!(range.newest.get() as usize, model.messages.len());
            assert_eq!(numbered(&range.piece.messages), model.after(*after, limit.messages));
        }
    }
}

/// Rebuilds the channels from what was announced.
fn heard(heard: &mut HashMap<ChannelName, Vec<Payload>>, change: Change) {
    match change {
        Change::Renewed => {}
        Change::Lived(..) => panic!("nothing here has a life"),
        Change::Forgotten(channel, _) => drop(heard.remove(&channel)),
        Change::Kept(channel, kept, content) => {
            let Content::Messages(messages) = content else { panic!("small ones are announced") };
            let log = heard.entry(channel).or_default();
            assert_eq!(log.len() as u64, kept.before.get());
            log.extend(messages.iter().map(|message| message.payload.clone()));
        }
    }
}

#[test]
fn the_script_does_what_the_model_does() {
    let retention = Retention { messages: MOST as u64, ..Retention::default() };
    let mut redis = Redis::new(retention);
    let names = [name("default"), same_partition(0), same_partition(1)];
    let mut announced = redis.subscribe(&names[0]);
    let mut births = 0;
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(200));
    let redis = std::cell::RefCell::new((&mut redis, &mut announced, &mut births));
    let steps = prop::collection::vec(step(), 1..60);
    runner
        .run(&steps, |steps| {
            let (redis, announced, births) = &mut *redis.borrow_mut();
            let mut models: [Channel; 3] = Default::default();
            let from = redis.known.mark.count;
            for step in &steps {
                **births += 1;
                take(redis, &names, &mut models, step, **births);
            }
            let mut log = HashMap::new();
            let to = redis.known.mark.count;
            for count in from + 1..=to {
                let announcement = next(announced);
                assert_eq!(announcement.mark.count, count);
                heard(&mut log, announcement.change);
            }
            for (name, model) in names.iter().zip(&models) {
                let payloads: Vec<_> = model.messages.iter().map(|(_, payload)| payload.clone()).collect();
                assert_eq!(log.remove(name).unwrap_or_default(), payloads);
                let was = redis.done(&Forget(name.clone()));
                if was.is_some() {
                    next(announced);
                }
            }
            Ok(())
        })
        .unwrap();
}
