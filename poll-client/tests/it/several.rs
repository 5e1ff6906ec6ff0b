//! Several channels in one request: what is asked, whose each message is, and a list that changes.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use poll_client::{
    ChannelName, ChunkedStream, Error, Event, EventSource, LongPoll, ShortPoll, StartAt, Subscription,
};
use poll_core::{ChannelKey, CursorSet};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::fake::{self, Asked, Peer, STREAM_HEAD, answer, chunk, ok};

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

/// The epoch of a channel of these tests: each has its own.
fn epoch(channel: &str) -> u64 {
    0x100 + u64::from(channel.as_bytes()[0])
}

fn cursor(channel: &str, seq: u64) -> String {
    format!("{:016x}{seq:016x}", epoch(channel))
}

/// A compound token: `a1 b5`.
fn token(positions: &str) -> String {
    let mut text = CursorSet::PREFIX.to_owned();
    for position in positions.split_whitespace() {
        let (channel, seq) = position.split_at(1);
        let at = match seq.parse().unwrap() {
            0 => "0".repeat(32),
            seq => cursor(channel, seq),
        };
        let entry = CursorSet::entry(&ChannelKey::of(&name(channel)), at.parse().unwrap());
        text.push_str(std::str::from_utf8(&entry).unwrap());
    }
    text
}

