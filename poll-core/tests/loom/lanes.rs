//! Lanes that a worker drives: the notifier hands the wakes over, and none is lost on the way, whenever a driver comes
//! or goes.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use loom::thread;
use poll_core::{ChannelName, Lane, Store};

use crate::worker::run;
use crate::{channel, publish, read, start, store};

/// Waits once among the waiters of `lane` and reads what came.
async fn next(store: Store, lane: Lane) {
    let pinned = start(&store);
    store.wait(&channel(), &pinned, &lane).await;
    let (numbers, _) = read(&store, &pinned);
    assert_eq!(numbers, [1]);
}

fn publisher(store: &Store) -> thread::JoinHandle<()> {
    let store = store.clone();
    thread::spawn(move || publish(&store))
}

#[test]
fn a_wake_reaches_its_waiter_through_the_lane() {
    loom::model(|| {
        let store = store();
        let lane = store.lane();
        let publisher = publisher(&store);
        run(next(store, lane.clone()), vec![Box::pin(lane.drive())]);
        publisher.join().unwrap();
    });
}

#[test]
fn two_notifications_at_once_leave_no_waiter_in_the_lane() {
    loom::model(|| {
        let store = store();
        let lane = store.lane();
        let publisher = publisher(&store);
        let notifying = thread::spawn({
            let store = store.clone();
            move || store.notifier().notify(&channel())
        });
        let patient = {
            let (store, lane) = (store.clone(), lane.clone());
            async move {
                let pinned = start(&store);
                while read(&store, &pinned).0.is_empty() {
                    store.wait(&channel(), &pinned, &lane).await;
                }
            }
        };
        run(patient, vec![Box::pin(lane.drive())]);
        publisher.join().unwrap();
        notifying.join().unwrap();
    });
}

#[test]
fn a_notification_while_the_driver_wakes_for_another_is_not_lost() {
    loom::model(|| {
        let store = store();
        let lane = store.lane();
        let channels = ["a", "b"].map(|name| ChannelName::parse(name).unwrap());
        let waits = channels.clone().map(|channel| store.wait(&channel, &start(&store), &lane));
        let [here, there] = waits.map(|mut wait| {
            // Registered before anything is notified, because that happens only once.
            assert!(pin!(&mut wait).poll(&mut Context::from_waker(Waker::noop())).is_pending());
            wait
        });
        let notifying = channels.map(|channel| {
            let store = store.clone();
            thread::spawn(move || store.notifier().notify(&channel))
        });
        let (told, done) = tokio::sync::oneshot::channel();
        let other = async move {
            there.await;
            told.send(()).unwrap();
        };
        let both = async move {
            here.await;
            done.await.unwrap();
        };
        run(both, vec![Box::pin(other), Box::pin(lane.drive())]);
        notifying.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn waiters_of_two_workers_are_all_woken() {
    loom::model(|| {
        let store = store();
        let publisher = publisher(&store);
        let other = thread::spawn({
            let store = store.clone();
            move || {
                let lane = store.lane();
                run(next(store, lane.clone()), vec![Box::pin(lane.drive())]);
            }
        });
        let lane = store.lane();
        run(next(store, lane), vec![]);
        publisher.join().unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_driver_that_begins_during_a_notification_loses_no_wake() {
    loom::model(|| {
        let store = store();
        let lane = store.lane();
        let publisher = publisher(&store);
        // Starts only after the waiter may be registered, possibly during the notification.
        let late = {
            let lane = lane.clone();
            let mut driver = None;
            poll_fn(move |cx| driver.get_or_insert_with(|| Box::pin(lane.drive())).as_mut().poll(cx))
        };
        run(next(store, lane), vec![Box::pin(late)]);
        publisher.join().unwrap();
    });
}

#[test]
fn a_driver_dropped_during_a_notification_loses_no_wake() {
    loom::model(|| {
        let store = store();
        let lane = store.lane();
        let publisher = publisher(&store);
        let leaving = {
            let lane = lane.clone();
            thread::spawn(move || {
                let mut driver = Box::pin(lane.drive());
                let polled = driver.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert_eq!(polled, Poll::Pending);
            })
        };
        run(next(store, lane), vec![]);
        publisher.join().unwrap();
        leaving.join().unwrap();
    });
}

#[test]
fn a_lane_goes_from_driver_to_driver_without_losing_a_wake() {
    loom::model(|| {
        let store = store();
        let lane = store.lane();
        // The earlier driver is polled once on another worker, and dropped some time after that.
        let mut earlier = Box::pin(lane.drive());
        assert!(earlier.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let publisher = publisher(&store);
        let leaving = thread::spawn(move || drop(earlier));
        run(next(store, lane.clone()), vec![Box::pin(lane.drive())]);
        publisher.join().unwrap();
        leaving.join().unwrap();
    });
}

#[test]
fn a_waiter_that_left_the_lane_is_woken_for_nothing_and_harms_nothing() {
    loom::model(|| {
        let store = store();
        let lane = store.lane();
        let pinned = start(&store);
        let mut leaver = store.wait(&channel(), &pinned, &lane);
        assert!(pin!(&mut leaver).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let publisher = publisher(&store);
        run(
            {
                let (store, lane) = (store.clone(), lane.clone());
                async move {
                    drop(leaver);
                    next(store, lane).await;
                }
            },
            vec![Box::pin(lane.drive())],
        );
        publisher.join().unwrap();
        assert_eq!(store.notifier().waiting(), 0);
    });
}

#[test]
fn a_nudge_reaches_a_waiter_that_checks_something_else_after_registering() {
    loom::model(|| {
        let store = store();
        let lane = store.lane();
        let changed = loom::sync::Arc::new(loom::sync::atomic::AtomicBool::new(false));
        let nudging = thread::spawn({
            let (store, lane, changed) = (store.clone(), lane.clone(), changed.clone());
            move || {
                changed.store(true, loom::sync::atomic::Ordering::Release);
                store.notifier().nudge(&lane);
            }
        });
        let mut wait = store.wait(&channel(), &start(&store), &lane);
        let waiter = poll_fn(move |cx| {
            assert!(pin!(&mut wait).poll(cx).is_pending(), "it stays registered");
            let changed = changed.load(loom::sync::atomic::Ordering::Acquire);
            if changed { Poll::Ready(()) } else { Poll::Pending }
        });
        run(waiter, vec![Box::pin(lane.drive())]);
        nudging.join().unwrap();
    });
}
