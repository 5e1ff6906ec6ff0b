//! What is kept of subscriptions, when some of it is damaged or an operator took it away.

use poll_core::{ChannelName, Ending, Payload, Publish};

use super::*;
use crate::world::settle;

/// Another server over what a first one kept, of which this comes last.
async fn restarted(world: &World, damaged: &[&str]) -> World {
    for channel in damaged {
        world.fill(channel, 1, "damaged").await;
    }
    World::subscribed(ServiceSettings::default(), world.store.clone(), Receiver::default())
}

async fn shown(world: &World, id: &str) -> u16 {
    loop {
        let answer = say(world, "GET", id, "", &Value::Null).await;
        if answer.status != 503 {
            return answer.status;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_newest_value_is_damaged_the_one_before_counts() {
    let world = world(&Receiver::default());
    put(&world, "s", webhook()).await;
    let damaged = ["__ds/index/1", "__ds/secret/1", "__ds/subscriptions/s/1"];
    let world = restarted(&world, &damaged).await;
    assert_eq!(shown(&world, "s").await, 200);
    assert_eq!(world.get("/v1/stream/__ds/jwks.json").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_of_which_nothing_can_be_read_is_neither_forgotten_nor_made_anew() {
    let mut world = world(&Receiver::default());
    put(&world, "s", webhook()).await;
    put(&world, "t", webhook()).await;
    let record = ChannelName::parse("__ds/subscriptions/s/1").unwrap();
    world.store.purge(world.now(), &record).await.unwrap();
    world = restarted(&world, &[record.as_str()]).await;
    for made in ["u", "v"] {
        assert_eq!((shown(&world, "s").await, shown(&world, "t").await), (500, 200));
        assert_eq!(put(&world, "s", webhook()).await.status, 500);
        assert_eq!(say(&world, "DELETE", "s", "", &Value::Null).await.status, 500);
        // Its name stays where the names are kept.
        assert_eq!(put(&world, made, webhook()).await.status, 201);
        world = restarted(&world, &[]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn another_secret_is_not_made_while_there_is_one_that_cannot_be_read() {
    let world = world(&Receiver::default());
    put(&world, "s", webhook()).await;
    let secret = ChannelName::parse("__ds/secret/1").unwrap();
    world.store.purge(world.now(), &secret).await.unwrap();
    let world = restarted(&world, &[secret.as_str()]).await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(say(&world, "PUT", "t", "", &webhook()).await.status, 503);
        assert_eq!(world.get("/v1/stream/__ds/jwks.json").await.status, 503);
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_goes_on_after_an_operator_deleted_purged_or_ended_its_record() {
    let receiver = Receiver::answering(&[(200, r#"{"done":true}"#); 3]);
    let world = world(&receiver);
    put(&world, "s", webhook()).await;
    let channel = |name: &str| ChannelName::parse(name).unwrap();
    let (store, now) = (&world.store, || world.now());
    store.delete(now(), &channel("__ds/index/1")).await.unwrap();
    assert_eq!(put(&world, "t", pull()).await.status, 201);
    stream(&world, "events/a", "[1]").await;
    receiver.taken(0).await;
    settle().await;
    store.delete(now(), &channel("__ds/subscriptions/s/1")).await.unwrap();
    append(&world, "events/a").await;
    receiver.taken(1).await;
    settle().await;
    let end = Publish { ending: Ending::Close, ..Publish::one(Payload::text("")) };
    store.publish(now(), &channel("__ds/subscriptions/s/0"), end).await.unwrap();
    append(&world, "events/a").await;
    receiver.taken(2).await;
    settle().await;
    store.purge(now(), &channel("__ds/subscriptions/s/1")).await.unwrap();
    append(&world, "events/a").await;
    receiver.taken(3).await;
    settle().await;
    assert_eq!(shown(&restarted(&world, &[]).await, "s").await, 200);
}
