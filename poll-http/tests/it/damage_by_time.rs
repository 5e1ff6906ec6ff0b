//! Damage within a millisecond: a golongpoll client that goes on from a time would never be given what is behind it. It
//! gets the millisecond as a whole, and is told what is missing in it.

use poll_http::{AfterDelivery, ServiceSettings};
use serde_json::Value;

use crate::shelf::Shelf;
use crate::world::{Answer, BEGIN, World, pass};

/// Messages at these times, in milliseconds before now, of which some are damaged.
fn world(before_now: &[u64], damaged: &[u64]) -> World {
    World::over(Shelf::store_of(before_now, damaged).1)
}

async fn ask(world: &World, since: u64) -> Answer {
    world.get(&format!("/events?category=c&timeout=1&since_time={since}")).await
}

fn numbers(answer: &Answer) -> Vec<u64> {
    let answer = answer.json();
    let events: &[Value] = answer["events"].as_array().map_or(&[], |events| events);
    events.iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect()
}

/// What a client by time alone is given from the beginning, each answer with how many it is told are missing.
async fn all(world: &World) -> Vec<(Vec<u64>, u64)> {
    let (mut since, mut answers) = (1, Vec::new());
    loop {
        let answer = ask(world, since).await;
        let missed = answer.field("poll-missed").map_or(0, |missed| missed.parse().unwrap());
        let given = numbers(&answer);
        let is_over = given.is_empty();
        answers.push((given, missed));
        if is_over {
            return answers;
        }
        since = answer.json()["events"].as_array().unwrap().last().unwrap()["timestamp"].as_u64().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_millisecond_is_whole_but_for_what_is_damaged_in_it() {
    let world_of_one = world(&[5_000, 3_000, 3_000, 3_000, 1_000], &[3]);
    assert_eq!(all(&world_of_one).await, [(vec![1], 0), (vec![2, 4, 5], 1), (vec![], 0)]);
    assert_eq!(world_of_one.metric("poll_messages_missed_total "), 1);
    // Where it begins with damage, and as the first of a channel.
    let first = world(&[3_000, 3_000, 3_000, 3_000], &[1, 3]);
    assert_eq!(all(&first).await, [(vec![2, 4], 2), (vec![], 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_millisecond_may_be_damaged_in_several_places() {
    let several = world(&[5_000, 3_000, 3_000, 3_000, 3_000, 3_000, 3_000, 1_000], &[3, 5, 6]);
    assert_eq!(all(&several).await, [(vec![1], 0), (vec![2, 4, 7, 8], 3), (vec![], 0)]);
}

#[tokio::test(start_paused = true)]
async fn damage_at_the_end_of_a_millisecond_is_told_with_the_next() {
    let between = world(&[3_000, 3_000, 3_000, 1_000], &[3]);
    assert_eq!(all(&between).await, [(vec![1, 2], 0), (vec![4], 1), (vec![], 0)]);
    let both = world(&[3_000, 3_000, 3_000, 3_000, 1_000], &[2, 4]);
    assert_eq!(all(&both).await, [(vec![1, 3], 1), (vec![5], 1), (vec![], 0)]);
    // Of several milliseconds behind the damage, the last is damaged as well.
    let later = world(&[3_000, 3_000, 3_000, 1_000, 500, 500, 500, 300], &[2, 6]);
    assert_eq!(all(&later).await, [(vec![1, 3, 4], 1), (vec![5, 7, 8], 1), (vec![], 0)]);
}

#[tokio::test(start_paused = true)]
async fn damage_with_nothing_behind_it_is_told_with_what_comes() {
    for (damaged, given, missed) in [(&[2, 3][..], vec![1], 0), (&[2, 4, 5][..], vec![1, 3], 1)] {
        let times = vec![3_000; usize::try_from(*damaged.last().unwrap()).unwrap()];
        let world = world(&times, damaged);
        let begun = world.millis();
        let answer = ask(&world, 1).await;
        assert_eq!(numbers(&answer), given, "{damaged:?}");
        assert_eq!(answer.field("poll-missed").map_or(0, |missed| missed.parse().unwrap()), missed);
        assert!(world.millis() <= begun + 1, "nothing can follow in that millisecond");
        let poll = world.later(&format!("/events?category=c&timeout=9&since_time={}", BEGIN - 3_000));
        world.until_waiting(1).await;
        world.post("/api/message?channel=c", "application/json", "{\"n\":9}").await;
        let answer = poll.await.unwrap();
        assert_eq!((numbers(&answer), answer.field("poll-missed").is_some()), (vec![9], true));
    }
}

#[tokio::test(start_paused = true)]
async fn a_millisecond_that_may_go_on_is_waited_for() {
    let (_, store) = Shelf::store_of(&[0, 0, 0], &[2]);
    let world = World::over(store);
    let begun = world.millis();
    let answer = ask(&world, 1).await;
    assert_eq!((numbers(&answer), answer.field("poll-missed")), (vec![1, 3], Some("1")));
    assert!((begun + 1..begun + 10).contains(&world.millis()));
}

#[tokio::test(start_paused = true)]
async fn a_head_and_a_client_with_an_id_are_answered_at_once() {
    let (shelf, store) = Shelf::store_of(&[0, 0, 0, 0, 0], &[3]);
    let world = World::over(store);
    let begun = world.millis();
    let by_id = async |number| {
        let (millis, id) = (shelf.at(number).as_millis(), shelf.id(number));
        let answer = ask_by(&world, "GET", &format!("since_time={millis}&last_id={id}")).await;
        (numbers(&answer), answer.field("poll-missed").map(str::to_owned))
    };
    assert_eq!(by_id(1).await, (vec![2], None));
    assert_eq!(by_id(2).await, (vec![4, 5], Some("1".to_owned())));
    let head = ask_by(&world, "HEAD", "since_time=1").await;
    assert_eq!((head.status, head.field("poll-missed")), (200, None), "it moves no client");
    assert_eq!(world.millis(), begun);
}

async fn ask_by(world: &World, method: &str, query: &str) -> Answer {
    world.ask(method, &format!("/events?category=c&timeout=1&{query}"), &[], b"").await
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_among_deleted_events_is_told_with_those_left() {
    let settings =
        ServiceSettings { golongpoll_after_delivery: AfterDelivery::Delete, ..ServiceSettings::default() };
    let (_, store) = Shelf::store_of(&[3_000, 3_000, 3_000, 1_000], &[2]);
    let world = World::over_with(settings, store);
    assert_eq!(numbers(&ask(&world, 1).await), [1, 3, 4]);
    pass(10).await;
    world.post("/api/message?channel=c", "application/json", "{\"n\":5}").await;
    pass(10).await;
    let answer = ask(&world, 1).await;
    assert_eq!((numbers(&answer), answer.field("poll-missed")), (vec![5], Some("1")));
}

/// A millisecond may also be larger than what is read at once.
#[tokio::test(start_paused = true)]
async fn a_large_millisecond_is_whole() {
    let world = World::new();
    let data = "x".repeat(60 << 10);
    for number in 1..=20 {
        let body = format!(r#"{{"category":"c","data":{{"n":{number},"data":"{data}"}}}}"#);
        assert_eq!(world.post("/publish", "application/json", &body).await.status, 200);
    }
    pass(10).await;
    let answer = ask(&world, BEGIN - 1).await;
    assert_eq!((numbers(&answer), answer.field("poll-missed")), (Vec::from_iter(1..=20), None));
}
