//! Register, then read, then wait: who is woken, by whom, and what a waiter leaves behind.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use poll_core::{Lane, Limit, Pinned, Position, Retention, Store, Wait, WakeWatch};

use crate::fixture::*;

/// How many waiters a driven lane wakes at a time.
const SLICE: usize = 512;

fn wait_at_end(store: &Store, channel: &str, lane: &Lane) -> Wait {
    let pinned = pin_at(store, second(0), channel, Position::End);
    store.wait(&name(channel), &pinned, lane)
}

/// Waiters that were polled once and wait.
fn waiters(store: &Store, channel: &str, lane: &Lane, number: usize, count: &Arc<Count>) -> Vec<Wait> {
    let mut waits: Vec<_> = (0..number).map(|_| wait_at_end(store, channel, lane)).collect();
    assert!(waits.iter_mut().all(|wait| poll(wait, count).is_pending()));
    waits
}

#[test]
fn a_reader_that_comes_after_the_message_does_not_wait() {
    let store = Store::in_memory(Retention::default());
    let (count, lane) = (Count::new(), store.lane());
    let pinned = pin_at(&store, second(0), "a", Position::End);
    publish(&store, second(0), "a");
    assert!(poll(&mut store.wait(&name("a"), &pinned, &lane), &count).is_ready());
    assert_eq!((store.notifier().waiting(), count.get()), (0, 0));
}

#[test]
fn a_notification_is_for_its_channel_and_its_waiters_are_woken_once() {
    let store = Store::in_memory(Retention::default());
    let (here, there, lane) = (Count::new(), Count::new(), store.lane());
    let mut waits = waiters(&store, "a", &lane, 3, &here);
    let mut others = waiters(&store, "b", &lane, 2, &there);
    assert_eq!(store.notifier().waiting(), 5);
    publish(&store, second(0), "a");
    assert_eq!((store.notifier().waiting(), here.get(), there.get()), (2, 3, 0));
    publish(&store, second(0), "a");
    assert_eq!(here.get(), 3, "the notification took them out");
    assert!(waits.iter_mut().all(|wait| poll(wait, &here).is_ready()));
    assert!(others.iter_mut().all(|wait| poll(wait, &there).is_pending()));
}

#[test]
fn a_dropped_waiter_leaves_nothing_and_the_others_stay() {
    let store = Store::in_memory(Retention::default());
    let (count, lanes) = (Count::new(), [store.lane(), store.lane()]);
    let mut kept = wait_at_end(&store, "a", &lanes[0]);
    assert!(poll(&mut kept, &count).is_pending());
    for lane in lanes.iter().cycle().take(100) {
        drop(waiters(&store, "a", lane, 1, &Count::new()));
        drop(waiters(&store, "elsewhere", lane, 2, &Count::new()));
        assert_eq!(store.notifier().waiting(), 1);
    }
    drop(wait_at_end(&store, "a", &lanes[0]));
    publish(&store, second(0), "a");
    assert_eq!(count.get(), 1);
    assert!(poll(&mut kept, &count).is_ready());
    drop(kept);
    assert_eq!(store.notifier().waiting(), 0);
}

#[test]
fn a_waiter_of_an_earlier_notification_removes_no_other_when_it_leaves() {
    let store = Store::in_memory(Retention::default());
    let (count, lane) = (Count::new(), store.lane());
    let early = waiters(&store, "a", &lane, 2, &Count::new());
    store.notifier().notify(&name("a"));
    // The same indices in a new topic.
    let mut late = waiters(&store, "a", &lane, 2, &count);
    drop(early);
    assert_eq!(store.notifier().waiting(), 2);
    publish(&store, second(0), "a");
    assert_eq!(count.get(), 2);
    assert!(late.iter_mut().all(|wait| poll(wait, &count).is_ready()));
}

