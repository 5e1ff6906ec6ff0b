//! What every journal promises through a store, be it in memory, on disk, or shared by several servers: the same tests
//! for all. A journal's own tests run them with `contract_tests!`, given a [`Backend`].
//!
//! A journal of one process is its own and only server: its [stores](Opened::stores) are all the same. Times are the
//! clock's, which the journal may have elsewhere, so tests compare times of messages only.

mod listing;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use poll_core::journal::Tail;
use poll_core::{
    ChannelName, Continuity, Cursor, Epoch, Found, IdempotencyKey, Limit, Locator, Message, Payload, Pinned,
    Position, Publish, PublishError, Published, Retention, Seal, Seq, Stamp, Store, View,
};

pub(crate) use listing::{
    a_listed_channel_is_what_is_retained_of_it,
    channels_are_listed_a_page_at_a_time_in_the_order_of_their_names, many_channels_are_listed_once_each,
};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A journal to test.
pub(crate) trait Backend {
    /// Opens an empty log with stores for `servers` servers.
    async fn open(&self, servers: usize, retention: Retention, tail: Tail) -> Opened;
}

pub(crate) struct Opened {
    pub(crate) stores: Vec<Store>,
    /// What has to live as long as the stores.
    pub(crate) _holds: Box<dyn Any>,
}

/// One test for each promise.
macro_rules! contract_tests {
    ($backend:expr) => {
        $crate::contract::contract_tests!($backend =>
            all_servers_see_one_order,
            a_read_that_begins_sees_what_was_published,
            a_channel_that_was_not_read_is_seen_in_full,
            a_publish_reaches_the_waiters_of_every_server,
            one_publish_is_one_run_of_numbers,
            many_publishers_get_one_order,
            a_repeated_publish_is_answered_as_the_first,
            a_key_belongs_to_its_payload_and_channel,
            duplicates_at_once_are_published_once,
            a_closed_channel_takes_nothing_and_says_so,
            a_channel_ends_without_a_message,
            a_position_means_the_same_on_every_server,
            what_is_not_in_memory_is_read_back,
            what_is_no_longer_retained_is_missed,
            a_position_of_another_life_is_a_reset,
            a_position_in_a_channel_to_come_stays_at_its_start,
            a_single_message_is_found_by_cursor_and_number,
            nothing_follows_into_a_settled_time,
            a_sealed_millisecond_is_closed_for_all,
            there_are_no_more_channels_than_allowed,
            every_kind_of_payload_comes_back,
            channels_are_listed_a_page_at_a_time_in_the_order_of_their_names,
            a_listed_channel_is_what_is_retained_of_it,
            many_channels_are_listed_once_each,
        );
    };
    ($backend:expr => $($name:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                $crate::contract::$name(&$backend).await;
            }
        )*
    };
}
pub(crate) use contract_tests;

/// Two servers, and bounds that nothing reaches.
async fn two(backend: &impl Backend) -> Opened {
    backend.open(2, Retention::default(), Tail::default()).await
}

/// Two servers with room for hardly more than the newest message.
async fn two_small(backend: &impl Backend) -> Opened {
    backend.open(2, Retention::default(), Tail { bytes: 200, ..Tail::default() }).await
}

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).unwrap()
}

