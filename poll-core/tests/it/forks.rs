//! Many forks in memory: what one gives, and that nothing of them is left.

use poll_core::life::{Bounds, ContentType, Create, Deleted, ForkPoint, Standing, Use};
use poll_core::{Ending, Kind, Payload, Position, Retention, Store};

use crate::fixture::{NOON, name, numbers, read, ready};

fn create(store: &Store, channel: &str, source: Option<&str>) {
    let create = Create {
        content_type: Some(ContentType::parse("text/plain").unwrap()),
        lifetime: None,
        bounds: Bounds::UNLIMITED,
        payloads: [Payload::text("x")].into_iter().collect(),
        ending: Ending::Open,
        origin: source.map(|source| ForkPoint { source: name(source), after: None, further: 0 }),
    };
    ready(store.create(NOON, &name(channel), create)).unwrap();
}

fn delete(store: &Store, channel: &str) -> Deleted {
    ready(store.delete(NOON, &name(channel))).unwrap()
}

fn is_hidden(store: &Store, channel: &str) -> bool {
    matches!(ready(store.describe(NOON, &name(channel), Use::Look)), Ok(Standing::Hidden))
}

fn is_empty(store: &Store) {
    let charged: u64 = Kind::ALL.iter().map(|kind| store.memory().used(*kind)).sum();
    assert_eq!((store.channels(), store.weight(), charged), (0, 0, 0));
}

#[test]
fn ten_thousand_forks_of_one_channel_leave_nothing() {
    let store = Store::in_memory(Retention::default());
    create(&store, "a", None);
    let fork = |number: usize| format!("fork {number}");
    (0..10_000).for_each(|number| create(&store, &fork(number), Some("a")));
    assert_eq!(delete(&store, "a"), Deleted::Hidden);
    (1..10_000).for_each(|number| assert_eq!(delete(&store, &fork(number)), Deleted::Gone));
    assert!(is_hidden(&store, "a"));
    assert_eq!(numbers(&read(&store, NOON, &fork(0), Position::Start)), [1, 2]);
    assert_eq!(delete(&store, &fork(0)), Deleted::Gone);
    is_empty(&store);
}

#[test]
fn a_chain_of_a_thousand_forks_leaves_nothing() {
    let store = Store::in_memory(Retention::default());
    create(&store, "0", None);
    (1..=1_000).for_each(|at| create(&store, &at.to_string(), Some(&(at - 1).to_string())));
    assert_eq!(numbers(&read(&store, NOON, "1000", Position::Start)).len(), 1_000);
    assert_eq!(delete(&store, "500"), Deleted::Hidden);
    (0..500).for_each(|at| assert_eq!(delete(&store, &at.to_string()), Deleted::Hidden));
    (501..1_000).for_each(|at| assert_eq!(delete(&store, &at.to_string()), Deleted::Hidden));
    assert_eq!(delete(&store, "1000"), Deleted::Gone);
    is_empty(&store);
}