#[test]
fn a_waiter_is_woken_where_it_was_polled_last() {
    let store = Store::in_memory(Retention::default());
    let (first, last, lane) = (Count::new(), Count::new(), store.lane());
    let mut wait = wait_at_end(&store, "a", &lane);
    assert!(poll(&mut wait, &first).is_pending());
    assert!(poll(&mut wait, &last).is_pending());
    assert_eq!(store.notifier().waiting(), 1);
    publish(&store, second(0), "a");
    assert_eq!((first.get(), last.get()), (0, 1));
}

#[test]
fn notify_all_wakes_everyone_whatever_they_wait_for() {
    let store = Store::in_memory(Retention::default());
    let (count, lanes) = (Count::new(), [store.lane(), store.lane(), store.lane()]);
    let mut waits = Vec::new();
    for channel in 0..200 {
        waits.extend(waiters(&store, &format!("c{channel}"), &lanes[channel % 3], 2, &count));
    }
    store.notifier().notify_all();
    assert_eq!((count.get(), store.notifier().waiting()), (400, 0));
    assert!(waits.iter_mut().all(|wait| poll(wait, &count).is_ready()));
}

#[test]
fn the_end_of_a_channel_wakes_all_waiters_and_later_ones_do_not_wait() {
    let store = Store::in_memory(Retention::default());
    let (count, lane) = (Count::new(), store.lane());
    publish(&store, second(0), "a");
    let mut waits = waiters(&store, "a", &lane, 3, &count);
    ready(store.close(second(0), &name("a"))).unwrap();
    assert_eq!(count.get(), 3);
    assert!(waits.iter_mut().all(|wait| poll(wait, &count).is_ready()));
    assert!(poll(&mut wait_at_end(&store, "a", &lane), &count).is_ready());
}

#[test]
fn what_is_too_old_is_no_news_for_long() {
    let store = Store::in_memory(Retention::default());
    let (count, lane) = (Count::new(), store.lane());
    publish(&store, second(0), "a");
    let pinned = pin_at(&store, second(0), "a", Position::Start);
    assert_eq!(numbers(&read_on(&store, second(999), "a", &pinned)), Vec::<u64>::new());
    let mut wait = store.wait(&name("a"), &pinned, &lane);
    assert!(poll(&mut wait, &count).is_pending(), "reading dropped it, so there is nothing to spin on");
}

#[test]
fn a_driven_lane_costs_the_notifier_one_wake_and_wakes_in_slices() {
    let store = Store::in_memory(Retention::default());
    let (driver_wakes, woken, lane) = (Count::new(), Count::new(), store.lane());
    let mut driver = Box::pin(lane.drive());
    assert!(poll(&mut driver, &driver_wakes).is_pending());
    let waits = waiters(&store, "a", &lane, 2 * SLICE + 7, &woken);
    publish(&store, second(0), "a");
    assert_eq!((driver_wakes.get(), woken.get()), (1, 0));
    for (after, wakes) in [(SLICE, 2), (2 * SLICE, 3), (2 * SLICE + 7, 3), (2 * SLICE + 7, 3)] {
        assert!(poll(&mut driver, &driver_wakes).is_pending());
        assert_eq!(
            (woken.get(), driver_wakes.get()),
            (after, wakes),
            "a slice, and again while there is more"
        );
    }
    drop(waits);
    // And the same again: the driver waits.
    let _waits = waiters(&store, "b", &lane, 2, &woken);
    publish(&store, second(0), "b");
    assert_eq!(driver_wakes.get(), 4);
}

#[test]
fn a_lane_wakes_in_the_slices_it_is_told() {
    let store = Store::in_memory(Retention::default());
    let (driver_wakes, woken, lane) = (Count::new(), Count::new(), Lane::in_slices(3));
    let mut driver = Box::pin(lane.drive());
    assert!(poll(&mut driver, &driver_wakes).is_pending());
    let _waits = waiters(&store, "a", &lane, 7, &woken);
    publish(&store, second(0), "a");
    for after in [3, 6, 7] {
        assert!(poll(&mut driver, &driver_wakes).is_pending());
        assert_eq!(woken.get(), after);
    }
}

