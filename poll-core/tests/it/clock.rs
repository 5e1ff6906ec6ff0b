//! A channel's time follows the clock: it never goes back, runs ahead no more than it must, and lets the clock catch
//! up.

use std::time::Duration;

use poll_core::{Position, Publish, Retention, Seal, Store, Timestamp};

use crate::fixture::*;
use crate::held_journal::Held;

const BATCH: usize = 1_000;

fn micros(micros: u64) -> Timestamp {
    NOON.after(Duration::from_micros(micros))
}

fn batch(store: &Store, now: Timestamp) -> Timestamp {
    send(store, now, "a", Publish::many(vec![text(1); BATCH])).unwrap().stamps[BATCH - 1].at
}

/// The newest message's time.
fn newest(store: &Store, now: Timestamp) -> Timestamp {
    read(store, now, "a", Position::End).read_state.newest_at
}

#[test]
fn times_run_ahead_by_a_microsecond_a_message_however_many_come_at_once() {
    const BATCHES: u64 = 2_000;
    const ALL: u64 = BATCHES * BATCH as u64;
    let retention = Retention { channels: 1, ..Retention::default() };
    let store = Store::in_memory(retention);
    // All within a tenth of a second.
    for number in 0..BATCHES {
        batch(&store, micros(number * 100_000 / BATCHES));
    }
    let end = newest(&store, micros(100_000));
    assert_eq!(end, micros(ALL - 1), "two million messages have as many microseconds");

    // The clock catches up, and from then on times are the clock's.
    assert_eq!(publish(&store, second(3), "a").stamps[0].at, second(3));
    // By age, everything expires when its time has come …
    let age = retention.age;
    assert_eq!(numbers(&read(&store, end.after(age), "a", Position::Start)).len(), 2, "the last of both");
    assert_eq!(numbers(&read(&store, second(304), "a", Position::Start)), Vec::<u64>::new());
    // … and so does the channel.
    send(&store, second(700), "b", Publish::one(text(1))).unwrap();
    assert_eq!((store.channels(), newest(&store, second(700))), (1, Timestamp::ZERO));
}

#[test]
fn a_clock_that_went_back_is_waited_for_microsecond_by_microsecond() {
    let store = Store::in_memory(Retention::default());
    let first = publish(&store, second(3_600), "a").stamps[0].at;
    for number in 0..100 {
        batch(&store, second(number));
    }
    assert_eq!(newest(&store, second(100)), first.after(Duration::from_micros(100 * BATCH as u64)));
    assert_eq!(publish(&store, second(3_601), "a").stamps[0].at, second(3_601));
}

#[test]
fn a_clock_that_leapt_ahead_and_came_back_keeps_no_channel_from_being_forgotten() {
    let retention = Retention { channels: 2, ..Retention::default() };
    let store = Store::in_memory(retention);
    publish(&store, second(0), "a");
    publish(&store, second(0), "b");
    // A read while the clock is ahead is a use of the channel in the future.
    for name in ["a", "b"] {
        read(&store, second(86_400), name, Position::Start);
    }
    assert!(send(&store, second(400), "c", Publish::one(text(1))).is_err(), "one of them was used just now");
    (0..200).for_each(|_| store.sweep(second(400), 10));
    assert!(send(&store, second(701), "c", Publish::one(text(1))).is_ok());
    publish(&store, second(702), "d");
    let gone = ["a", "b"].map(|name| read(&store, second(702), name, Position::Start).next);
    assert_eq!(gone, [poll_core::Cursor::ZERO; 2]);
}

#[test]
fn what_was_published_in_a_leap_is_kept_by_its_own_time() {
    let store = Store::in_memory(Retention { messages: 3, ..Retention::default() });
    publish(&store, second(3_600), "a");
    for number in 0..3 {
        publish(&store, second(number), "a");
    }
    let now = second(3_000);
    assert_eq!(numbers(&read(&store, now, "a", Position::Start)), [2, 3, 4], "by number they go as ever");
    assert_eq!(numbers(&read(&store, second(3_900), "a", Position::Start)), [2, 3, 4]);
    assert_eq!(numbers(&read(&store, second(3_901), "a", Position::Start)), Vec::<u64>::new());
}

#[test]
fn a_sealed_time_is_before_everything_that_follows() {
    let (journal, store) = Held::store(Retention::default());
    let (count, a) = (Count::new(), name("a"));
    let now = second(1);
    let millis = now.as_millis();
    assert_eq!(ready(store.settle(now, &a, millis)).unwrap(), millis, "there is no such channel");
    let publishing = |now| {
        let mut publishing = Box::pin(store.publish(now, &a, Publish::many(vec![text(1); 2])));
        assert!(poll(&mut publishing, &count).is_pending());
        publishing
    };
    let _first = publishing(now);
    let second_one = publishing(second(2));
    assert_eq!(
        ready(store.settle(second(9), &a, second(9).as_millis())).unwrap(),
        millis - 1,
        "the oldest on its way"
    );
    assert_eq!(ready(store.settle(second(9), &a, millis - 1)).unwrap(), millis - 1);
    journal.keep();
    assert_eq!(ready(store.settle(second(9), &a, second(9).as_millis())).unwrap(), second(2).as_millis() - 1);
    drop(second_one);
    journal.fail();
    assert_eq!(ready(store.settle(second(9), &a, second(9).as_millis())).unwrap(), second(9).as_millis());
    // Taken by a clock that was read earlier, or has gone back.
    let _third = publishing(second(8));
    assert_eq!(journal.take().messages()[0].at.as_millis(), second(9).as_millis() + 1);
}

#[test]
fn no_number_of_seals_makes_a_channel_run_away_from_the_clock() {
    let store = Store::in_memory(Retention { messages: 1, ..Retention::default() });
    let a = name("a");
    publish(&store, second(60), "a");
    let ahead = |now: Timestamp| newest(&store, now).since(now);
    let before = ahead(micros(0));
    for number in 0..100_000 {
        let now = micros(10 * number);
        publish(&store, now, "a");
        let newest = read(&store, now, "a", Position::Start).batch.unwrap().newest().clone();
        let _ = store.seal(now, &a, &newest);
        let _ = ready(store.settle(now, &a, newest.at.as_millis())).unwrap();
    }
    let grown = ahead(micros(1_000_000)).saturating_sub(before);
    assert!(grown <= Duration::from_millis(1), "{grown:?}");
}

#[test]
fn ahead_of_the_clock_a_millisecond_can_be_sealed_once_in_each() {
    let store = Store::in_memory(Retention::default());
    let a = name("a");
    let seal = |now| {
        let newest = read(&store, now, "a", Position::Start).batch.unwrap().newest().clone();
        store.seal(now, &a, &newest)
    };
    for (millis, first) in [(9_000, Seal::Closed), (0, Seal::Open)] {
        let now = NOON.after(Duration::from_millis(millis));
        publish(&store, second(60), "a");
        assert_eq!(seal(now), first, "a clock that went back counts anew");
        publish(&store, second(60), "a");
        assert_eq!(seal(now.after(Duration::from_micros(999))), Seal::Open);
        assert_eq!(seal(now.after(Duration::from_millis(1))), Seal::Closed);
    }
    // A time that the clock has reached can always be sealed.
    publish(&store, second(70), "a");
    assert_eq!(seal(second(70)), Seal::Closed);
    publish(&store, second(70), "a");
    assert_eq!(newest(&store, second(70)), Timestamp::from_millis(second(70).as_millis() + 1));
}
