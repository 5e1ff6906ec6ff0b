//! A journal's answer is as of when it looked. Before it arrives, more may have been published, kept and unloaded.

use std::time::Duration;

use poll_core::journal::{Fault, FaultKind, Health, Loaded, Located, Piece};
use poll_core::{Epoch, IdempotencyKey, JournalError, Pinned, Position, Publish, Retention, Seq, View};

use crate::fixture::*;
use crate::held_archive::HeldArchive;

/// A store with channel `a`: messages 1 to 4 were published at that many seconds after noon, and the first three are in
/// the journal only.
fn started(age: u64) -> (std::sync::Arc<HeldArchive>, poll_core::Store) {
    let retention = Retention { age: Duration::from_secs(age), ..Retention::default() };
    let (archive, store) = HeldArchive::store(retention);
    let (count, channel) = (Count::new(), name("a"));
    let mut first = Box::pin(store.publish(second(1), &channel, poll_core::Publish::one(text(1))));
    assert!(poll(&mut first, &count).is_pending());
    archive.answer_load(None);
    assert!(poll(&mut first, &count).is_ready());
    drop(first);
    for number in 2..=4 {
        archive.keep();
        publish(&store, second(number), "a");
    }
    (archive, store)
}

fn seqs(view: &View) -> (u64, Vec<u64>) {
    (view.read_state.missed().unwrap(), numbers(view))
}

#[test]
fn what_is_published_while_the_journal_looks_for_the_oldest_is_not_evicted_by_its_answer() {
    let (archive, store) = started(10);
    let (count, channel, pinned) = (Count::new(), name("a"), pin_at(&store, second(4), "a", Position::Start));
    let limit = poll_core::Limit::default();
    // By now the first three are too old. The journal has not kept the fourth yet.
    let mut read = Box::pin(store.read(second(14), &channel, &pinned, limit));
    assert!(poll(&mut read, &count).is_pending());
    let (_, reply) = archive.locates.lock().unwrap().pop_front().expect("a look for the oldest");
    let located = Located { before: Some(Seq::new(3)), after: None, end: Seq::new(4) };
    for _ in 0..2 {
        archive.keep();
        publish(&store, second(14), "a");
    }
    reply(Ok(Some(located)));
    assert!(poll(&mut read, &count).is_pending(), "the fourth and the fifth are retained, and not in memory");
    let (stretch, reply) = archive.reads.lock().unwrap().pop_front().expect("a read of them");
    assert_eq!(stretch.after, Seq::new(3));
    let kept = archive.kept.lock().unwrap()[3..].to_vec();
    reply(Ok(Some(Piece { oldest: (Seq::new(4), kept[0].at), messages: kept, damaged: None })));
    let std::task::Poll::Ready(Ok(view)) = poll(&mut read, &count) else { panic!("it waits or fails") };
    assert_eq!(seqs(&view), (3, vec![4, 5, 6]));
}

#[test]
fn what_is_published_while_the_journal_reads_what_it_has_deleted_is_not_evicted_by_its_answer() {
    let (archive, store) = started(0);
    let (count, channel, pinned) = (Count::new(), name("a"), pin_at(&store, second(4), "a", Position::Start));
    let mut read = Box::pin(store.read(second(5), &channel, &pinned, poll_core::Limit::default()));
    assert!(poll(&mut read, &count).is_pending());
    let (_, reply) = archive.reads.lock().unwrap().pop_front().expect("a read");
    // Everything that it had kept was evicted for others.
    let nothing = Piece { oldest: (Seq::new(4), second(3)), messages: Vec::new(), damaged: None };
    for _ in 0..2 {
        archive.keep();
        publish(&store, second(6), "a");
    }
    reply(Ok(Some(nothing)));
    assert!(poll(&mut read, &count).is_pending(), "the fourth and the fifth are retained, and not in memory");
    let (stretch, reply) = archive.reads.lock().unwrap().pop_front().expect("a read of them");
    assert_eq!(stretch.after, Seq::new(3));
    let kept = archive.kept.lock().unwrap()[3..].to_vec();
    reply(Ok(Some(Piece { oldest: (Seq::new(4), kept[0].at), messages: kept, damaged: None })));
    let std::task::Poll::Ready(Ok(view)) = poll(&mut read, &count) else { panic!("it waits or fails") };
    assert_eq!(seqs(&view), (3, vec![4, 5, 6]));
}

#[test]
fn a_read_while_the_journal_is_away_is_not_polled_again_before_it_is_back() {
    let (archive, store) = started(0);
    let (count, channel) = (Count::new(), name("a"));
    let pinned: Pinned = pin_at(&store, second(4), "a", Position::Start);
    let mut read = Box::pin(store.read(second(5), &channel, &pinned, poll_core::Limit::default()));
    // It claims to give, and does not: the first failure may be the answer to an older question.
    for asked in [1, 1, 0] {
        assert!(poll(&mut read, &count).is_pending());
        let reads: Vec<_> = archive.reads.lock().unwrap().drain(..).collect();
        assert_eq!(reads.len(), asked);
        reads.into_iter().for_each(|(_, reply)| reply(Err(JournalError::Unavailable("away".to_owned()))));
    }
    archive.health.send_replace(Health::Away(Fault::new(FaultKind::Failing, "being opened anew")));
    assert!(poll(&mut read, &count).is_pending());
    assert!(archive.reads.lock().unwrap().is_empty());
    archive.health.send_replace(Health::Ready);
    assert!(poll(&mut read, &count).is_pending());
    assert_eq!(archive.reads.lock().unwrap().len(), 1);
    archive.health.send_replace(Health::Lost(Fault::new(FaultKind::Closed, "closed")));
    let (_, reply) = archive.reads.lock().unwrap().pop_front().expect("a read");
    reply(Err(JournalError::Unavailable("closed".to_owned())));
    assert!(matches!(poll(&mut read, &count), std::task::Poll::Ready(Err(JournalError::Unavailable(_)))));
}

#[test]
fn what_the_journal_knew_before_a_channel_was_loaded_again_is_not_taken_for_all_of_it() {
    let (archive, store) = HeldArchive::store(Retention::default());
    let (count, channel) = (Count::new(), name("a"));
    let loaded = || Loaded {
        epoch: Epoch::new(7),
        oldest: (Seq::new(2), second(0)),
        newest: (Seq::new(1), second(0)),
        ended: false,
        life: None,
        tail: Vec::new(),
        damaged: None,
    };
    let key = IdempotencyKey::parse("k").unwrap();
    let mut keyed = Box::pin(store.publish(second(1), &channel, Publish::one(text(1)).under(key)));
    assert!(poll(&mut keyed, &count).is_pending());
    archive.answer_load(Some(loaded()));
    assert!(poll(&mut keyed, &count).is_pending());
    let early = archive.keys.lock().unwrap().pop_front().expect("a question for the keys");
    (0..200).for_each(|_| store.sweep(second(1_000), 1_000));
    let mut load = Box::pin(store.load(second(1_000), &channel));
    assert!(poll(&mut load, &count).is_pending(), "it was unloaded");
    archive.answer_load(Some(loaded()));
    assert!(poll(&mut load, &count).is_ready());
    early(Ok(Vec::new()));
    assert!(poll(&mut keyed, &count).is_pending(), "others may have been kept meanwhile");
    assert_eq!(archive.keys.lock().unwrap().len(), 1);
}
