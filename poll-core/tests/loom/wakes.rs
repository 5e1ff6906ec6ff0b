//! Waiters and notifiers on threads of their own.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;
use poll_core::{Lane, Store, Wait};

use crate::worker::{ready, run};
use crate::{channel, now, publish, read, start, store};

fn wait(store: &Store, lane: &Lane) -> Wait {
    store.wait(&channel(), &start(store), lane)
}

fn poll(wait: &mut Wait, waker: &Waker) -> Poll<()> {
    Pin::new(wait).poll(&mut Context::from_waker(waker))
}

/// Reads until it has `messages`, waiting in between.
async fn follow(store: Store, lane: Lane, messages: u64) {
    let mut pinned = start(&store);
    let mut seen = Vec::new();
    while (seen.len() as u64) < messages {
        store.wait(&channel(), &pinned, &lane).await;
        let (numbers, next) = read(&store, &pinned);
        seen.extend(numbers);
        pinned = next;
    }
    assert_eq!(seen, (1..=messages).collect::<Vec<_>>());
}

#[test]
fn a_message_is_read_or_its_waiter_is_notified() {
    loom::model(|| {
        let store = store();
        let publisher = thread::spawn({
            let store = store.clone();
            move || publish(&store)
        });
        run(follow(store.clone(), store.lane(), 1), vec![]);
        assert_eq!(store.notifier().waiting(), 0);
        publisher.join().unwrap();
    });
}

#[test]
fn a_reader_that_waits_again_loses_nothing_in_between() {
    loom::model(|| {
        let store = store();
        let publisher = thread::spawn({
            let store = store.clone();
            move || (0..2).for_each(|_| publish(&store))
        });
        run(follow(store.clone(), store.lane(), 2), vec![]);
        assert_eq!(store.notifier().waiting(), 0);
        publisher.join().unwrap();
    });
}

#[test]
fn two_publishers_and_a_reader_agree_on_one_order() {
    loom::model(|| {
        let store = store();
        let publishers = [store.clone(), store.clone()].map(|store| thread::spawn(move || publish(&store)));
        run(follow(store.clone(), store.lane(), 2), vec![]);
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    });
}

#[test]
fn a_dropped_waiter_leaves_nothing_whether_it_was_notified_or_not() {
    loom::model(|| {
        let store = store();
        let waiter = thread::spawn({
            let store = store.clone();
            move || {
                let mut wait = wait(&store, &store.lane());
                let _ = poll(&mut wait, Waker::noop());
                drop(wait);
            }
        });
        publish(&store);
        waiter.join().unwrap();
        assert_eq!(store.notifier().waiting(), 0);
    });
}

#[test]
fn a_waiter_that_leaves_during_a_notification_takes_no_other_wake_along() {
    loom::model(|| {
        let store = store();
        let lane = store.lane();
        let mut leaver = wait(&store, &lane);
        assert!(poll(&mut leaver, Waker::noop()).is_pending());
        let notifying = thread::spawn({
            let store = store.clone();
            move || publish(&store)
        });
        let leaver = thread::spawn(move || drop(leaver));
        run(follow(store.clone(), lane, 1), vec![]);
        notifying.join().unwrap();
        leaver.join().unwrap();
        assert_eq!(store.notifier().waiting(), 0);
    });
}

#[test]
fn a_waiter_that_returns_between_two_notifications_is_not_taken_for_the_earlier_one() {
    loom::model(|| {
        let store = store();
        let lane = store.lane();
        let mut early = wait(&store, &lane);
        assert!(poll(&mut early, Waker::noop()).is_pending());
        let notifying = thread::spawn({
            let store = store.clone();
            move || {
                store.notifier().notify(&channel());
                publish(&store);
            }
        });
        // The index of the early waiter may be reused by the late one; each may give back only its own.
        let late = thread::spawn({
            let store = store.clone();
            move || run(follow(store, lane, 1), vec![])
        });
        drop(early);
        notifying.join().unwrap();
        late.join().unwrap();
        assert_eq!(store.notifier().waiting(), 0);
    });
}

#[test]
fn a_waiter_that_changes_its_waker_is_woken_by_the_last_one() {
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    loom::model(|| {
        let store = store();
        let (first, last) = (Arc::new(Count(AtomicUsize::new(0))), Arc::new(Count(AtomicUsize::new(0))));
        let mut wait = wait(&store, &store.lane());
        assert!(poll(&mut wait, &Waker::from(first.clone())).is_pending());
        let publisher = thread::spawn({
            let store = store.clone();
            move || publish(&store)
        });
        let heard = poll(&mut wait, &Waker::from(last.clone())).is_ready();
        publisher.join().unwrap();
        assert_eq!(heard, last.0.load(Ordering::SeqCst) == 0, "heard at once or woken later, never neither");
        assert_eq!(heard, first.0.load(Ordering::SeqCst) == 1);
        assert!(heard || poll(&mut wait, Waker::noop()).is_ready());
    });
}

#[test]
fn the_end_of_a_channel_wakes_all() {
    loom::model(|| {
        let store = store();
        let closer = thread::spawn({
            let store = store.clone();
            move || ready(store.close(now(), &channel())).unwrap()
        });
        let other = thread::spawn({
            let store = store.clone();
            move || run(wait(&store, &store.lane()), vec![])
        });
        run(wait(&store, &store.lane()), vec![]);
        closer.join().unwrap();
        other.join().unwrap();
        assert_eq!(store.notifier().waiting(), 0);
    });
}

#[test]
fn a_waiter_that_registers_while_all_are_notified_sees_why_or_is_notified() {
    loom::model(|| {
        let store = store();
        let draining = Arc::new(AtomicBool::new(false));
        let drain = thread::spawn({
            let (store, draining) = (store.clone(), draining.clone());
            move || {
                draining.store(true, Ordering::SeqCst);
                store.notifier().notify_all();
            }
        });
        let mut wait = wait(&store, &store.lane());
        let until = poll_fn(move |cx| {
            // Register, then look, then wait.
            let notified = Pin::new(&mut wait).poll(cx).is_ready();
            if notified || draining.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        });
        run(until, vec![]);
        drain.join().unwrap();
        assert_eq!(store.notifier().waiting(), 0);
    });
}
