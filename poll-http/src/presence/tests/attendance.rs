//! Waits and time against a model: a client is present while it waits, and for ten seconds after.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use poll_core::{ChannelName, Kind, Memory, Timestamp};
use proptest::prelude::*;
use tokio::time::Instant;

use crate::presence::attendance::{Attendance, Full, LINGER, MOST_ON_A_CHANNEL, News, Sooner};
use crate::presence::record::Names;

const ALL: usize = usize::MAX;

fn channel(number: u8) -> ChannelName {
    ChannelName::parse(&format!("c{number}")).unwrap()
}

fn client(number: u8) -> Arc<str> {
    format!("n{number}").into()
}

fn fresh() -> Attendance {
    Attendance::new(Memory::new(0))
}

/// What the log hears: `+` and `-` with the client.
fn heard(attendance: &mut Attendance) -> Vec<String> {
    let Some(changes) = attendance.take_changes(ALL) else { return Vec::new() };
    let joined = changes.joined.iter().map(|(_, client, _)| format!("+{client}"));
    let left = changes.left.iter().map(|(_, client, _)| format!("-{client}"));
    joined.chain(left).collect()
}

#[tokio::test(start_paused = true)]
async fn a_client_is_present_leaving_and_gone() {
    let (at, one) = (Timestamp::from_millis(7), client(1));
    let start = Instant::now();
    let second = |seconds| start + Duration::from_secs(seconds);
    // What happens at which second, how many are present afterwards, and what the log hears of it.
    let table: [(u64, &str, usize, &[&str]); 12] = [
        (0, "begin", 1, &["+n1"]),
        (1, "begin", 1, &[]),
        (2, "end", 1, &[]),
        (50, "pass", 1, &[]),
        (51, "end", 1, &[]),
        (60, "pass", 1, &[]),
        (60, "begin", 1, &[]),
        (70, "pass", 1, &[]),
        (70, "end", 1, &[]),
        (79, "pass", 1, &[]),
        (80, "pass", 0, &["-n1"]),
        (81, "begin", 1, &["+n1"]),
    ];
    let mut attendance = fresh();
    for (row, (when, what, present, hears)) in table.into_iter().enumerate() {
        match what {
            "begin" => {
                attendance.begin(&channel(1), &one, at).unwrap();
            }
            "end" => {
                attendance.end(&channel(1), &one, second(when));
            }
            _ => attendance.advance(second(when)),
        }
        assert_eq!(attendance.len(), present, "row {row}");
        assert_eq!(attendance.present(&channel(1)).count(), present, "row {row}");
        assert_eq!(heard(&mut attendance), hears, "row {row}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_back_before_the_log_hears_was_never_away() {
    let (at, one, start) = (Timestamp::from_millis(7), client(1), Instant::now());
    let mut attendance = fresh();
    assert_eq!(attendance.begin(&channel(1), &one, at), Ok(Some(News)));
    assert_eq!(heard(&mut attendance), ["+n1"]);
    assert_eq!(attendance.end(&channel(1), &one, start), Some(Sooner));
    attendance.advance(start + LINGER);
    assert_eq!(attendance.begin(&channel(1), &one, at), Ok(None));
    assert_eq!((heard(&mut attendance).len(), attendance.len()), (0, 1));
    // And one that went before the log heard of it was never there.
    assert_eq!(attendance.begin(&channel(2), &one, at), Ok(Some(News)));
    assert_eq!(attendance.end(&channel(2), &one, start), Some(Sooner));
    attendance.advance(start + LINGER);
    assert_eq!((heard(&mut attendance).len(), attendance.len()), (0, 1));
}

#[test]
fn what_is_kept_has_bounds_and_all_of_it_is_charged() {
    let (at, memory) = (Timestamp::from_millis(7), Memory::new(8 * 10_000));
    let mut attendance = Attendance::new(memory.clone());
    let (mut taken, mut refused) = (0, 0);
    for number in 0..100 {
        match attendance.begin(&channel(number), &client(number), at) {
            Ok(_) => taken += 1,
            Err(Full) => refused += 1,
        }
    }
    assert!(taken >= 30 && refused >= 30, "{taken} {refused}");
    assert!(memory.used(Kind::Presence) > 9_000);
    drop(attendance);
    assert_eq!(memory.used(Kind::Presence), 0);

    let mut attendance = fresh();
    for number in 0..MOST_ON_A_CHANNEL {
        attendance.begin(&channel(1), &number.to_string().into(), at).unwrap();
    }
    assert_eq!(attendance.begin(&channel(1), &client(1), at), Err(Full));
    assert_eq!(attendance.begin(&channel(2), &client(1), at), Ok(Some(News)));
    assert_eq!(attendance.end(&channel(1), &client(1), Instant::now()), None);
}

#[derive(Debug, Clone)]
enum Step {
    Begin(u8, u8),
    End(u8, u8),
    Pass(u64),
    Hear,
    HearAll,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pair = || (0..2_u8, 0..3_u8);
    let step = prop_oneof![
        4 => pair().prop_map(|(channel, client)| Step::Begin(channel, client)),
        4 => pair().prop_map(|(channel, client)| Step::End(channel, client)),
        4 => (0..15_000_u64).prop_map(Step::Pass),
        2 => Just(Step::Hear),
        1 => Just(Step::HearAll),
    ];
    proptest::collection::vec(step, 0..60)
}

/// The model: open waits, and when the last one ended.
#[derive(Default)]
struct Model {
    waits: BTreeMap<(u8, u8), u32>,
    ended: BTreeMap<(u8, u8), Instant>,
}

impl Model {
    fn present(&self, now: Instant) -> BTreeSet<(u8, u8)> {
        let waiting = self.waits.iter().filter(|(_, waits)| **waits > 0).map(|(pair, _)| *pair);
        let lingering = self.ended.iter().filter(|(_, at)| now < **at + LINGER).map(|(pair, _)| *pair);
        waiting.chain(lingering).collect()
    }
}

proptest! {
    #[test]
    fn the_model_agrees_on_who_is_present_and_on_what_the_log_knows(steps in steps()) {
        let (mut attendance, mut model, mut now) = (fresh(), Model::default(), Instant::now());
        let mut log = BTreeSet::new();
        for step in steps {
            match step {
                Step::Begin(on, who) => {
                    attendance.begin(&channel(on), &client(who), Timestamp::from_millis(1)).unwrap();
                    *model.waits.entry((on, who)).or_default() += 1;
                    model.ended.remove(&(on, who));
                }
                Step::End(on, who) => {
                    let waits = model.waits.entry((on, who)).or_default();
                    if *waits > 0 {
                        *waits -= 1;
                        if *waits == 0 {
                            model.ended.insert((on, who), now);
                        }
                        attendance.end(&channel(on), &client(who), now);
                    }
                }
                Step::Pass(millis) => now += Duration::from_millis(millis),
                Step::Hear => {
                    if let Some(changes) = attendance.take_changes(ALL) {
                        for (on, who, _) in changes.joined.iter() {
                            prop_assert!(log.insert((on, who.to_owned())), "it was there");
                        }
                        for (on, who, _) in changes.left.iter() {
                            prop_assert!(log.remove(&(on, who.to_owned())), "it was not there");
                        }
                    }
                }
                Step::HearAll => {
                    let pieces = attendance.take_all(3);
                    let all = pieces.iter().flat_map(Names::iter);
                    log = all.map(|(on, who, _)| (on, who.to_owned())).collect();
                }
            }
            attendance.advance(now);
            let expected = model.present(now);
            prop_assert_eq!(attendance.len(), expected.len());
            for on in 0..2 {
                let names: BTreeSet<Arc<str>> =
                    attendance.present(&channel(on)).map(|(name, _)| name.clone()).collect();
                let of = expected.iter().filter(|(there, _)| *there == on);
                prop_assert_eq!(names, of.map(|(_, who)| client(*who)).collect::<BTreeSet<_>>());
            }
            let next = model.ended.values().filter(|at| now < **at + LINGER).map(|at| *at + LINGER).min();
            prop_assert_eq!(attendance.next_leave(), next);
        }
        if let Some(changes) = attendance.take_changes(ALL) {
            log.extend(changes.joined.iter().map(|(on, who, _)| (on, who.to_owned())));
            changes.left.iter().for_each(|(on, who, _)| {
                log.remove(&(on, who.to_owned()));
            });
        }
        let expected = model.present(now).into_iter().map(|(on, who)| (channel(on), client(who).to_string()));
        prop_assert_eq!(log, expected.collect::<BTreeSet<_>>());
    }
}
