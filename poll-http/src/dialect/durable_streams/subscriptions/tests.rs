//! The rules of subscriptions, one row a step.

mod servers;

use http::StatusCode;
use poll_core::{Cursor, Epoch, Seq, Timestamp};
use proptest::prelude::*;

use super::request::{Configuration, Progress, Turn};
use super::state::{From, Link, NextWake, Seen, Subscription};
use super::wake::{Attempt, AttemptId, Phase, Sent};
use super::{Fault, Keeping, Loopback};
use crate::dialect::durable_streams::offset::Offset;

const WEBHOOK: &str =
    r#"{"type":"webhook","pattern":"events/*","webhook":{"url":"https://w.example/"},"lease_ttl_ms":1000}"#;
const PULL: &str = r#"{"type":"pull-wake","pattern":"**","wake_stream":"wake/pool","lease_ttl_ms":1000}"#;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + millis)
}

fn end(seq: u64) -> Cursor {
    Cursor { epoch: Epoch::new(7), seq: Seq::new(seq) }
}

fn made(configuration: &str) -> Subscription {
    let configuration = Configuration::parse(configuration.as_bytes(), Loopback::Refused).unwrap();
    Subscription::new(configuration, "https://poll.example".into(), at(0))
}

/// A stream has so many messages, none of which the subscription knew.
fn appended(subscription: &mut Subscription, stream: &str, seq: u64, now: u64) {
    subscription.see(stream, Seen::Until(end(seq)), From::After(end(0)));
    subscription.pass(at(now), 1);
}

/// `orders` is another stream now, with so many messages.
fn begun_anew(subscription: &mut Subscription, seq: u64) {
    let anew = |seq| Cursor { epoch: Epoch::new(8), seq: Seq::new(seq) };
    subscription.see("orders", Seen::Until(anew(seq)), From::After(anew(0)));
}

fn attempt(subscription: &mut Subscription, now: u64) -> Option<u64> {
    match subscription.attempt(at(now))? {
        Attempt::Webhook(id, _) | Attempt::Event(id, ..) => Some(id.generation),
    }
}

/// The last attempt for the wake of this generation has ended.
fn answered(subscription: &mut Subscription, now: u64, generation: u64, sent: Sent, random: u128) {
    let tries = match &subscription.phase {
        Phase::Sending { tries, .. } => *tries,
        _ => 0,
    };
    subscription.sent(at(now), AttemptId { generation, tries }, sent, random);
}

fn turn(subscription: &Subscription, acks: &[(&str, u64)], progress: Progress) -> Turn {
    let wake = subscription.phase.wake().unwrap();
    let acks = acks.iter().map(|(stream, seq)| ((*stream).into(), Offset::After(Seq::new(*seq)))).collect();
    Turn { wake_id: wake.id.clone(), generation: wake.generation, acks, progress }
}

fn acked(subscription: &Subscription, stream: &str) -> Option<u64> {
    subscription.links.get(stream).map(|link| link.acked.seq.get())
}

