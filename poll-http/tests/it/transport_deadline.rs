//! Timers: never early, cheap to push back, gone when dropped.

use std::future::poll_fn;
use std::time::Duration;

use poll_http::{Timer, Timers};
use tokio::time::Instant;

const RESOLUTION: Duration = Duration::from_millis(8);

async fn polled(timer: &mut Timer) {
    poll_fn(|cx| timer.poll(cx)).await;
}

#[tokio::test(start_paused = true)]
async fn a_timer_is_never_early_and_at_most_a_tick_late() {
    let timers = Timers::new();
    // Odd offsets, a long one that takes more than a round of the wheel, and one in the past.
    for millis in [0, 1, 7, 8, 9, 100, 1_001, 15_000, 64_999, 65_536, 65_537, 200_003, 3_600_000] {
        let when = Instant::now() + Duration::from_millis(millis);
        timers.at(when).await;
        let late = Instant::now().saturating_duration_since(when);
        assert!(Instant::now() >= when, "{millis} ms: early");
        // tokio's own clock adds up to a millisecond.
        assert!(late <= RESOLUTION + Duration::from_millis(1), "{millis} ms: {late:?} late");
    }
    assert_eq!(timers.armed(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_timer_set_later_fires_at_the_later_time_only() {
    let timers = Timers::new();
    let mut timer = timers.timer();
    let begun = Instant::now();
    timer.set(begun + Duration::from_secs(1));
    tokio::select! {
        biased;
        () = polled(&mut timer) => panic!("early"),
        () = tokio::time::sleep(Duration::from_millis(900)) => {}
    }
    timer.set(begun + Duration::from_secs(5));
    polled(&mut timer).await;
    assert!(begun.elapsed() >= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_timer_set_earlier_fires_at_the_earlier_time() {
    let timers = Timers::new();
    let mut timer = timers.timer();
    let begun = Instant::now();
    timer.set(begun + Duration::from_secs(60));
    tokio::select! {
        biased;
        () = polled(&mut timer) => panic!("early"),
        () = tokio::task::yield_now() => {}
    }
    timer.set(begun + Duration::from_secs(1));
    polled(&mut timer).await;
    assert!(begun.elapsed() < Duration::from_millis(1_010));
}

#[tokio::test(start_paused = true)]
async fn a_cleared_timer_does_not_fire_and_may_be_set_again() {
    let timers = Timers::new();
    let mut timer = timers.timer();
    timer.set(Instant::now() + Duration::from_secs(1));
    tokio::select! {
        biased;
        () = polled(&mut timer) => panic!("early"),
        () = tokio::task::yield_now() => {}
    }
    timer.clear();
    tokio::select! {
        biased;
        () = polled(&mut timer) => panic!("cleared"),
        () = tokio::time::sleep(Duration::from_secs(10)) => {}
    }
    timer.set(Instant::now() + Duration::from_secs(1));
    polled(&mut timer).await;
}

#[tokio::test(start_paused = true)]
async fn a_fired_timer_stays_ready_until_it_is_set_again() {
    let timers = Timers::new();
    let mut timer = timers.timer();
    timer.set(Instant::now() + Duration::from_millis(20));
    polled(&mut timer).await;
    polled(&mut timer).await;
    let again = Instant::now() + Duration::from_secs(1);
    timer.set(again);
    polled(&mut timer).await;
    assert!(Instant::now() >= again);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_timer_leaves_nothing() {
    let timers = Timers::new();
    let when = Instant::now() + Duration::from_secs(30);
    let mut set: Vec<Timer> = (0..1_000).map(|_| timers.timer()).collect();
    for (index, timer) in set.iter_mut().enumerate() {
        timer.set(when + Duration::from_millis(index as u64 % 50));
        assert!(poll_fn(|cx| std::task::Poll::Ready(timer.poll(cx))).await.is_pending());
    }
    assert_eq!(timers.armed(), 1_000);
    // From the middle, the front and the back of their slots.
    for index in [500, 0, 990, 300, 301] {
        set.swap_remove(index);
    }
    assert_eq!(timers.armed(), 995);
    drop(set);
    assert_eq!(timers.armed(), 0);
    // The driver comes to its end and a new one begins.
    timers.at(Instant::now() + Duration::from_secs(40)).await;
    assert_eq!(timers.armed(), 0);
}

#[tokio::test(start_paused = true)]
async fn thousands_of_timers_fire_each_in_its_time() {
    let timers = Timers::new();
    let begun = Instant::now();
    let mut waits = tokio::task::JoinSet::new();
    for index in 0..20_000_u64 {
        let timers = timers.clone();
        waits.spawn(async move {
            // Spread over more than two rounds of the wheel; many share a tick.
            let when = begun + Duration::from_millis(index * 7_919 % 150_000);
            timers.at(when).await;
            let now = Instant::now();
            assert!(now >= when, "early");
            assert!(now - when <= RESOLUTION + Duration::from_millis(1), "{:?} late", now - when);
        });
    }
    while let Some(done) = waits.join_next().await {
        done.unwrap();
    }
    assert_eq!(timers.armed(), 0);
}

#[test]
fn timers_outlive_the_runtime_that_drove_them() {
    let timers = Timers::new();
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut timer = timers.timer();
            timer.set(Instant::now() + Duration::from_secs(3_600));
            assert!(poll_fn(|cx| std::task::Poll::Ready(timer.poll(cx))).await.is_pending());
            timers.at(Instant::now() + Duration::from_millis(10)).await;
            drop(timer);
        });
    }
    assert_eq!(timers.armed(), 0);
}
