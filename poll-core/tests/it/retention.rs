//! Every bound on what is kept: what is dropped first, what is spared, and that readers are told.

use std::sync::Arc;
use std::time::Duration;

use poll_core::journal::MemoryJournal;
use poll_core::{
    Continuity, Kind, Memory, Message, Pinned, Position, Publish, PublishError, Retention, Store,
};

use crate::fixture::*;
use crate::held_journal::Held;

const UNBOUND: Retention = Retention {
    messages: 0,
    age: Duration::ZERO,
    bytes: 0,
    channels: 0,
    idempotency: Duration::from_secs(10),
    keys: 100,
};

/// What one message of one byte weighs.
const ONE: u64 = Message::OVERHEAD_BYTES + 1;

fn retained(store: &Store, channel: &str) -> Vec<u64> {
    // Age is no bound in the tests that use this, so any time will do.
    numbers(&read(store, second(0), channel, Position::Start))
}

#[test]
fn zero_is_no_bound() {
    let store = Store::in_memory(UNBOUND);
    for number in 0..3_000 {
        publish(&store, second(number * 1_000), "a");
    }
    assert_eq!(store.weight(), 3_000 * ONE);
    assert_eq!(read(&store, second(9_000_000), "a", Position::Start).read_state.missed(), Some(0));
}

#[test]
fn by_number_the_oldest_go_and_a_batch_may_push_out_its_own_front() {
    let store = Store::in_memory(Retention { messages: 3, ..UNBOUND });
    let published = send(&store, second(0), "a", Publish::many(vec![text(1); 5])).unwrap();
    assert_eq!(published.stamps.len(), 5, "its publisher hears of all");
    assert_eq!(retained(&store, "a"), [3, 4, 5]);
    publish(&store, second(0), "a");
    assert_eq!(retained(&store, "a"), [4, 5, 6]);
    assert_eq!(store.weight(), 3 * ONE);
}

#[test]
fn by_age_a_message_is_retained_to_its_last_microsecond() {
    let store = Store::in_memory(Retention { age: Duration::from_secs(10), ..UNBOUND });
    publish(&store, second(0), "a");
    let reader = pin_at(&store, second(0), "a", Position::Start);
    assert_eq!(numbers(&read_on(&store, second(10), "a", &reader)), [1]);
    let late = second(10).after(Duration::from_micros(1));
    let view = read_on(&store, late, "a", &reader);
    assert_eq!((numbers(&view), view.read_state.missed()), (vec![], Some(1)));
    assert_eq!(
        view.read_state.oldest,
        view.read_state.newest.next(),
        "everything expired: oldest is the next"
    );
    assert_eq!(store.weight(), 0);
    // The number and the incarnation continue.
    let stamp = publish(&store, late, "a").stamps[0];
    assert_eq!((stamp.cursor.seq.get(), stamp.cursor.epoch), (2, view.next.epoch));
}

#[test]
fn the_sweep_reaches_channels_without_readers() {
    let store = Store::in_memory(Retention { age: Duration::from_secs(10), ..UNBOUND });
    for channel in 0..300 {
        publish(&store, second(channel % 20), &format!("c{channel}"));
    }
    let slices = |now| (0..300).for_each(|_| store.sweep(now, 7));
    slices(second(9));
    assert_eq!(store.weight(), 300 * ONE);
    slices(second(20));
    assert_eq!(store.weight(), 150 * ONE, "half of them are older than ten seconds");
    slices(second(99));
    assert_eq!((store.weight(), store.channels()), (0, 300));
}

#[test]
fn by_bytes_the_publishers_own_channel_gives_first() {
    let store = Store::in_memory(Retention { bytes: 10 * ONE, ..UNBOUND });
    (0..5).for_each(|_| drop(publish(&store, second(0), "quiet")));
    (0..100).for_each(|_| drop(publish(&store, second(1), "noisy")));
    assert_eq!(retained(&store, "quiet"), [1, 2, 3, 4, 5]);
    assert_eq!(retained(&store, "noisy"), [96, 97, 98, 99, 100]);
    assert_eq!(store.weight(), 10 * ONE);
}

#[test]
fn by_bytes_the_longest_unused_gives_next_and_its_readers_are_told() {
    let store = Store::in_memory(Retention { bytes: 4 * ONE, ..UNBOUND });
    for (now, channel) in [(1, "b"), (2, "a"), (3, "a"), (4, "c")] {
        publish(&store, second(now), channel);
    }
    // Reading counts as use: after this, "a" has been unused the longest.
    read(&store, second(5), "b", Position::Start);
    let reader = pin_at(&store, second(5), "a", Position::Start);
    publish(&store, second(6), "d");
    assert_eq!(store.weight(), 4 * ONE);
    assert_eq!(retained(&store, "b"), [1]);
    assert_eq!(retained(&store, "c"), [1]);
    assert_eq!(retained(&store, "d"), [1]);
    let view = read_on(&store, second(6), "a", &reader);
    assert_eq!((numbers(&view), view.read_state.missed()), (vec![2], Some(1)));
}