fn one(text: &str) -> Publish {
    Publish::one(Payload::text(text.to_owned()))
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

async fn try_send(store: &Store, channel: &str, publish: Publish) -> Result<Published, PublishError> {
    in_time(store.publish(store.environment().now(), &name(channel), publish)).await
}

async fn send(store: &Store, channel: &str, publish: Publish) -> Published {
    try_send(store, channel, publish).await.unwrap()
}

async fn send_text(store: &Store, channel: &str, text: &str) -> Stamp {
    send(store, channel, one(text)).await.stamps[0]
}

async fn pin(store: &Store, channel: &str, position: Position) -> Pinned {
    in_time(store.pin(store.environment().now(), &name(channel), position)).await.unwrap()
}

async fn read_on(store: &Store, channel: &str, pinned: &Pinned) -> View {
    let now = store.environment().now();
    in_time(store.read(now, &name(channel), pinned, Limit::default())).await.unwrap()
}

async fn read(store: &Store, channel: &str, position: Position) -> View {
    read_on(store, channel, &pin(store, channel, position).await).await
}

async fn find(store: &Store, channel: &str, locator: Locator) -> Found {
    in_time(store.message(store.environment().now(), &name(channel), locator)).await.unwrap()
}

fn messages(view: &View) -> &[Arc<Message>] {
    view.batch.as_ref().map_or(&[], |batch| batch.messages())
}

/// Everything after a position, view after view.
async fn all(store: &Store, channel: &str, position: Position) -> Vec<Arc<Message>> {
    let mut view = read(store, channel, position).await;
    let mut given = Vec::new();
    while view.batch.is_some() {
        given.extend_from_slice(messages(&view));
        view = read_on(store, channel, &Pinned::after(view.next)).await;
    }
    given
}

fn texts(messages: &[Arc<Message>]) -> Vec<&str> {
    messages.iter().map(|message| std::str::from_utf8(message.payload.as_bytes()).unwrap()).collect()
}

fn numbers(messages: &[Arc<Message>]) -> Vec<u64> {
    messages.iter().map(|message| message.seq.get()).collect()
}

/// Makes every store drop what it may from memory.
fn unload(opened: &Opened) {
    for store in &opened.stores {
        let later = store.environment().now().after(Tail::default().idle * 2);
        // The second page is the end.
        (0..200).for_each(|_| store.sweep(later, 1_000));
    }
}

pub(crate) async fn all_servers_see_one_order(backend: &impl Backend) {
    let opened = backend.open(3, Retention::default(), Tail::default()).await;
    let mut stamps = Vec::new();
    for round in 0..10 {
        for (server, store) in opened.stores.iter().enumerate() {
            stamps.push(send_text(store, "a", &format!("{round}/{server}")).await);
        }
    }
    let first = all(&opened.stores[0], "a", Position::Start).await;
    assert_eq!(numbers(&first), (1..=30).collect::<Vec<_>>());
    assert!(first.windows(2).all(|two| two[0].at < two[1].at && two[0].id < two[1].id));
    for store in &opened.stores {
        let seen = all(store, "a", Position::Start).await;
        assert_eq!(seen, first);
        let epoch = read(store, "a", Position::End).await.read_state.epoch;
        let stamp = |message: &Arc<Message>| Stamp {
            cursor: Cursor { epoch, seq: message.seq },
            id: message.id,
            at: message.at,
        };
        assert_eq!(seen.iter().map(stamp).collect::<Vec<_>>(), stamps);
    }
}

pub(crate) async fn a_read_that_begins_sees_what_was_published(backend: &impl Backend) {
    let opened = two(backend).await;
    // In memory on both.
    for store in &opened.stores {
        assert!(messages(&read(store, "a", Position::Start).await).is_empty());
    }
    for number in 0..40 {
        let (here, there) = (&opened.stores[number % 2], &opened.stores[(number + 1) % 2]);
        let stamp = send_text(here, "a", "x").await;
        assert_eq!(pin(there, "a", Position::End).await.cursor(), Some(stamp.cursor));
        let before = Position::After(Cursor { seq: stamp.cursor.seq.previous(), ..stamp.cursor });
        let view = read(there, "a", if number == 0 { Position::Start } else { before }).await;
        assert_eq!((view.next, view.read_state.continuity), (stamp.cursor, Continuity::Kept));
        assert!(matches!(find(there, "a", Locator::Cursor(stamp.cursor)).await, Found::Message(..)));
        // A client comes to the other server with a cursor that is newer than anything seen there.
        assert_eq!(pin(here, "a", Position::After(stamp.cursor)).await, Pinned::after(stamp.cursor));
    }
}

pub(crate) async fn a_channel_that_was_not_read_is_seen_in_full(backend: &impl Backend) {
    let opened = two_small(backend).await;
    for number in 0..20 {
        send_text(&opened.stores[0], "a", &number.to_string()).await;
        unload(&opened);
        let seen = all(&opened.stores[1], "a", Position::Start).await;
        assert_eq!(seen.len(), number + 1);
    }
}

pub(crate) async fn a_publish_reaches_the_waiters_of_every_server(backend: &impl Backend) {
    let opened = backend.open(3, Retention::default(), Tail::default()).await;
    let mut waiting = Vec::new();
    for store in &opened.stores {
        let store = store.clone();
        let pinned = pin(&store, "a", Position::End).await;
        waiting.push(tokio::spawn(async move {
            let (lane, a) = (store.lane(), name("a"));
            let (mut pinned, mut seen) = (pinned, Vec::new());
            while seen.len() < 20 {
                store.wait(&a, &pinned, &lane).await;
                let view = read_on(&store, "a", &pinned).await;
                seen.extend_from_slice(messages(&view));
                pinned = Pinned::after(view.next);
            }
            seen
        }));
    }
    for number in 0..20 {
        send_text(&opened.stores[number % 3], "a", "x").await;
    }
    for seen in waiting {
        assert_eq!(numbers(&in_time(seen).await.unwrap()), (1..=20).collect::<Vec<_>>());
    }
}

pub(crate) async fn one_publish_is_one_run_of_numbers(backend: &impl Backend) {
    let opened = two(backend).await;
    let payloads = |text: &str| vec![Payload::text(text.to_owned()); 50];
    let (left, right) = tokio::join!(
        send(&opened.stores[0], "a", Publish::many(payloads("left"))),
        send(&opened.stores[1], "a", Publish::many(payloads("right"))),
    );
    for published in [&left, &right] {
        let numbers: Vec<_> = published.stamps.iter().map(|stamp| stamp.cursor.seq.get()).collect();
        assert!(numbers == (1..=50).collect::<Vec<_>>() || numbers == (51..=100).collect::<Vec<_>>());
    }
    let seen = all(&opened.stores[0], "a", Position::Start).await;
    assert!(texts(&seen[..50]).windows(2).all(|two| two[0] == two[1]) && seen.len() == 100);
    let nothing = try_send(&opened.stores[0], "a", Publish::many(Vec::new())).await;
    assert_eq!(nothing, Err(PublishError::Nothing));
}

pub(crate) async fn many_publishers_get_one_order(backend: &impl Backend) {
    let opened = two(backend).await;
    let publishing = (0..200).map(|number| {
        let store = opened.stores[number % 2].clone();
        tokio::spawn(async move { (send_text(&store, "a", &number.to_string()).await, number) })
    });
    let mut published = Vec::new();
    for one in publishing.collect::<Vec<_>>() {
        published.push(in_time(one).await.unwrap());
    }
    published.sort_unstable_by_key(|(stamp, _)| stamp.cursor.seq);
    for store in &opened.stores {
        let seen = all(store, "a", Position::Start).await;
        assert_eq!(numbers(&seen), (1..=200).collect::<Vec<_>>());
        for (message, (stamp, number)) in seen.iter().zip(&published) {
            assert_eq!((message.id, message.at), (stamp.id, stamp.at));
            assert_eq!(message.payload, Payload::text(number.to_string()));
        }
    }
}

pub(crate) async fn a_repeated_publish_is_answered_as_the_first(backend: &impl Backend) {
    let opened = two_small(backend).await;
    let keyed = || Publish::many(vec![Payload::text("x"), Payload::text("y")]).under(key("k"));
    send_text(&opened.stores[0], "a", "before").await;
    let first = send(&opened.stores[0], "a", keyed()).await;
    assert!(!first.repeated);
    let expected = Published { repeated: true, ..first };
    for store in &opened.stores {
        assert_eq!(send(store, "a", keyed()).await, expected);
        send_text(store, "a", "after").await;
        unload(&opened);
        assert_eq!(send(store, "a", keyed()).await, expected);
    }
    assert_eq!(all(&opened.stores[1], "a", Position::Start).await.len(), 5);
}

pub(crate) async fn a_key_belongs_to_its_payload_and_channel(backend: &impl Backend) {
    let opened = two(backend).await;
    send(&opened.stores[0], "a", one("x").under(key("k"))).await;
    for store in &opened.stores {
        let reused = try_send(store, "a", one("y").under(key("k"))).await;
        assert_eq!(reused, Err(PublishError::KeyReused));
    }
    assert!(!send(&opened.stores[1], "b", one("y").under(key("k"))).await.repeated);
    assert!(!send(&opened.stores[1], "a", one("x").under(key("l"))).await.repeated);
}

pub(crate) async fn duplicates_at_once_are_published_once(backend: &impl Backend) {
    let opened = two(backend).await;
    let publishing = (0..20).map(|number| {
        let store = opened.stores[number % 2].clone();
        tokio::spawn(async move { send(&store, "a", one("x").under(key("k"))).await })
    });
    let mut published = Vec::new();
    for one in publishing.collect::<Vec<_>>() {
        published.push(in_time(one).await.unwrap());
    }
    assert_eq!(published.iter().filter(|published| !published.repeated).count(), 1);
    assert!(published.iter().all(|other| other.stamps == published[0].stamps));
    assert_eq!(all(&opened.stores[0], "a", Position::Start).await.len(), 1);
}

pub(crate) async fn a_closed_channel_takes_nothing_and_says_so(backend: &impl Backend) {
    let opened = two(backend).await;
    let reading = read(&opened.stores[1], "a", Position::Start).await;
    assert!(!reading.is_closed());
    send_text(&opened.stores[0], "a", "x").await;
    send(&opened.stores[0], "a", one("last").closing().under(key("k"))).await;
    for store in &opened.stores {
        assert_eq!(try_send(store, "a", one("late")).await, Err(PublishError::Closed));
        in_time(store.close(store.environment().now(), &name("a"))).await.unwrap();
        let view = read(store, "a", Position::Start).await;
        assert_eq!(texts(messages(&view)), ["x", "last"]);
        assert!(view.is_closed());
        unload(&opened);
        assert!(read(store, "a", Position::Start).await.is_closed());
        // The one that closed it can be repeated.
        assert!(send(store, "a", one("last").closing().under(key("k"))).await.repeated);
    }
}

pub(crate) async fn a_channel_ends_without_a_message(backend: &impl Backend) {
    let opened = two(backend).await;
    send_text(&opened.stores[0], "a", "x").await;
    for channel in ["a", "unborn"] {
        let pinned = pin(&opened.stores[1], channel, Position::End).await;
        let waiting = tokio::spawn({
            let (store, channel) = (opened.stores[1].clone(), name(channel));
            async move { store.wait(&channel, &pinned, &store.lane()).await }
        });
        tokio::task::yield_now().await;
        let now = opened.stores[0].environment().now();
        in_time(opened.stores[0].close(now, &name(channel))).await.unwrap();
        in_time(waiting).await.unwrap();
        let view = read_on(&opened.stores[1], channel, &pinned).await;
        assert!(view.is_closed() && view.batch.is_none() && view.read_state.missed() == Some(0));
        for store in &opened.stores {
            assert_eq!(try_send(store, channel, one("late")).await, Err(PublishError::Closed));
            unload(&opened);
        }
    }
}

pub(crate) async fn a_position_means_the_same_on_every_server(backend: &impl Backend) {
    let opened = two_small(backend).await;
    let mut stamps = Vec::new();
    for number in 0..20 {
        stamps.push(send_text(&opened.stores[number % 2], "a", "x").await);
    }
    for store in &opened.stores {
        for (number, stamp) in (1..).zip(&stamps) {
            let rest: Vec<_> = (number + 1..=20).collect();
            for position in [
                Position::After(stamp.cursor),
                Position::AfterSeq(Seq::new(number)),
                Position::AfterTime(stamp.at),
                Position::AfterId(stamp.id),
            ] {
                assert_eq!(numbers(&all(store, "a", position).await), rest, "{position:?}");
            }
        }
        unload(&opened);
        assert_eq!(read(store, "a", Position::End).await.next, stamps[19].cursor);
        let unknown = read(store, "a", Position::Unknown).await;
        assert_eq!(unknown.read_state.continuity, Continuity::Reset);
        assert_eq!(messages(&unknown)[0].seq, Seq::new(1));
    }
}

pub(crate) async fn what_is_not_in_memory_is_read_back(backend: &impl Backend) {
    let opened = two_small(backend).await;
    let texts_of: Vec<_> = (0..300).map(|number| format!("message {number}")).collect();
    for (number, text) in texts_of.iter().enumerate() {
        send_text(&opened.stores[number % 2], "a", text).await;
    }
    for store in &opened.stores {
        assert_eq!(texts(&all(store, "a", Position::Start).await), texts_of);
        unload(&opened);
        assert_eq!(texts(&all(store, "a", Position::Start).await), texts_of);
    }
}

pub(crate) async fn what_is_no_longer_retained_is_missed(backend: &impl Backend) {
    let retention = Retention { messages: 5, ..Retention::default() };
    let opened = backend.open(2, retention, Tail::default()).await;
    let mut stamps = Vec::new();
    for number in 0..12 {
        stamps.push(send_text(&opened.stores[number % 2], "a", "x").await);
    }
    for store in &opened.stores {
        for (position, missed) in [
            (Position::Start, 7),
            (Position::After(stamps[2].cursor), 4),
            (Position::AfterSeq(Seq::new(8)), 0),
        ] {
            let view = read(store, "a", position).await;
            assert_eq!(view.read_state.missed(), Some(missed));
            assert_eq!(numbers(messages(&view)).last(), Some(&12));
        }
        assert_eq!(find(store, "a", Locator::Seq(Seq::new(3))).await, Found::Gone);
        for _ in ["in memory", "loaded again"] {
            // When messages were evicted may have been forgotten, but not that they were.
            for (stamp, missed) in [(stamps[2], 1..=4), (stamps[7], 0..=0), (stamps[11], 0..=0)] {
                for position in [Position::AfterTime(stamp.at), Position::AfterId(stamp.id)] {
                    let told = read(store, "a", position).await.read_state.missed();
                    assert!(told.is_some_and(|told| missed.contains(&told)), "{position:?}: {told:?}");
                }
            }
            unload(&opened);
        }
    }
}

pub(crate) async fn a_position_of_another_life_is_a_reset(backend: &impl Backend) {
    let opened = two(backend).await;
    let stamp = send_text(&opened.stores[0], "a", "x").await;
    for store in &opened.stores {
        for position in [
            Position::After(Cursor { epoch: Epoch::new(0xdead), ..stamp.cursor }),
            Position::After(Cursor { seq: Seq::new(2), ..stamp.cursor }),
            Position::AfterSeq(Seq::new(9)),
        ] {
            let view = read(store, "a", position).await;
            assert_eq!(view.read_state.continuity, Continuity::Reset, "{position:?}");
            assert_eq!(numbers(messages(&view)), [1]);
        }
    }
}

pub(crate) async fn a_position_in_a_channel_to_come_stays_at_its_start(backend: &impl Backend) {
    let opened = two(backend).await;
    let mut pins = Vec::new();
    for store in &opened.stores {
        for position in [Position::Start, Position::End, Position::After(Cursor::ZERO)] {
            pins.push((store, pin(store, "a", position).await));
        }
        assert_eq!(read(store, "a", Position::Start).await.next, Cursor::ZERO);
    }
    send(&opened.stores[0], "a", Publish::many(vec![Payload::text("x"), Payload::text("y")])).await;
    for (store, pinned) in pins {
        // A read that continues needs no check, but one that waits is woken.
        in_time(store.wait(&name("a"), &pinned, &store.lane())).await;
        let view = read_on(store, "a", &pinned).await;
        assert_eq!((numbers(messages(&view)), view.read_state.missed()), (vec![1, 2], Some(0)));
    }
}

pub(crate) async fn a_single_message_is_found_by_cursor_and_number(backend: &impl Backend) {
    let opened = two_small(backend).await;
    let mut stamps = Vec::new();
    for number in 0..5 {
        stamps.push(send_text(&opened.stores[0], "a", &number.to_string()).await);
    }
    for store in &opened.stores {
        for (number, stamp) in stamps.iter().enumerate() {
            for locator in [Locator::Cursor(stamp.cursor), Locator::Seq(stamp.cursor.seq)] {
                let Found::Message(message, cursor, until) = find(store, "a", locator).await else {
                    panic!("{locator:?}")
                };
                assert_eq!((message.id, message.at, cursor), (stamp.id, stamp.at, stamp.cursor));
                assert_eq!(message.payload, Payload::text(number.to_string()));
                assert_eq!(until, Retention::default().age().map(|age| stamp.at.after(age)));
            }
        }
        for never in [
            Locator::Seq(Seq::ZERO),
            Locator::Seq(Seq::new(6)),
            Locator::Cursor(Cursor { epoch: Epoch::new(0xdead), ..stamps[0].cursor }),
        ] {
            assert_eq!(find(store, "a", never).await, Found::Never);
        }
        assert_eq!(find(store, "unborn", Locator::Seq(Seq::new(1))).await, Found::Never);
        unload(&opened);
    }
}

pub(crate) async fn nothing_follows_into_a_settled_time(backend: &impl Backend) {
    let opened = two(backend).await;
    send_text(&opened.stores[0], "a", "x").await;
    for round in 0..20 {
        let (here, there) = (&opened.stores[round % 2], &opened.stores[(round + 1) % 2]);
        let now = here.environment().now();
        let settled = in_time(here.settle(now, &name("a"), now.as_millis())).await.unwrap();
        assert!(settled <= now.as_millis());
        let before = all(here, "a", Position::Start).await.len();
        let stamp = send_text(there, "a", "x").await;
        assert!(stamp.at.as_millis() > settled, "round {round}: {:?} in {settled}", stamp.at);
        assert_eq!(stamp.cursor.seq.get(), before as u64 + 1);
    }
}

pub(crate) async fn a_sealed_millisecond_is_closed_for_all(backend: &impl Backend) {
    let opened = two(backend).await;
    for round in 0..10 {
        let (here, there) = (&opened.stores[round % 2], &opened.stores[(round + 1) % 2]);
        send_text(there, "a", "x").await;
        let newest = all(here, "a", Position::Start).await.pop().unwrap();
        let sealing = async {
            while here.seal(here.environment().now(), &name("a"), &newest) == Seal::Open {
                tokio::task::yield_now().await;
            }
        };
        in_time(sealing).await;
        let next = send_text(there, "a", "x").await;
        assert!(next.at.as_millis() > newest.at.as_millis());
    }
}

pub(crate) async fn there_are_no_more_channels_than_allowed(backend: &impl Backend) {
    let retention = Retention { channels: 2, ..Retention::default() };
    let opened = backend.open(2, retention, Tail::default()).await;
    send_text(&opened.stores[0], "a", "x").await;
    // Reading makes no channel.
    let _ = pin(&opened.stores[0], "unborn", Position::Start).await;
    send_text(&opened.stores[1], "b", "x").await;
    for store in &opened.stores {
        let third = try_send(store, "c", one("x")).await;
        assert!(matches!(third, Err(PublishError::TooManyChannels { .. })), "{third:?}");
        send_text(store, "a", "x").await;
    }
}

pub(crate) async fn every_kind_of_payload_comes_back(backend: &impl Backend) {
    let opened = two_small(backend).await;
    let payloads = [
        Payload::json(br#"{"a":[1,2.50,"\u00e9"]}"#).unwrap(),
        Payload::text("text with\0zero and \u{2028}"),
        Payload::bytes((0..=255).collect::<Vec<u8>>()),
        Payload::text(""),
        Payload::bytes(vec![0xff; 60_000]),
    ];
    for payload in &payloads {
        send(&opened.stores[0], "a", Publish::one(payload.clone())).await;
    }
    for store in &opened.stores {
        let seen = all(store, "a", Position::Start).await;
        assert!(seen.iter().map(|message| &message.payload).eq(&payloads));
        unload(&opened);
    }
}
