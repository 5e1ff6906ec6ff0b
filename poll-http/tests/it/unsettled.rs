//! What publishers are told when the journal fails: 503 means not published, unless it says that nobody knows.

use poll_core::{JournalError, Retention};

use crate::held_journal::Held;
use crate::world::{Answer, World};

/// A door, a publish through it, and its shape of an error.
const DOORS: [(&str, &str, &str, &str); 5] = [
    ("/api/message?channel=c", "text/plain", "x", "{\"type\":"),
    ("/api/progress/c", "application/json", r#"{"step":1,"total":2}"#, "{\"type\":"),
    ("/publish", "application/json", r#"{"category":"c","data":1}"#, "{\"error\": \""),
    ("/messages", "application/json", r#"{"body":"x"}"#, "{\"error\": \""),
    ("/api/publish/c", "application/json", r#"{"a":1}"#, "{\"error\":\""),
];

async fn publish(world: &World, (door, media, body, _): (&str, &str, &str, &str)) -> Answer {
    world.post(door, media, body).await
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_told_through_every_door_in_its_own_shape() {
    for door in DOORS {
        let (journal, store) = Held::store(Retention::default());
        let world = World::over(store);
        let told = async {
            journal.until_held(1).await;
            journal.doubt();
        };
        let (answer, ()) = tokio::join!(publish(&world, door), told);
        assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")), "{door:?}");
        let text = answer.text();
        assert!(text.starts_with(door.3) && text.contains("the outcome is unknown"), "{text}");
        assert!(!text.contains("srv"), "{text}");
        if door.3 == "{\"type\":" {
            assert!(answer.json()["type"].as_str().unwrap().ends_with("/outcome-unknown"), "{text}");
        }
        assert!(world.metric("poll_refused_total{reason=\"unavailable\"}") == 1);

        let refused = async {
            let answer = publish(&world, door).await;
            assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")), "{door:?}");
            assert!(answer.text().contains("the message was not kept"), "{}", answer.text());
            assert!(!answer.text().contains("outcome-unknown"));
        };
        refused.await;
        journal.fail(JournalError::Unavailable("/srv/poll.redb: it failed".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_with_the_same_key_is_told_the_outcome_of_the_first() {
    for kept in [true, false] {
        let (journal, store) = Held::store(Retention::default());
        let world = World::over(store);
        let ask = || world.ask("POST", "/api/message?channel=c", &[("idempotency-key", "k")], b"x");
        let told = async {
            journal.until_held(1).await;
            journal.doubt();
        };
        // A twin that waits for the first hears the same.
        let (first, twin, ()) = tokio::join!(ask(), ask(), told);
        for answer in [first, twin, ask().await] {
            assert_eq!(answer.status, 503);
            assert!(answer.json()["type"].as_str().unwrap().ends_with("/outcome-unknown"));
        }
        assert_eq!(world.get("/api/poll?channel=c").await.contents().len(), 0);
        if kept {
            journal.keep();
            let again = ask().await;
            assert_eq!((again.status, again.json()["id"].as_u64()), (200, Some(1)), "{}", again.text());
        } else {
            journal.fail(JournalError::Unavailable("it failed".to_owned()));
            let keep = async {
                journal.until_held(1).await;
                journal.keep();
            };
            let (again, ()) = tokio::join!(ask(), keep);
            assert_eq!((again.status, again.json()["id"].as_u64()), (201, Some(1)), "{}", again.text());
        }
        assert_eq!(world.get("/api/poll?channel=c").await.contents().len(), 1);
    }
}