#[test]
fn empty_channels_do_not_keep_the_full_ones_from_giving() {
    let store = Store::in_memory(Retention { bytes: 50 * ONE, age: Duration::from_secs(10), ..UNBOUND });
    for channel in 0..300 {
        publish(&store, second(0), &format!("old{channel}"));
    }
    (0..100).for_each(|_| store.sweep(second(11), 100));
    assert_eq!(store.weight(), 0);
    for channel in 0..300 {
        publish(&store, second(11), &format!("new{channel}"));
    }
    // Channels to take from are found by sampling, so the bound is met closely, not to the byte.
    assert!(store.weight() <= 60 * ONE, "{} of {} bytes", store.weight(), 50 * ONE);
}

#[test]
fn what_was_published_just_now_is_never_what_makes_room_for_itself() {
    let store = Store::in_memory(Retention { bytes: ONE, ..UNBOUND });
    for _ in 0..3 {
        let published = send(&store, second(0), "a", Publish::many(vec![text(1); 4])).unwrap();
        let last = published.stamps[3].cursor.seq.get();
        assert_eq!(retained(&store, "a"), (last - 3..=last).collect::<Vec<_>>());
    }
}

#[test]
fn an_ending_without_a_message_erases_nothing() {
    let store = Store::in_memory(Retention { bytes: ONE, ..UNBOUND });
    send(&store, second(0), "job", Publish::many(vec![text(1); 3])).unwrap();
    ready(store.close(second(0), &name("job"))).unwrap();
    assert_eq!(retained(&store, "job"), [1, 2, 3]);
}

#[test]
fn a_channel_too_many_is_refused_with_the_time_to_try_again() {
    let store = Store::in_memory(Retention { channels: 2, ..UNBOUND });
    publish(&store, second(0), "a");
    publish(&store, second(0), "b");
    let refused = send(&store, second(0), "c", Publish::one(text(1)));
    assert_eq!(refused, Err(PublishError::TooManyChannels { retry_after: UNBOUND.idempotency }));
    assert_eq!(ready(store.close(second(0), &name("c"))), Err(refused.unwrap_err()));
    publish(&store, second(0), "a");
    assert_eq!(store.channels(), 2);
}

#[test]
fn only_what_is_empty_and_long_unused_is_forgotten_for_a_new_channel() {
    let retention = Retention {
        channels: 3,
        age: Duration::from_secs(10),
        idempotency: Duration::from_secs(60),
        ..UNBOUND
    };
    let store = Store::in_memory(retention);
    let stamp = publish(&store, second(0), "idle").stamps[0];
    publish(&store, second(0), "read");
    publish(&store, second(0), "fresh");
    let born = |now| send(&store, now, "new", Publish::one(text(1))).is_ok();
    assert!(!born(second(5)), "all of them hold something");
    publish(&store, second(55), "fresh");
    read(&store, second(59), "read", Position::Start);
    assert!(!born(second(60)), "empty, but used within the window of its keys");
    assert!(born(second(61)));
    assert_eq!(store.channels(), 3);
    assert_eq!(numbers(&read(&store, second(61), "fresh", Position::Start)), [2]);
    assert_eq!(read(&store, second(61), "read", Position::Start).next.seq.get(), 1, "not this one");
    // A reader that has a cursor of it is told.
    let idle = read(&store, second(61), "idle", Position::After(stamp.cursor));
    assert_eq!(idle.read_state.continuity, Continuity::Reset);
}

#[test]
fn the_one_idle_channel_among_a_few_is_always_found() {
    for round in 0..50 {
        let retention = Retention { channels: 8, age: Duration::from_secs(10), ..UNBOUND };
        let store = Store::in_memory(retention);
        publish(&store, second(0), "idle");
        for channel in 0..7 {
            publish(&store, second(99), &format!("busy{channel}"));
        }
        let born = send(&store, second(100), "new", Publish::one(text(1)));
        assert!(born.is_ok(), "round {round}: {born:?}");
    }
}

