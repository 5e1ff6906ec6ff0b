//! Receipts go with their messages, and with their channel.

use std::sync::Arc;
use std::time::Duration;

use poll_core::journal::MemoryJournal;
use poll_core::{Kind, Memory, OverBudget, Position, Retention, Store};

use crate::fixture::*;

fn client(name: &str) -> Arc<str> {
    name.into()
}

fn used(store: &Store) -> u64 {
    store.memory().used(Kind::Receipts)
}

#[test]
fn receipts_are_listed_in_order_and_once() {
    let store = Store::in_memory(Retention::default());
    let at = publish(&store, second(0), "a").stamps[0].cursor;
    let batch = read(&store, second(0), "a", Position::Start).batch.unwrap();
    for reader in ["x", "y", "x"] {
        store.record_receipts(&name("a"), at.epoch, batch.messages(), &client(reader)).unwrap();
    }
    assert_eq!(store.receipts(&name("a"), at), [client("x"), client("y")]);
    let elsewhere = poll_core::Cursor { epoch: poll_core::Epoch::new(1), ..at };
    assert!(store.receipts(&name("a"), elsewhere).is_empty());
}

#[test]
fn notes_go_with_the_message_however_it_goes() {
    let retention = Retention { messages: 2, age: Duration::from_secs(10), ..Retention::default() };
    let store = Store::in_memory(retention);
    let a = name("a");
    let first = publish(&store, second(0), "a").stamps[0].cursor;
    publish(&store, second(0), "a");
    let batch = read(&store, second(0), "a", Position::Start).batch.unwrap();
    let reserved = store.reserve_retrievals(2).unwrap();
    store.mark_retrieved(&a, first.epoch, batch.messages(), reserved);
    store.record_receipts(&a, first.epoch, batch.messages(), &client("x")).unwrap();
    assert!(store.not_retrieved(&a, first.epoch, batch.messages()).is_empty());
    let both = used(&store);

    publish(&store, second(1), "a");
    assert_eq!(used(&store), both / 2, "the first went by number");
    assert!(store.receipts(&a, first).is_empty());
    store.record_receipts(&a, first.epoch, batch.messages(), &client("y")).unwrap();
    assert!(store.receipts(&a, first).is_empty(), "what is gone is not recorded again");
    read(&store, second(60), "a", Position::Start);
    assert_eq!(used(&store), 0, "the rest went by age");
}

#[test]
fn many_short_lived_channels_leave_nothing_behind() {
    let retention =
        Retention { age: Duration::from_secs(1), idempotency: Duration::ZERO, ..Retention::default() };
    let store = Store::in_memory(retention);
    for number in 0..2_000 {
        let channel = format!("c{number}");
        let epoch = publish(&store, second(0), &channel).stamps[0].cursor.epoch;
        let batch = read(&store, second(0), &channel, Position::Start).batch.unwrap();
        store.record_receipts(&name(&channel), epoch, batch.messages(), &client("x")).unwrap();
    }
    assert!(used(&store) > 0);
    (0..80).for_each(|_| store.sweep(second(60), usize::MAX));
    assert_eq!(used(&store), 0);
}

#[test]
fn notes_beyond_the_account_are_refused() {
    let memory = Memory::new(16 << 10);
    let store = Store::with_memory(Arc::new(MemoryJournal), Retention::default(), memory.clone());
    let a = name("a");
    let epoch = publish(&store, second(0), "a").stamps[0].cursor.epoch;
    let batch = read(&store, second(0), "a", Position::Start).batch.unwrap();
    let over = Err(OverBudget(Kind::Receipts));
    let recorded = (0..).take_while(|number| {
        let client = client(&format!("client-{number}"));
        store.record_receipts(&a, epoch, batch.messages(), &client) != over
    });
    assert!((5..50).contains(&recorded.count()));
    assert!(memory.used(Kind::Receipts) <= memory.bound(Kind::Receipts));
    assert!(store.reserve_retrievals(1_000).is_err());
}
