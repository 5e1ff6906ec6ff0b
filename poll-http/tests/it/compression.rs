//! Compressed answers of polls: they say the same as others, in every dialect and size, only to those who accept them, and are
//! made once for all of them.

use bytes::Bytes;
use http::Request;
use poll_core::Kind;
use poll_http::{Access, Compress, ServiceSettings};
use proptest::prelude::*;
use zlib_rs::{Inflate, InflateFlush, Status};

use crate::world::{ADDRESS, Answer, World, pass, settle};

/// An answer through each endpoint that compresses.
const POLLS: [&str; 9] = [
    "/api/poll?channel=messages",
    "/api/longpoll?channel=messages",
    "/api/poll?channel=messages&channel=other",
    "/api/longpoll?channel=messages&channel=other",
    "/events?category=messages&timeout=5&since_time=1",
    "/messages",
    "/api/poll/messages?last_message_id=00000000-0000-0000-0000-000000000000",
    "/api/poll/messages?since=0",
    "/v1/stream/messages?offset=-1",
];

const GZIP: [(&str, &str); 1] = [("accept-encoding", "gzip")];

fn on() -> ServiceSettings {
    ServiceSettings { compress: Compress::On, ..ServiceSettings::default() }
}

fn inflated(answer: &Answer) -> String {
    assert_eq!(answer.field("content-encoding"), Some("gzip"), "{:?}", answer.fields);
    let mut out = vec![0; 1 << 22];
    let mut inflate = Inflate::new(true, 16 + 15);
    let status = inflate.decompress(&answer.body, &mut out, InflateFlush::Finish).unwrap();
    assert_eq!((status, inflate.total_in()), (Status::StreamEnd, answer.body.len() as u64));
    out.truncate(usize::try_from(inflate.total_out()).unwrap());
    String::from_utf8(out).unwrap()
}

/// Text that compresses to three quarters.
fn noise(length: usize) -> String {
    let mut state = 7_u64;
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + u8::try_from(state >> 58).unwrap())
    };
    (0..length).map(letter).map(|letter| if matches!(letter, '"' | '\\') { 'x' } else { letter }).collect()
}

