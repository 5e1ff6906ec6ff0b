//! A waiter on several channels: woken by any, it loses none of the others' wakes, and leaves nothing in any topic.

use std::future::poll_fn;
use std::sync::Arc as StdArc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loom::sync::Arc;
use loom::thread;
use poll_core::{
    ChannelList, ChannelName, Lane, Limit, ListFeed, ListStart, ListWait, Payload, Place, Position, Publish,
    Store,
};

use crate::worker::{ready, run};
use crate::{now, store};

fn names() -> [ChannelName; 2] {
    ["a", "b"].map(|name| ChannelName::parse(name).unwrap())
}

fn list() -> Arc<ChannelList> {
    Arc::new(ChannelList::new(names()))
}

fn publish(store: &Store, channel: &ChannelName) {
    ready(store.publish(now(), channel, Publish::one(Payload::text("x")))).unwrap();
}

fn start(store: &Store, list: &ChannelList) -> Vec<Place> {
    let settled = ready(store.pin_list(now(), list, &ListStart::Each(Position::Start))).unwrap();
    settled.into_iter().map(|(place, _)| place).collect()
}

/// Reads until it has `messages` of each channel, looking only where it was notified, and waiting in between.
async fn follow(store: Store, lane: Lane, messages: usize) {
    let list = list();
    let (mut places, mut wait, mut seen) = (start(&store, &list), ListWait::default(), [0, 0]);
    while seen != [messages, messages] {
        poll_fn(|cx| store.poll_wait_list(&list, &places, &lane, &mut wait, cx)).await;
        let due = wait.due(&places).into_iter().map(|channel| (channel, None));
        let view = store.read_list_resident(now(), &list, &places, due, Limit::default()).unwrap();
        for entry in view.batch.iter().flat_map(|batch| batch.entries()) {
            seen[entry.channel] += 1;
            assert_eq!(entry.message.seq.get(), seen[entry.channel] as u64, "each once and in order");
        }
        places = view.next;
    }
    store.deregister_list(&list, &lane, &mut wait);
}

#[test]
fn a_message_of_any_channel_is_read_or_its_waiter_is_notified() {
    loom::model(|| {
        let store = store();
        let publisher = thread::spawn({
            let store = store.clone();
            move || names().iter().for_each(|channel| publish(&store, channel))
        });
        run(follow(store.clone(), store.lane(), 1), vec![]);
        assert_eq!(store.notifier().waiting(), 0);
        publisher.join().unwrap();
    });
}

#[test]
fn two_channels_that_are_notified_at_once_are_both_read() {
    loom::model(|| {
        let store = store();
        let publishers = names().map(|channel| {
            let store = store.clone();
            thread::spawn(move || publish(&store, &channel))
        });
        run(follow(store.clone(), store.lane(), 1), vec![]);
        assert_eq!(store.notifier().waiting(), 0);
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    });
}

#[test]
fn a_waiter_that_leaves_while_it_is_notified_leaves_nothing() {
    loom::model(|| {
        let (store, list) = (store(), list());
        let waiter = thread::spawn({
            let (store, list) = (store.clone(), list.clone());
            move || {
                let (lane, places, mut wait) = (store.lane(), start(&store, &list), ListWait::default());
                let cx = &mut Context::from_waker(Waker::noop());
                let _ = store.poll_wait_list(&list, &places, &lane, &mut wait, cx);
                store.deregister_list(&list, &lane, &mut wait);
            }
        });
        publish(&store, &names()[1]);
        waiter.join().unwrap();
        assert_eq!(store.notifier().waiting(), 0);
    });
}

#[test]
fn a_waiter_on_a_list_takes_no_others_wake_along() {
    loom::model(|| {
        let (store, list) = (store(), list());
        let lane = store.lane();
        let (places, mut wait) = (start(&store, &list), ListWait::default());
        let cx = &mut Context::from_waker(Waker::noop());
        assert_eq!(store.poll_wait_list(&list, &places, &lane, &mut wait, cx), Poll::Pending);
        let notifying = thread::spawn({
            let store = store.clone();
            move || publish(&store, &names()[0])
        });
        let leaver = thread::spawn({
            let (store, lane) = (store.clone(), lane.clone());
            move || store.deregister_list(&list, &lane, &mut wait)
        });
        run(
            {
                let (store, lane) = (store.clone(), lane.clone());
                async move {
                    let pinned = ready(store.pin(now(), &names()[0], Position::Start)).unwrap();
                    store.wait(&names()[0], &pinned, &lane).await;
                }
            },
            vec![],
        );
        notifying.join().unwrap();
        leaver.join().unwrap();
        assert_eq!(store.notifier().waiting(), 0);
    });
}