/// Messages as polls give them: `a1 b5`.
fn records(messages: &str) -> String {
    let record = |message: &str| {
        let (channel, seq) = message.split_at(1);
        fake::record(seq.parse().unwrap()).replacen('{', &format!(r#"{{"channel":"{channel}","#), 1)
    };
    messages.split_whitespace().map(record).collect::<Vec<_>>().join(",")
}

fn polled(messages: &str, at: &str, flags: &str) -> String {
    let (records, token) = (records(messages), token(at));
    ok(&format!(r#"{{"messages":[{records}],"count":0,"cursor":"{token}"{flags}}}"#))
}

/// A stream's line of `a1`, at a token.
fn update(message: &str, at: &str) -> String {
    let (channel, seq) = message.split_at(1);
    let (more, token) = (format!(r#"{{"channel":"{channel}","#), token(at));
    let line = fake::update(seq.parse().unwrap()).replacen('{', &more, 1);
    line.replace(&fake::cursor(seq.parse().unwrap()), &token)
}

fn line(kind: &str, at: &str, more: &str) -> String {
    format!(r#"{{"type":"{kind}","cursor":"{}"{more}}}"#, token(at))
}

fn lines(lines: &[String]) -> String {
    STREAM_HEAD.to_owned() + &lines.iter().map(|line| chunk(&format!("{line}\n"))).collect::<String>()
}

/// The channels asked for and the position, as these tests write them.
fn question(asked: &Asked) -> String {
    let query = asked.line.split([' ', '?']).nth(2).unwrap();
    let names: Vec<_> = query.split('&').filter_map(|pair| pair.strip_prefix("channel=")).collect();
    let at = asked.header("last-event-id").or(asked.query("cursor"));
    let at = at.map_or_else(
        || asked.query("last_id").map_or(String::new(), |id| format!("#{id}")),
        |at| {
            let known: HashMap<_, _> = names
                .iter()
                .flat_map(|name| (0..100).map(move |seq| format!("{name}{seq}")))
                .flat_map(|position| {
                    let (channel, seq) = position.split_at(1);
                    let plain = cursor(channel, seq.parse().unwrap());
                    [(token(&position)[3..].to_owned(), position.clone()), (plain, position)]
                })
                .collect();
            let parts: Vec<_> = match at.strip_prefix("m1-") {
                Some(parts) => parts
                    .as_bytes()
                    .chunks(40)
                    .map(|part| known[std::str::from_utf8(part).unwrap()].clone())
                    .collect(),
                None => vec![format!("plain {}", known[at])],
            };
            parts.join(" ")
        },
    );
    format!("{} of {} at {at}", asked.path().trim_start_matches("/api/"), names.join(" "))
}

async fn asked(peer: &mut Peer) -> String {
    question(&peer.request().await.unwrap())
}

fn short(event: &Result<Event, Error>) -> String {
    match event {
        Ok(Event::Message(message)) => format!("{}{}", message.channel, message.seq),
        Ok(Event::Missed { channel, .. }) => format!("{} of {channel}", fake::short(event)),
        Ok(Event::Refused { .. } | Event::Closed { .. }) | Err(_) => fake::short(event),
    }
}

async fn take(events: &mut Subscription, count: usize) -> String {
    let mut taken = Vec::new();
    while taken.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(3600), events.next()).await;
        let Some(event) = next.expect("an event within the hour") else { break };
        taken.push(short(&event));
    }
    taken.join(" ")
}

fn stands_at(events: &Subscription, at: &str) -> bool {
    events.position() == Some(at.parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_of_several_is_one_request_and_tells_of_each_channel() {
    let (client, mut server) = fake::client();
    let mut events = LongPoll::new(&client, [&name("a"), &name("b")]).start_at(StartAt::Oldest).subscribe();
    assert!(stands_at(&events, &token("a0 b0")), "{:?}", events.position());
    let script = tokio::spawn(async move {
        let mut peer = server.accept().await;
        let mut questions = Vec::new();
        for answer in [
            polled("a1 b1 a2", "a2 b1", ""),
            polled("b4", "a2 b4", r#","missed":[{"channel":"b","missed":2}],"reset":["a"]"#),
            // Messages 3 and 4 are gone, and no line said so.
            polled("a5 b5", "a5 b5", ""),
            polled("", "a5 b5", r#","closed":true"#),
        ] {
            questions.push(asked(&mut peer).await);
            peer.send(answer).await;
        }
        questions
    });
    assert_eq!(take(&mut events, 2).await, "a1 b1");
    // What is read and not returned yet is not behind the reader.
    assert!(stands_at(&events, &token("a1 b1")), "{:?}", events.position());
    assert_eq!(take(&mut events, 9).await, "a2 missed 2 of b reset of a b4 missed 2 of a a5 b5 ended");
    assert!(stands_at(&events, &token("a5 b5")), "{:?}", events.position());
    let questions = script.await.unwrap();
    assert_eq!(
        questions[..3],
        ["longpoll of a b at a0 b0", "longpoll of a b at a2 b1", "longpoll of a b at a2 b4"]
    );
    assert_eq!(events.counts().missed, 4);
}

#[tokio::test(start_paused = true)]
async fn streams_of_several_resume_at_the_last_token_and_tell_of_each_channel() {
    for sse in [false, true] {
        let (client, mut server) = fake::client();
        let start = StartAt::After(token("a1").parse().unwrap());
        let channels = [&name("a"), &name("b")];
        let mut events = if sse {
            EventSource::new(&client, channels).start_at(start).subscribe()
        } else {
            ChunkedStream::new(&client, channels).start_at(start).subscribe()
        };
        let wrap = move |said: &[String]| {
            let wrapped: Vec<_> = said.iter().map(|line| format!("data: {line}\n")).collect();
            lines(if sse { &wrapped } else { said })
        };
        let script = tokio::spawn(async move {
            let mut peer = server.accept().await;
            // The token does not know b, which starts now.
            assert_eq!(asked(&mut peer).await, "stream of a b at a1");
            peer.send(wrap(&[
                line("connected", "a1 b7", ""),
                update("b8", "a1 b8"),
                line("reset", "a5 b8", r#","channel":"a","missed":4"#),
                update("a6", "a6 b8"),
                line("heartbeat", "a6 b8", ""),
                update("b9", "a6 b9"),
            ]))
            .await;
            drop(peer);
            let mut peer = server.accept().await;
            assert_eq!(asked(&mut peer).await, "stream of a b at a6 b9");
            // Repeats are dropped, channel by channel.
            peer.send(wrap(&[
                line("connected", "a6 b9", ""),
                update("a6", "a6 b9"),
                update("a7", "a7 b9"),
                line("closed", "a7 b9", r#","reason":"ended""#),
            ]))
            .await;
        });
        assert_eq!(take(&mut events, 9).await, "b8 missed 4 of a a6 b9 a7 ended");
        assert!(stands_at(&events, &token("a7 b9")), "{:?}", events.position());
        script.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn short_polls_of_several_ask_with_the_tag_of_the_same_question() {
    let (client, mut server) = fake::client();
    let mut events =
        ShortPoll::new(&client, vec![name("a"), name("b")]).start_at(StartAt::Oldest).subscribe();
    let script = tokio::spawn(async move {
        let mut peer = server.accept().await;
        let tagged = |body: &str| body.replacen("\r\n", "\r\nETag: W/\"1\"\r\n", 1);
        assert_eq!(asked(&mut peer).await, "poll of a b at a0 b0");
        peer.send(tagged(&polled("", "a0 b0", ""))).await;
        assert_eq!(peer.request().await.unwrap().header("if-none-match"), Some("W/\"1\""));
        peer.send(answer("304 Not Modified", "", "")).await;
        assert_eq!(peer.request().await.unwrap().header("if-none-match"), Some("W/\"1\""));
        peer.send(polled("a1", "a1 b0", "")).await;
        peer.until_closed().await;
    });
    assert_eq!(take(&mut events, 1).await, "a1");
    drop((events, client));
    script.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn refused_channels_are_told_once_and_the_rest_goes_on() {
    let (client, mut server) = fake::client();
    let mut events = LongPoll::new(&client, [&name("a"), &name("b")]).start_at(StartAt::Oldest).subscribe();
    let script = tokio::spawn(async move {
        let mut peer = server.accept().await;
        for answer in [
            polled("a1", "a1", r#","refused":["b"]"#),
            polled("a2", "a2", r#","refused":["b"]"#),
            polled("b1", "a2 b1", ""),
            answer("403 Forbidden", "", r#"{"title":"Forbidden"}"#),
        ] {
            peer.request().await.unwrap();
            peer.send(answer).await;
        }
    });
    assert_eq!(take(&mut events, 9).await, "refused b a1 a2 b1 error: the server answered 403: Forbidden");
    script.await.unwrap();

    // A stream says it first.
    let (client, mut server) = fake::client();
    let mut events = ChunkedStream::new(&client, [&name("a"), &name("b")]).subscribe();
    let script = tokio::spawn(async move {
        let mut peer = server.accept().await;
        assert_eq!(asked(&mut peer).await, "stream of a b at ");
        peer.send(lines(&[line("connected", "a3", r#","refused":["b"]"#), update("a4", "a4")])).await;
        peer.until_closed().await;
    });
    assert_eq!(take(&mut events, 2).await, "refused b a4");
    drop(events);
    script.await.unwrap();
}

/// Reads in the background, so that the test can be the server.
fn forward(mut events: Subscription) -> UnboundedReceiver<String> {
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            sender.send(short(&event)).unwrap();
        }
    });
    receiver
}

async fn given(events: &mut UnboundedReceiver<String>, count: usize) -> String {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(events.recv().await.unwrap());
    }
    taken.join(" ")
}

#[tokio::test(start_paused = true)]
async fn a_changed_list_goes_on_where_it_was_without_a_gap_or_a_repetition() {
    let (client, mut server) = fake::client();
    let (a, b, c) = (name("a"), name("b"), name("c"));
    let events = LongPoll::new(&client, &a).start_at(StartAt::Oldest).subscribe();
    let (list, mut events) = (events.channels(), forward(events));
    let alone = |channel: &str, seqs: std::ops::RangeInclusive<u64>| {
        let last = *seqs.end();
        ok(&fake::polled(seqs, last, "").replace(&fake::cursor(last), &cursor(channel, last)))
    };

    let mut peer = server.accept().await;
    assert_eq!(asked(&mut peer).await, "longpoll of a at #0");
    peer.send(alone("a", 1..=2)).await;
    assert_eq!(given(&mut events, 2).await, "a1 a2");
    assert_eq!(asked(&mut peer).await, "longpoll of a at plain a2");

    // The waiting poll is given up, and where b is now must be asked first.
    list.add(&b);
    peer.until_closed().await;
    let mut stream = server.accept().await;
    assert_eq!(asked(&mut stream).await, "stream of b at ");
    let connected = fake::line("connected", 5, "").replace(&fake::cursor(5), &cursor("b", 5));
    stream.send(lines(&[connected])).await;
    let mut peer = server.accept().await;
    assert_eq!(asked(&mut peer).await, "longpoll of a b at a2 b5");
    peer.send(polled("b6 a3", "a3 b6", "")).await;
    assert_eq!(given(&mut events, 2).await, "b6 a3");
    assert_eq!(asked(&mut peer).await, "longpoll of a b at a3 b6");

    // Two changes, one request.
    list.remove(&a);
    list.add_at(&c, StartAt::Oldest);
    peer.until_closed().await;
    let mut peer = server.accept().await;
    assert_eq!(asked(&mut peer).await, "longpoll of b c at b6 c0");
    peer.send(polled("c1 b7", "b7 c1", "")).await;
    assert_eq!(given(&mut events, 2).await, "c1 b7");
    assert_eq!(asked(&mut peer).await, "longpoll of b c at b7 c1");

    // From several back to one, whose own cursor it is.
    list.set(&b);
    peer.until_closed().await;
    let mut peer = server.accept().await;
    assert_eq!(asked(&mut peer).await, "longpoll of b at plain b7");

    // None at all is a wait.
    list.set(Vec::new());
    peer.until_closed().await;
    list.add_at(&b, StartAt::Oldest);
    let mut peer = server.accept().await;
    assert_eq!(asked(&mut peer).await, "longpoll of b at #0", "removed and added is a new start");
    peer.send(alone("b", 1..=1)).await;
    assert_eq!(given(&mut events, 1).await, "b1");
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_is_made_again_with_the_new_list() {
    let (client, mut server) = fake::client();
    let events = ChunkedStream::new(&client, [&name("a"), &name("b")]).subscribe();
    let (list, mut events) = (events.channels(), forward(events));
    let mut peer = server.accept().await;
    assert_eq!(asked(&mut peer).await, "stream of a b at ");
    peer.send(lines(&[line("connected", "a3 b4", ""), update("b5", "a3 b5")])).await;
    assert_eq!(given(&mut events, 1).await, "b5");
    list.add(name("c"));
    peer.until_closed().await;
    let mut peer = server.accept().await;
    // c has no position yet, and starts now.
    assert_eq!(asked(&mut peer).await, "stream of a b c at a3 b5");
    peer.send(lines(&[
        line("connected", "a3 b5 c0", ""),
        update("c1", "a3 b5 c1"),
        update("b5", "a3 b5 c1"),
    ]))
    .await;
    assert_eq!(given(&mut events, 1).await, "c1");
    list.remove([&name("a"), &name("c")]);
    peer.until_closed().await;
    let mut peer = server.accept().await;
    assert_eq!(asked(&mut peer).await, "stream of b at plain b5");
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_removed_channel_is_returned_even_if_it_was_read() {
    let (client, mut server) = fake::client();
    let mut events = LongPoll::new(&client, [&name("a"), &name("b")]).start_at(StartAt::Oldest).subscribe();
    let script = tokio::spawn(async move {
        let mut peer = server.accept().await;
        assert_eq!(asked(&mut peer).await, "longpoll of a b at a0 b0");
        peer.send(polled("a1 b1 a2 b2", "a2 b2", "")).await;
    });
    assert_eq!(take(&mut events, 1).await, "a1");
    events.channels().remove(name("a"));
    assert_eq!(take(&mut events, 2).await, "b1 b2");
    assert!(stands_at(&events, &cursor("b", 2)), "{:?}", events.position());
    script.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_cursor_for_several_channels_goes_to_the_one_that_it_came_from() {
    for pattern in ["stream", "longpoll"] {
        let (client, mut server) = fake::client();
        let start = StartAt::After(cursor("b", 3).parse().unwrap());
        let channels = [&name("a"), &name("b")];
        let events = match pattern {
            "stream" => ChunkedStream::new(&client, channels).start_at(start).subscribe(),
            _ => LongPoll::new(&client, channels).start_at(start).subscribe(),
        };
        let mut events = forward(events);
        let mut peer = server.accept().await;
        assert_eq!(asked(&mut peer).await, "stream of a b at plain b3");
        peer.send(lines(&[line("connected", "a9 b3", "")])).await;
        let mut peer = server.accept().await;
        assert_eq!(asked(&mut peer).await, format!("{pattern} of a b at a9 b3"));
        match pattern {
            "stream" => {
                peer.send(lines(&[line("connected", "a9 b3", ""), update("b4", "a9 b4")])).await;
            }
            _ => peer.send(polled("b4", "a9 b4", "")).await,
        }
        assert_eq!(given(&mut events, 1).await, "b4");
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_added_that_may_not_be_read_takes_nothing_from_the_others() {
    let (client, mut server) = fake::client();
    let events = LongPoll::new(&client, name("a")).start_at(StartAt::Oldest).subscribe();
    let (list, mut events) = (events.channels(), forward(events));
    list.add(name("b"));
    let mut lookup = server.accept().await;
    assert_eq!(asked(&mut lookup).await, "stream of b at ");
    lookup.send(answer("403 Forbidden", "", "")).await;
    assert_eq!(asked(&mut lookup).await, "longpoll of a b at a0");
    lookup.send(polled("a1", "a1", r#","refused":["b"]"#)).await;
    assert_eq!(given(&mut events, 2).await, "refused b a1");
    assert_eq!(asked(&mut lookup).await, "longpoll of a b at a1");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_say_whose_a_message_is_is_refused() {
    let channelless = ok(&format!(r#"{{"messages":[{}],"cursor":"{}"}}"#, fake::record(1), token("a1 b0")));
    let foreign = polled("c1", "a0 b0", "");
    let partless = polled("a1", "a1", "");
    let plain = ok(&fake::polled([], 0, ""));
    for (answer, why) in [
        (channelless, "no channel where several were asked for"),
        (foreign, "an answer about the channel c, which was not asked for"),
        (partless, "a cursor without a position on b"),
        (plain, "a cursor without a position on a"),
    ] {
        let (client, mut server) = fake::client();
        let mut events =
            LongPoll::new(&client, [&name("a"), &name("b")]).start_at(StartAt::Oldest).subscribe();
        let script = tokio::spawn(async move {
            let mut peer = server.accept().await;
            peer.request().await.unwrap();
            peer.send(answer).await;
        });
        let told = take(&mut events, 9).await;
        assert!(told.ends_with(&format!("error: not an answer of a poll server: {why}")), "{told}");
        script.await.unwrap();
    }
}