#[tokio::test(start_paused = true)]
async fn an_answer_says_the_same_with_every_coding() {
    for (count, length) in [(1, 2_000), (30, 1_000), (300, 1_200), (1, 64_000)] {
        let world = World::set(on());
        world.fill("messages", count, &"abc \u{1}\"x".repeat(length / 8)).await;
        world.fill("other", 2, "x").await;
        pass(5).await;
        for target in POLLS {
            let plain = world.get(target).await;
            let gzipped = world.ask("GET", target, &GZIP, b"").await;
            assert_eq!((plain.status, gzipped.status), (200, 200), "{target}");
            let text = inflated(&gzipped);
            assert!(text == plain.text(), "{target}: {count} of {length}");
            assert!(
                gzipped.body.len() < text.len() / 4,
                "{target}: {} of {}",
                gzipped.body.len(),
                text.len()
            );
            assert_eq!(plain.field("content-encoding"), None);
            for answer in [&plain, &gzipped] {
                assert_eq!(answer.field("vary"), Some("Accept, Accept-Encoding"), "{target}");
            }
        }
        let asked = world.ask("GET", POLLS[0], &GZIP, b"").await;
        let head = world.ask("HEAD", POLLS[0], &GZIP, b"").await;
        for name in ["content-encoding", "content-length", "etag", "vary"] {
            assert_eq!(head.field(name), asked.field(name), "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_gets_a_compressed_answer() {
    let world = World::set(on());
    let mut wire = world.connect();
    wire.send("GET", "/api/longpoll", &GZIP, b"").await;
    world.until_waiting(1).await;
    world.publish("default", &"news ".repeat(300)).await;
    let answer = wire.answer().await;
    let json: serde_json::Value = serde_json::from_str(&inflated(&answer)).unwrap();
    assert_eq!(json["messages"][0]["content"], "news ".repeat(300));
    // A timeout has nothing to compress.
    wire.send("GET", "/api/longpoll?last_id=1&timeout=1", &GZIP, b"").await;
    let timeout = wire.answer().await;
    assert_eq!((timeout.field("content-encoding"), timeout.contents().len()), (None, 0));
    assert_eq!(timeout.field("vary"), Some("Accept, Accept-Encoding"));
}

#[tokio::test(start_paused = true)]
async fn each_coding_has_its_tag_and_its_304() {
    let world = World::set(on());
    world.fill("messages", 5, &"x".repeat(1_000)).await;
    world.fill("other", 1, "x").await;
    let targets = [POLLS[0], POLLS[2], POLLS[8]];
    for target in targets {
        let [plain, gzipped] = [world.get(target).await, world.ask("GET", target, &GZIP, b"").await];
        let [plain, gzipped] = [plain, gzipped].map(|answer| answer.field("etag").unwrap().to_owned());
        assert_ne!(plain, gzipped);
        let seen = async |tag: &str, coding: &str| {
            let fields = [("if-none-match", tag), ("accept-encoding", coding)];
            let answer = world.ask("GET", target, &fields, b"").await;
            assert_eq!(answer.field("vary"), Some("Accept, Accept-Encoding"));
            (
                answer.status,
                answer.field("etag").unwrap().to_owned(),
                answer.field("content-encoding").is_some(),
            )
        };
        let both = format!("\"a\", {gzipped}");
        assert_eq!(seen(&gzipped, "gzip").await, (304, gzipped.clone(), false), "{target}");
        assert_eq!(seen(&both, "gzip").await, (304, gzipped.clone(), false), "{target}");
        assert_eq!(seen(&plain, "gzip").await, (304, plain.clone(), false), "{target}");
        assert_eq!(seen(&plain, "identity").await, (304, plain.clone(), false), "{target}");
        assert_eq!(seen(&gzipped, "identity").await, (200, plain.clone(), false), "it cannot be read");
        assert_eq!(seen("W/\"other\"", "gzip").await, (200, gzipped.clone(), true), "{target}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_the_answer_of_a_poll_or_small_or_asked_for_by_url_is_left_as_it_is() {
    let token = Access { subscribe: vec!["t".to_owned()], ..Access::default() };
    let world = World::set(ServiceSettings { access: token, ..on() });
    world.fill("messages", 5, &"x".repeat(1_000)).await;
    let bearer = [GZIP[0], ("authorization", "Bearer t")];
    assert!(world.ask("GET", POLLS[0], &bearer, b"").await.field("content-encoding").is_some());
    for target in POLLS {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let url = format!("{path}?{query}&access_token=t");
        let answer = world.ask("GET", &url, &GZIP, b"").await;
        let said = (answer.status, answer.field("content-encoding"), answer.field("vary"));
        assert_eq!(said, (200, None, None), "{url}");
        let refused = world.ask("GET", target, &GZIP, b"").await;
        assert_eq!((refused.status, refused.field("content-encoding")), (401, None), "{target}");
    }
    let long = format!("/api/poll?limit={}", "9".repeat(4_000));
    assert_eq!(world.ask("GET", &long, &bearer, b"").await.field("content-encoding"), None, "an error");
    for target in ["/api/stream?channel=messages&last_id=0", "/api/push?channel=messages&last_id=0"] {
        let mut wire = world.connect();
        let head = wire.open(target, &bearer).await;
        assert_eq!((head.field("content-encoding"), head.field("vary")), (None, Some("Accept")), "{target}");
    }
    let small = world.ask("GET", "/api/poll?channel=messages&last_id=5", &bearer, b"").await;
    assert_eq!((small.field("content-encoding"), small.contents().len()), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn more_than_a_kibibyte_is_compressed_and_no_less() {
    let world = World::set(on());
    let around = {
        world.fill("around", 1, "").await;
        world.get("/api/poll?channel=around").await.body.len()
    };
    for (channel, length, coding) in [("under", 1_024, None), ("over", 1_025, Some("gzip"))] {
        world.fill(channel, 1, &"x".repeat(length - around)).await;
        let target = format!("/api/poll?channel={channel}");
        assert_eq!(world.get(&target).await.body.len(), length);
        assert_eq!(world.ask("GET", &target, &GZIP, b"").await.field("content-encoding"), coding, "{length}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_compressed_unless_that_is_switched_on() {
    let world = World::new();
    world.fill("messages", 5, &"x".repeat(1_000)).await;
    for target in POLLS {
        let [plain, asked] = [world.get(target).await, world.ask("GET", target, &GZIP, b"").await];
        let names = |answer: &Answer| answer.fields.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!((plain.text(), names(&plain)), (asked.text(), names(&asked)), "{target}");
        assert_eq!(asked.field("vary"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn readers_of_the_same_messages_share_the_compressed_answer() {
    let world = World::set(on());
    world.fill("default", 1, &noise(40_000)).await;
    let mut wires = Vec::new();
    for _ in 0..10 {
        let mut wire = world.connect_through(64, ADDRESS);
        wire.send("GET", "/api/poll", &GZIP, b"").await;
        settle().await;
        wires.push(wire);
    }
    // The message, the answer and the compressed answer, and what the first reader got before there was another.
    let used = world.used(Kind::Answers);
    assert!((60_000..200_000).contains(&used), "{used} bytes for ten readers");
    for mut wire in wires.drain(..5) {
        let answer = wire.answer().await;
        assert!(inflated(&answer).contains(&noise(40_000)));
    }
    drop(wires);
}

#[tokio::test(start_paused = true)]
async fn http_2_has_the_same() {
    let world = World::set(on());
    for (channel, count) in [("few", 5), ("many", 200)] {
        world.fill(channel, count, &"x\u{1}".repeat(500)).await;
        let mut requests = world.connect_http2(&h2::client::Builder::new()).await;
        let uri = format!("http://poll.test/api/poll?channel={channel}");
        let request = Request::get(uri).header("accept-encoding", "br;q=1, gzip;q=0.8").body(()).unwrap();
        let (head, mut body) = requests.send_request(request, true).unwrap().0.await.unwrap().into_parts();
        let mut all = Vec::new();
        while let Some(piece) = body.data().await {
            let piece: Bytes = piece.unwrap();
            let _ = body.flow_control().release_capacity(piece.len());
            all.extend_from_slice(&piece);
        }
        let fields = head.headers.iter();
        let fields = fields.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        let answer = Answer { status: head.status.as_u16(), fields: fields.collect(), body: all };
        let plain = world.get(&format!("/api/poll?channel={channel}")).await;
        assert_eq!(inflated(&answer), plain.text());
        assert_eq!(answer.field("vary"), Some("Accept, Accept-Encoding"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_messages_come_through(texts in proptest::collection::vec("\\PC{0,400}", 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().start_paused(true).enable_time().build();
        runtime.unwrap().block_on(async {
            let world = World::set(on());
            for text in &texts {
                world.fill("default", 1, text).await;
            }
            let plain = world.get("/api/poll").await;
            let asked = world.ask("GET", "/api/poll", &GZIP, b"").await;
            if plain.body.len() > 1_024 && asked.field("content-encoding").is_some() {
                assert_eq!(inflated(&asked), plain.text());
            } else {
                assert_eq!(asked.text(), plain.text());
            }
        });
    }
}