#[test]
fn a_single_waiter_of_a_driven_lane_is_woken_without_the_detour() {
    let store = Store::in_memory(Retention::default());
    let (driver_wakes, woken, lane) = (Count::new(), Count::new(), store.lane());
    let mut driver = Box::pin(lane.drive());
    assert!(poll(&mut driver, &driver_wakes).is_pending());
    let _waits = waiters(&store, "a", &lane, 1, &woken);
    publish(&store, second(0), "a");
    assert_eq!((driver_wakes.get(), woken.get()), (0, 1));
}

#[test]
fn each_lane_wakes_its_own() {
    let store = Store::in_memory(Retention::default());
    let (driver_wakes, driven, undriven) = (Count::new(), Count::new(), Count::new());
    let lanes = [store.lane(), store.lane()];
    let mut driver = Box::pin(lanes[0].drive());
    assert!(poll(&mut driver, &driver_wakes).is_pending());
    let _driven = waiters(&store, "a", &lanes[0], 3, &driven);
    let _undriven = waiters(&store, "a", &lanes[1], 4, &undriven);
    publish(&store, second(0), "a");
    assert_eq!((driven.get(), undriven.get()), (0, 4));
    assert!(poll(&mut driver, &driver_wakes).is_pending());
    assert_eq!(driven.get(), 3);
}

#[test]
fn a_driver_dropped_midway_loses_no_wake_and_leaves_the_rest_to_the_notifier() {
    let store = Store::in_memory(Retention::default());
    let (driver_wakes, woken, lane) = (Count::new(), Count::new(), store.lane());
    let mut driver = Box::pin(lane.drive());
    assert!(poll(&mut driver, &driver_wakes).is_pending());
    let waits = waiters(&store, "a", &lane, SLICE + 9, &woken);
    publish(&store, second(0), "a");
    assert!(poll(&mut driver, &driver_wakes).is_pending());
    assert_eq!(woken.get(), SLICE);
    drop(driver);
    assert_eq!(woken.get(), SLICE + 9);
    let _late = waiters(&store, "b", &lane, 2, &woken);
    publish(&store, second(0), "b");
    assert_eq!(woken.get(), SLICE + 11);
    drop(waits);
    // Nor does a driver that was never polled hold a wake back for good.
    let unpolled = lane.drive();
    let _more = waiters(&store, "c", &lane, 2, &woken);
    publish(&store, second(0), "c");
    drop(unpolled);
    assert_eq!(woken.get(), SLICE + 13);
}