#[test]
fn a_channel_whose_publish_is_on_its_way_is_not_forgotten() {
    let (journal, store) = Held::store(Retention { channels: 1, age: Duration::from_secs(10), ..UNBOUND });
    let count = Count::new();
    let (a, b) = (name("a"), name("b"));
    let mut pending = Box::pin(store.publish(second(0), &a, Publish::one(text(1))));
    assert!(poll(&mut pending, &count).is_pending());
    let mut other = Box::pin(store.publish(second(999), &b, Publish::one(text(1))));
    assert!(matches!(
        poll(&mut other, &count),
        std::task::Poll::Ready(Err(PublishError::TooManyChannels { .. }))
    ));
    journal.keep();
    assert!(matches!(poll(&mut pending, &count), std::task::Poll::Ready(Ok(_))));
    assert!(journal.forgotten().is_empty());
}

#[test]
fn the_journal_forgets_what_the_store_forgets_and_hears_it_before_the_name_is_free() {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, OnceLock};

    use poll_core::journal::{Mint, Taken};
    use poll_core::{Append, ChannelName, Journal};

    /// Records how many channels there were when it was told to forget one.
    #[derive(Default)]
    struct Witness {
        store: OnceLock<Store>,
        channels: AtomicU64,
    }

    impl Journal for Witness {
        fn append(&self, append: Append, mint: &mut Mint<'_>) -> Taken {
            Taken::Kept(mint.mint(append))
        }

        fn forget(&self, channel: &ChannelName) {
            assert_eq!(channel.as_str(), "a");
            self.channels.store(self.store.get().unwrap().channels(), Ordering::Relaxed);
        }
    }

    let witness = Arc::new(Witness::default());
    let retention = Retention { channels: 1, age: Duration::from_secs(10), ..UNBOUND };
    let store = Store::new(witness.clone(), retention);
    drop(witness.store.set(store.clone()));
    publish(&store, second(0), "a");
    publish(&store, second(99), "b");
    // If it were told later, a new incarnation of the name could be forgotten with the old one.
    assert_eq!(witness.channels.load(Ordering::Relaxed), 1);
}

#[test]
fn a_forgotten_channel_is_another_one_when_it_comes_back() {
    let store = Store::in_memory(Retention { channels: 1, age: Duration::from_secs(10), ..UNBOUND });
    let first = publish(&store, second(0), "a").stamps[0];
    publish(&store, second(99), "b");
    let again = publish(&store, second(999), "a").stamps[0];
    assert_eq!(again.cursor.seq.get(), 1);
    assert_ne!(again.cursor.epoch, first.cursor.epoch);
    let view = read_on(&store, second(999), "a", &Pinned::after(first.cursor));
    assert_eq!((numbers(&view), view.read_state.continuity), (vec![1], Continuity::Reset));
}

#[test]
fn channels_weigh_what_their_names_and_records_do() {
    let retention = Retention { bytes: 8 << 20, age: Duration::from_secs(100), ..UNBOUND };
    let store = Store::in_memory(retention);
    let long = |number: usize| format!("{number:0>1000}");
    let mut born = 0;
    while send(&store, second(0), &long(born), Publish::one(text(1))).is_ok() {
        born += 1;
    }
    assert!((3_000..5_000).contains(&born), "{born} channels in three quarters of 8 MiB");
    let refused = send(&store, second(0), "short", Publish::one(text(1)));
    assert!(matches!(refused, Err(PublishError::TooManyChannels { .. })), "{refused:?}");
    // Existing channels still take publishes, within the bound.
    for number in 0..1_000 {
        send(&store, second(1), &long(number), Publish::one(text(8_000))).unwrap();
    }
    assert!(store.weight() <= 3 << 20, "{}", store.weight());
    // Empty channels that are long unused make room.
    (0..64).for_each(|_| store.sweep(second(4_000), usize::MAX));
    assert!(send(&store, second(4_000), "short", Publish::one(text(1))).is_ok());
}

#[test]
fn times_of_evicted_messages_are_forgotten_where_there_is_no_memory_for_them() {
    let memory = Memory::new(64 << 10);
    let retention = Retention { messages: 1, ..UNBOUND };
    let store = Store::with_memory(Arc::new(MemoryJournal), retention, memory.clone());
    for number in 0..2_000 {
        publish(&store, second(number), &format!("c{}", number % 100));
        assert!(memory.used(Kind::Times) <= memory.bound(Kind::Times));
    }
    assert!(memory.used(Kind::Times) > 0 && memory.refused(Kind::Times) > 0);
    let view = read(&store, second(2_000), "c0", Position::AfterTime(second(0)));
    assert!(
        view.read_state.missed().is_some_and(|missed| (1..=18).contains(&missed)),
        "{:?}",
        view.read_state
    );
}