/// Reads from the start by way of a feed until it has its messages, as a poll does: it joins where it can, reads where it
/// cannot, and then waits.
async fn poll_by_feed(store: Store, feed: StdArc<ListFeed>, messages: [usize; 2]) {
    let list = list();
    let wait = Duration::from_secs(10);
    let mut seat = poll_fn(|cx| Poll::Ready(feed.join(wait, cx.waker()))).await.map(|(seat, _)| seat);
    loop {
        let view = if let Some(taken) = seat.take() {
            poll_fn(|cx| feed.poll_seat(&taken, cx.waker())).await;
            let found = feed.look(now(), Limit::default());
            feed.leave(taken);
            found.unwrap().0.as_ref().clone()
        } else {
            let places = start(&store, &list);
            store.read_list_resident(now(), &list, &places, [(0, None), (1, None)], Limit::default()).unwrap()
        };
        let seen = |channel| {
            let entries = view.batch.iter().flat_map(|batch| batch.entries());
            entries.filter(|entry| entry.channel == channel).count()
        };
        if [seen(0), seen(1)].iter().zip(&messages).all(|(seen, messages)| seen >= messages) {
            return;
        }
        let places: StdArc<[Place]> = start(&store, &list).into();
        seat = poll_fn(|cx| Poll::Ready(feed.wait(&places, cx.waker()))).await;
    }
}

fn feed(store: &Store, lane: &Lane) -> StdArc<ListFeed> {
    ListFeed::new(store.clone(), StdArc::new(ChannelList::new(names())), lane.clone())
}

#[test]
fn a_message_is_read_by_all_waiters_of_a_feed() {
    loom::model(|| {
        let store = store();
        let lane = store.lane();
        let feed = feed(&store, &lane);
        let other = thread::spawn({
            let (store, feed) = (store.clone(), feed.clone());
            move || run(poll_by_feed(store, feed, [0, 1]), vec![])
        });
        let publisher = thread::spawn({
            let store = store.clone();
            move || publish(&store, &names()[1])
        });
        run(poll_by_feed(store.clone(), feed, [0, 1]), vec![]);
        other.join().unwrap();
        publisher.join().unwrap();
        assert_eq!(store.notifier().waiting(), 0);
    });
}

#[test]
fn a_feed_that_is_joined_while_it_is_notified_wakes_or_is_not_joined() {
    loom::model(|| {
        let store = store();
        let lane = store.lane();
        let feed = feed(&store, &lane);
        let places: StdArc<[Place]> = start(&store, &list()).into();
        let seat = feed.wait(&places, Waker::noop()).unwrap();
        let publisher = thread::spawn({
            let store = store.clone();
            move || publish(&store, &names()[0])
        });
        let leaver = thread::spawn({
            let feed = feed.clone();
            move || feed.leave(seat)
        });
        run(poll_by_feed(store.clone(), feed, [1, 0]), vec![]);
        publisher.join().unwrap();
        leaver.join().unwrap();
        assert_eq!(store.notifier().waiting(), 0);
    });
}

#[test]
fn the_driver_of_a_lane_wakes_the_waiters_of_a_feed() {
    loom::model(|| {
        let store = store();
        let lane = store.lane();
        let feed = feed(&store, &lane);
        let publisher = thread::spawn({
            let store = store.clone();
            move || publish(&store, &names()[0])
        });
        let both = {
            let (store, feed) = (store.clone(), feed.clone());
            async move {
                let [one, other] = [(); 2].map(|()| poll_by_feed(store.clone(), feed.clone(), [1, 0]));
                futures_util::future::join(one, other).await;
            }
        };
        run(both, vec![Box::pin(lane.drive())]);
        publisher.join().unwrap();
        assert_eq!(store.notifier().waiting(), 0);
    });
}