#[test]
fn a_driver_that_takes_over_from_another_may_drop_it() {
    /// Holds the last reference to another driver of the lane, as a finished task does.
    struct Task(Lane);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Task {
        fn drop(&mut self) {
            drop(self.0.drive());
        }
    }

    let lane = Lane::default();
    let mut driver = pin!(lane.drive());
    let task = Waker::from(Arc::new(Task(lane.clone())));
    assert!(driver.as_mut().poll(&mut Context::from_waker(&task)).is_pending());
    drop(task);
    assert!(driver.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

#[test]
fn a_waker_may_come_back_to_the_store() {
    /// Publishes and waits while it is being woken, as an executor that runs its tasks at once would.
    struct Eager(Store, AtomicBool);

    impl Wake for Eager {
        fn wake(self: Arc<Self>) {
            publish(&self.0, second(0), "b");
            drop(waiters(&self.0, "a", &Lane::default(), 1, &Count::new()));
            self.1.store(true, Ordering::SeqCst);
        }
    }

    let store = Store::in_memory(Retention::default());
    let eager = Arc::new(Eager(store.clone(), AtomicBool::new(false)));
    let waker = Waker::from(eager.clone());
    let mut wait = pin!(wait_at_end(&store, "a", &store.lane()));
    assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    publish(&store, second(0), "a");
    assert!(eager.1.load(Ordering::SeqCst));
    assert_eq!(wait.poll(&mut Context::from_waker(&waker)), Poll::Ready(()));
}

#[tokio::test]
async fn a_driven_worker_answers_all_waiters_each_message_once() {
    const READERS: usize = 1_500;
    const MESSAGES: u64 = 3;
    let store = Store::in_memory(Retention::default());
    let lane = store.lane();
    let driver = tokio::spawn(lane.drive());
    let reader = |store: Store, lane: Lane| async move {
        let channel = name("a");
        let mut pinned = store.pin(second(0), &channel, Position::Start).await.unwrap();
        let mut seen = Vec::new();
        while seen.len() < MESSAGES as usize {
            store.wait(&channel, &pinned, &lane).await;
            let view = store.read(second(0), &channel, &pinned, Limit::default()).await.unwrap();
            seen.extend(numbers(&view));
            pinned = Pinned::after(view.next);
        }
        seen
    };
    let readers: Vec<_> = (0..READERS).map(|_| tokio::spawn(reader(store.clone(), lane.clone()))).collect();
    while store.notifier().waiting() < READERS {
        tokio::task::yield_now().await;
    }
    for _ in 0..MESSAGES {
        publish(&store, second(0), "a");
        tokio::task::yield_now().await;
    }
    for reader in readers {
        assert_eq!(reader.await.unwrap(), [1, 2, 3]);
    }
    assert_eq!(store.notifier().waiting(), 0);
    driver.abort();
}

/// What a lane's watch was told.
#[derive(Default)]
struct Told(Mutex<Vec<(&'static str, u64)>>);

impl Told {
    fn take(&self) -> Vec<(&'static str, u64)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn note(&self, what: &'static str, wake: poll_core::Wake) {
        self.0.lock().unwrap().push((what, wake.number().get()));
    }
}

impl WakeWatch for Told {
    fn woken(&self, wake: poll_core::Wake) {
        self.note("woken", wake);
    }

    fn resumed(&self, wake: poll_core::Wake) {
        self.note("resumed", wake);
    }

    fn left(&self, wake: poll_core::Wake) {
        self.note("left", wake);
    }
}

#[test]
fn a_watch_is_told_once_of_a_wake_and_of_each_waiter_of_it() {
    let store = Store::in_memory(Retention::default());
    let (count, told) = (Count::new(), Arc::new(Told::default()));
    let (lane, other) = (store.lane().watched(told.clone()), store.lane());
    let mut waits = waiters(&store, "a", &lane, 3, &count);
    let _unwatched = waiters(&store, "a", &other, 2, &count);
    let _elsewhere = waiters(&store, "b", &lane, 1, &count);
    assert_eq!(told.take(), [], "waiting tells nothing");

    publish(&store, second(0), "a");
    let woken = told.take();
    let [("woken", first)] = woken[..] else { panic!("{woken:?}") };
    assert!(poll(&mut waits[0], &count).is_ready());
    drop(waits);
    assert_eq!(told.take(), [("resumed", first), ("left", first), ("left", first)]);

    let mut again = waiters(&store, "a", &lane, 1, &count);
    publish(&store, second(0), "a");
    let woken = told.take();
    let [("woken", second_wake)] = woken[..] else { panic!("{woken:?}") };
    assert_ne!(first, second_wake);
    assert!(poll(&mut again[0], &count).is_ready());
    assert_eq!(told.take(), [("resumed", second_wake)]);

    // A watch hears neither of waiters that leave early nor of a wake of all waiters for another reason.
    drop(waiters(&store, "a", &lane, 2, &count));
    let mut waits = waiters(&store, "a", &lane, 1, &count);
    store.notifier().notify_all();
    assert_eq!(told.take(), []);
    assert!(poll(&mut waits[0], &count).is_ready());
    assert!(matches!(told.take()[..], [("resumed", _)]), "also those, as a wake that was not told of");
}