#[test]
fn a_configuration_is_read_and_what_is_none_is_refused() {
    for (text, expected) in [
        (WEBHOOK, Ok(1_000)),
        (PULL, Ok(1_000)),
        (r#"{"type":"pull-wake","streams":["/a/"],"wake_stream":"w"}"#, Ok(30_000)),
        (
            r#"{"type":"pull-wake","pattern":null,"streams":["a"],"wake_stream":"w","description":"d"}"#,
            Ok(30_000),
        ),
        ("", Err("INVALID_REQUEST")),
        ("[]", Err("INVALID_REQUEST")),
        (r#"{"type":"push"}"#, Err("INVALID_REQUEST")),
        (r#"{"type":"webhook","pattern":"a"}"#, Err("INVALID_REQUEST")),
        (
            r#"{"type":"webhook","pattern":"a","webhook":{"url":"http://10.0.0.1/"}}"#,
            Err("WEBHOOK_URL_REJECTED"),
        ),
        (
            r#"{"type":"webhook","pattern":"a","webhook":{"url":"http://127.0.0.1/"}}"#,
            Err("WEBHOOK_URL_REJECTED"),
        ),
        (r#"{"type":"pull-wake","pattern":"a"}"#, Err("INVALID_REQUEST")),
        (r#"{"type":"pull-wake","wake_stream":"w"}"#, Err("INVALID_REQUEST")),
        (r#"{"type":"pull-wake","streams":["w"],"wake_stream":"w"}"#, Err("INVALID_REQUEST")),
        (r#"{"type":"pull-wake","streams":["__ds/secret/0"],"wake_stream":"w"}"#, Err("INVALID_REQUEST")),
        (r#"{"type":"pull-wake","streams":[1],"wake_stream":"w"}"#, Err("INVALID_REQUEST")),
        (r#"{"type":"pull-wake","streams":["a"],"wake_stream":"__ds/x"}"#, Err("INVALID_REQUEST")),
        (
            r#"{"type":"pull-wake","pattern":"a","wake_stream":"w","lease_ttl_ms":999}"#,
            Err("INVALID_REQUEST"),
        ),
        (
            r#"{"type":"pull-wake","pattern":"a","wake_stream":"w","lease_ttl_ms":600001}"#,
            Err("INVALID_REQUEST"),
        ),
        (
            r#"{"type":"pull-wake","pattern":"a","wake_stream":"w","lease_ttl_ms":1e3}"#,
            Err("INVALID_REQUEST"),
        ),
    ] {
        let parsed = Configuration::parse(text.as_bytes(), Loopback::Refused);
        let read = parsed.as_ref().map(Configuration::lease_millis).map_err(|fault| fault.parts().1);
        assert_eq!(read, expected, "{text}");
        if let Ok(configuration) = parsed {
            let again = serde_json::to_vec(&configuration.to_json()).unwrap();
            assert_eq!(Configuration::parse(&again, Loopback::Refused), Ok(configuration), "{text}");
        }
    }
}

#[test]
fn a_wake_begins_with_news_and_ends_with_done_which_acknowledges_what_was_sent() {
    let mut subscription = made(WEBHOOK);
    subscription.pass(at(0), 1);
    assert_eq!(subscription.due(), None);
    appended(&mut subscription, "events/a", 2, 10);
    appended(&mut subscription, "other/a", 2, 10);
    assert_eq!(attempt(&mut subscription, 10), Some(1));
    assert_eq!(attempt(&mut subscription, 11), None, "one is under way");
    // More arrives meanwhile: the next wake tells of it, and not this one.
    appended(&mut subscription, "events/a", 3, 20);
    answered(&mut subscription, 30, 1, Sent::Done, 2);
    assert_eq!((acked(&subscription, "events/a"), acked(&subscription, "other/a")), (Some(2), None));
    assert_eq!(attempt(&mut subscription, 30), Some(2));
    answered(&mut subscription, 31, 1, Sent::Done, 2);
    assert_eq!(acked(&subscription, "events/a"), Some(2), "the first is over");
    answered(&mut subscription, 32, 2, Sent::Done, 2);
    assert_eq!((acked(&subscription, "events/a"), subscription.phase.clone()), (Some(3), Phase::Idle));
}

#[test]
fn what_is_said_of_a_wake_that_is_over_changes_nothing() {
    let mut subscription = made(PULL);
    appended(&mut subscription, "a", 1, 0);
    let never = Turn { wake_id: "w_0".into(), generation: 1, acks: vec![], progress: Progress::Done };
    assert_eq!(subscription.turn(at(0), &never, 2), Err(Fault::Fenced));
    assert_eq!(attempt(&mut subscription, 0), Some(1));
    answered(&mut subscription, 0, 1, Sent::Taken, 2);
    assert!(subscription.claim(at(0), "one", 2).is_ok());
    let held = Fault::AlreadyClaimed { holder: "one".into(), generation: 1 };
    assert_eq!(subscription.claim(at(999), "two", 2).cloned(), Err(held));
    let first = turn(&subscription, &[("a", 1)], Progress::Done);
    // A heartbeat lengthens the lease, and the worker stays its holder.
    let beat = turn(&subscription, &[], Progress::Working);
    assert_eq!(subscription.turn(at(900), &beat, 2), Ok(NextWake::No));
    assert!(matches!(subscription.claim(at(1_899), "two", 2), Err(Fault::AlreadyClaimed { .. })));
    // Then it ends by its time, and the next wake is of the next generation.
    assert_eq!(subscription.claim(at(1_900), "two", 3).map(|wake| wake.generation), Ok(2));
    assert_eq!(subscription.turn(at(1_900), &first, 4), Err(Fault::Fenced));
    assert_eq!(subscription.release(at(1_900), &first, 4), Err(Fault::Fenced));
    assert_eq!(acked(&subscription, "a"), Some(0));
    let second = turn(&subscription, &[("a", 1)], Progress::Done);
    assert_eq!(subscription.turn(at(1_901), &second, 4), Ok(NextWake::No));
    assert_eq!(subscription.turn(at(1_901), &second, 4), Err(Fault::Fenced));
    assert_eq!(subscription.claim(at(1_902), "one", 5).cloned(), Err(Fault::NoPendingWork));
}

#[test]
fn an_offset_lies_between_what_was_acknowledged_and_the_end_or_none_counts() {
    let mut subscription = made(PULL);
    appended(&mut subscription, "a", 5, 0);
    appended(&mut subscription, "b", 5, 0);
    subscription.claim(at(0), "one", 2).unwrap();
    let ack = |subscription: &mut Subscription, acks: &[(&str, u64)]| {
        let turn = turn(subscription, acks, Progress::Working);
        subscription.turn(at(1), &turn, 2).map_err(|fault| fault.parts().1)
    };
    assert_eq!(ack(&mut subscription, &[("a", 3)]), Ok(NextWake::No));
    for wrong in [&[("b", 4), ("a", 2)][..], &[("b", 4), ("a", 6)], &[("b", 4), ("c", 1)]] {
        assert_eq!(ack(&mut subscription, wrong), Err("INVALID_OFFSET"), "{wrong:?}");
    }
    assert_eq!((acked(&subscription, "a"), acked(&subscription, "b")), (Some(3), Some(0)));
    let done = turn(&subscription, &[("a", 5), ("b", 2)], Progress::Done);
    assert_eq!(subscription.turn(at(2), &done, 3), Ok(NextWake::Yes));
    assert_eq!(attempt(&mut subscription, 2), Some(2));
}

#[test]
fn an_acknowledgement_of_a_stream_that_ended_does_not_count_for_the_next_of_its_name() {
    for is_seen_gone in [false, true] {
        let mut subscription = made(PULL);
        appended(&mut subscription, "orders", 5, 0);
        subscription.claim(at(0), "one", 2).unwrap();
        let done = turn(&subscription, &[("orders", 5)], Progress::Done);
        if is_seen_gone {
            subscription.see("orders", Seen::Absent, From::End);
        }
        begun_anew(&mut subscription, 5);
        // A restart does not change that.
        let record = subscription.to_record("s", Keeping::Alone);
        let mut subscription = Subscription::of_record(&record, Loopback::Refused).unwrap().1;
        begun_anew(&mut subscription, 5);
        let refused = subscription.turn(at(1), &done, 3).map_err(|fault| fault.parts().1);
        assert_eq!(refused, Err("INVALID_OFFSET"), "seen gone: {is_seen_gone}");
        // The next wake tells of it, and then it can be acknowledged.
        assert_eq!(subscription.claim(at(1_000), "two", 4).map(|wake| wake.generation), Ok(2));
        let done = turn(&subscription, &[("orders", 5)], Progress::Done);
        assert_eq!(subscription.turn(at(1_001), &done, 5), Ok(NextWake::No));
    }
}

#[test]
fn a_worker_that_is_told_of_the_new_stream_acknowledges_that() {
    let mut subscription = made(PULL);
    appended(&mut subscription, "orders", 5, 0);
    begun_anew(&mut subscription, 5);
    subscription.claim(at(0), "one", 2).unwrap();
    let done = turn(&subscription, &[("orders", 5)], Progress::Done);
    assert_eq!(subscription.turn(at(1), &done, 3), Ok(NextWake::No));
}

#[test]
fn a_wake_is_over_when_too_many_streams_ended_to_remember_them() {
    let mut subscription = made(PULL);
    appended(&mut subscription, "orders", 1, 0);
    subscription.claim(at(0), "one", 2).unwrap();
    let done = turn(&subscription, &[("orders", 1)], Progress::Done);
    for number in 0..=super::MOST_STREAMS {
        appended(&mut subscription, &number.to_string(), 1, 0);
        subscription.see(&number.to_string(), Seen::Absent, From::End);
    }
    assert_eq!(subscription.turn(at(1), &done, 3), Err(Fault::Fenced));
}

#[test]
fn what_is_given_back_is_offered_again() {
    let mut subscription = made(PULL);
    appended(&mut subscription, "a", 1, 0);
    subscription.claim(at(0), "one", 2).unwrap();
    let given = turn(&subscription, &[], Progress::Done);
    assert_eq!(subscription.release(at(1), &given, 3), Ok(()));
    assert_eq!(attempt(&mut subscription, 1), Some(2));
}

#[test]
fn failures_are_repeated_after_pauses_that_double_up_to_a_minute() {
    let mut subscription = made(WEBHOOK);
    appended(&mut subscription, "events/a", 1, 0);
    let mut now = 0;
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        assert_eq!(attempt(&mut subscription, now), Some(1), "the wake stays the same");
        // The middle of what it may be.
        answered(&mut subscription, now, 1, Sent::Failed, u128::from(u32::MAX / 2) << 96);
        assert!(subscription.is_failing());
        let pause = subscription.due().unwrap().since(at(now)).as_millis();
        assert!(pause.abs_diff(seconds * 1_000) <= 1, "{pause} ms");
        assert_eq!(attempt(&mut subscription, now + 700), None);
        now += 61_000;
    }
    assert_eq!(attempt(&mut subscription, now), Some(1));
    answered(&mut subscription, now, 1, Sent::Taken, 0);
    assert!(!subscription.is_failing());
    for (random, millis) in [(0, 800), (u128::MAX, 1_200)] {
        let mut subscription = made(WEBHOOK);
        appended(&mut subscription, "events/a", 1, 0);
        attempt(&mut subscription, 0);
        answered(&mut subscription, 0, 1, Sent::Failed, random);
        assert!(subscription.due().unwrap().since(at(0)).as_millis().abs_diff(millis) <= 1);
    }
}

#[test]
fn a_webhook_that_is_not_answered_within_its_lease_has_failed_and_a_late_callback_counts() {
    let mut subscription = made(WEBHOOK);
    appended(&mut subscription, "events/a", 1, 0);
    attempt(&mut subscription, 0);
    subscription.pass(at(1_000), 2);
    assert!(subscription.is_failing());
    let late = turn(&subscription, &[("events/a", 1)], Progress::Done);
    assert_eq!(subscription.turn(at(1_100), &late, 3), Ok(NextWake::No));
    assert_eq!(subscription.phase, Phase::Idle);
}

#[test]
fn the_answer_to_an_earlier_attempt_says_nothing_of_what_a_later_one_told() {
    let after = |earlier: Sent| {
        let mut subscription = made(WEBHOOK);
        appended(&mut subscription, "events/a", 1, 0);
        attempt(&mut subscription, 0);
        subscription.pass(at(1_000), 2);
        appended(&mut subscription, "events/a", 2, 1_000);
        assert_eq!(attempt(&mut subscription, 3_000), Some(1));
        let first = AttemptId { generation: 1, tries: 0 };
        subscription.sent(at(3_001), first, earlier, 3);
        (acked(&subscription, "events/a"), subscription.phase)
    };
    assert!(matches!(after(Sent::Done), (Some(0), Phase::Held { .. })));
    assert!(matches!(after(Sent::Taken), (Some(0), Phase::Held { .. })));
    assert!(matches!(after(Sent::Failed), (Some(0), Phase::Sending { tries: 1, .. })));
}

#[test]
fn a_stream_is_named_once_begins_at_its_end_and_stays_while_it_matches() {
    let mut subscription = made(WEBHOOK);
    subscription.name("events/a", Seen::Until(end(4))).unwrap();
    subscription.name("x", Seen::Absent).unwrap();
    subscription.name("events/a", Seen::Until(end(9))).unwrap();
    subscription.pass(at(0), 1);
    assert_eq!((subscription.due(), acked(&subscription, "events/a")), (None, Some(4)));
    subscription.unname("events/a");
    subscription.unname("x");
    subscription.unname("y");
    assert_eq!(subscription.links().map(|(name, _)| name).collect::<Vec<_>>(), ["events/a"]);
    // What is made later under a name is new from its beginning, and so is what is made anew.
    subscription.name("x", Seen::Absent).unwrap();
    subscription.see("x", Seen::Until(end(2)), From::End);
    assert!(subscription.links["x"].is_pending());
    let anew = Cursor { epoch: Epoch::new(8), seq: Seq::new(1) };
    subscription.see("events/a", Seen::Until(anew), From::End);
    assert!(subscription.links["events/a"].is_pending());
    // A stream that is gone stays only if it is named.
    subscription.see("events/a", Seen::Absent, From::End);
    subscription.see("x", Seen::Absent, From::End);
    assert_eq!(subscription.links().map(|(name, _)| name).collect::<Vec<_>>(), ["x"]);
}

#[test]
fn streams_beyond_the_limit_are_refused_or_counted() {
    let mut subscription = made(WEBHOOK);
    for number in 0..super::MOST_STREAMS {
        subscription.see(&format!("events/{number}"), Seen::Until(end(1)), From::End);
    }
    appended(&mut subscription, "events/more", 1, 0);
    assert_eq!((subscription.has("events/more"), subscription.left_out), (false, 1));
    assert!(matches!(subscription.name("y", Seen::Absent), Err(Fault::TooMany(_))));
    assert_eq!(subscription.name("events/0", Seen::Absent), Ok(()));
}

#[test]
fn the_stream_of_wakes_wakes_no_worker() {
    let mut subscription = made(PULL);
    appended(&mut subscription, "wake/pool", 1, 0);
    appended(&mut subscription, "__ds/x", 1, 0);
    assert_eq!(subscription.due(), None);
    assert!(matches!(subscription.name("wake/pool", Seen::Until(end(1))), Err(Fault::Invalid(_))));
    // Nor does one that was named before that was refused.
    subscription.links.insert("wake/pool".into(), Link { explicit: true, ..Link::default() });
    let record = subscription.to_record("s", Keeping::Alone);
    assert!(!Subscription::of_record(&record, Loopback::Refused).unwrap().1.has("wake/pool"));
}

#[test]
fn refusals_say_why_in_the_protocols_form() {
    let held = Fault::AlreadyClaimed { holder: "one".into(), generation: 3 };
    for (fault, status) in [
        (Fault::NotFound, StatusCode::NOT_FOUND),
        (Fault::Exists, StatusCode::CONFLICT),
        (Fault::TokenInvalid, StatusCode::UNAUTHORIZED),
        (held, StatusCode::CONFLICT),
    ] {
        assert_eq!(super::refuse(&fault).status(), status);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append(u8),
    Attempt,
    Sent(u8),
    Claim,
    Turn(u8),
    Release,
    Wait(u16),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..3u8).prop_map(Step::Append),
        Just(Step::Attempt),
        (0..3u8).prop_map(Step::Sent),
        Just(Step::Claim),
        (0..4u8).prop_map(Step::Turn),
        Just(Step::Release),
        (0..1_500u16).prop_map(Step::Wait),
        Just(Step::Restart),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    /// Whatever happens: generations grow, acknowledged offsets neither go back nor pass the end, nothing that is pending is
    /// without a wake, and a restart changes nothing of it.
    #[test]
    fn nothing_is_forgotten_and_nothing_goes_back(steps in steps(), is_pull in any::<bool>()) {
        let mut subscription = made(if is_pull { PULL } else { WEBHOOK });
        let (mut now, mut ends) = (0, [0; 3]);
        let names = ["events/a", "events/b", "events/c"];
        for (number, step) in steps.into_iter().enumerate() {
            let before = subscription.clone();
            let random = number as u128;
            match step {
                Step::Append(stream) => {
                    let stream = usize::from(stream);
                    ends[stream] += 1;
                    appended(&mut subscription, names[stream], ends[stream], now);
                }
                Step::Attempt => drop(attempt(&mut subscription, now)),
                Step::Sent(sent) => {
                    let sent = [Sent::Done, Sent::Taken, Sent::Failed][usize::from(sent)];
                    let generation = subscription.generation;
                    answered(&mut subscription, now, generation, sent, random);
                }
                Step::Claim => drop(subscription.claim(at(now), "w", random)),
                Step::Turn(which) if subscription.phase.wake().is_some() => {
                    let acks: Vec<_> = names.into_iter().zip(ends).take(usize::from(which)).collect();
                    let progress = if which % 2 == 0 { Progress::Done } else { Progress::Working };
                    let turn = turn(&subscription, &acks, progress);
                    let _ = subscription.turn(at(now), &turn, random);
                }
                Step::Release if subscription.phase.wake().is_some() => {
                    let turn = turn(&subscription, &[], Progress::Done);
                    let _ = subscription.release(at(now), &turn, random);
                }
                Step::Turn(_) | Step::Release => {}
                Step::Wait(millis) => now += u64::from(millis),
                Step::Restart => {
                    let (id, kept) =
                        Subscription::of_record(&subscription.to_record("s", Keeping::Alone), Loopback::Refused).unwrap();
                    prop_assert_eq!(id, "s");
                    subscription = kept;
                    for (name, seq) in names.into_iter().zip(ends).filter(|(_, seq)| *seq > 0) {
                        subscription.see(name, Seen::Until(end(seq)), From::After(end(0)));
                    }
                }
            }
            subscription.pass(at(now), random);
            prop_assert!(subscription.generation >= before.generation);
            for (name, link) in subscription.links() {
                prop_assert!(link.acked.seq <= link.end.seq);
                prop_assert!(acked(&before, name).is_none_or(|before| before <= link.acked.seq.get()));
                prop_assert!(!link.is_pending() || subscription.phase != Phase::Idle);
            }
        }
    }
}
