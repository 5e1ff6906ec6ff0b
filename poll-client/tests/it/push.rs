//! HTTP/2 push: promises fulfilled, refused, absent and late, always in the order of the lines.

use std::time::Duration;

use bytes::Bytes;
use h2::server::{Connection, SendPushedResponse, SendResponse};
use h2::{Reason, SendStream};
use http::{Request, Response};
use poll_client::{Push, StartAt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use crate::fake::{self, Fake, channel, cursor, line, next, ok, record, take, update};

/// An open main answer on a connection that is driven beside it.
struct Main {
    respond: SendResponse<Bytes>,
    body: SendStream<Bytes>,
    target: String,
    driver: tokio::task::JoinHandle<()>,
}

impl Main {
    async fn accept(pipe: DuplexStream) -> Self {
        let mut connection: Connection<DuplexStream, Bytes> = h2::server::handshake(pipe).await.unwrap();
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        let driver = tokio::spawn(async move { while let Some(Ok(_)) = connection.accept().await {} });
        let body = respond.send_response(Response::new(()), false).unwrap();
        Self { respond, body, target: request.uri().to_string(), driver }
    }

    fn say(&mut self, line: &str) {
        self.body.send_data(format!("{line}\n").into(), false).unwrap();
    }

    fn promise(&mut self, path: &str) -> SendPushedResponse<Bytes> {
        let request = Request::get(format!("http://fake:1{path}")).body(()).unwrap();
        self.respond.push_request(request).unwrap()
    }

    fn promise_message(&mut self, seq: u64) -> SendPushedResponse<Bytes> {
        self.promise(&format!("/api/messages/c/{}", cursor(seq)))
    }

    fn announce(&mut self, seq: u64) {
        self.say(&line("pushed", seq, &format!(r#","id":{seq}"#)));
    }

    fn end(&mut self, seq: u64) {
        self.say(&line("closed", seq, r#","reason":"ended""#));
        self.body.send_data(Bytes::new(), true).unwrap();
    }

    /// Until the client is gone.
    async fn until_closed(self) {
        self.driver.await.unwrap();
    }
}

fn keep(mut promise: SendPushedResponse<Bytes>, seq: u64) {
    let mut body = promise.send_response(Response::new(()), false).unwrap();
    body.send_data(record(seq).into(), true).unwrap();
}

/// Answers requests for single messages on one HTTP/1.1 connection.
async fn give_messages(server: &mut Fake, seqs: &[u64]) {
    let mut peer = server.accept().await;
    for &seq in seqs {
        assert_eq!(peer.request().await.unwrap().path(), format!("/api/messages/c/{}", cursor(seq)));
        peer.send(ok(&record(seq))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn pushed_messages_come_in_the_order_of_their_lines() {
    let (client, mut server) = fake::client();
    let mut events = Push::new(&client, channel()).start_at(StartAt::Oldest).subscribe();
    let script = tokio::spawn(async move {
        let mut main = Main::accept(server.pipe().await).await;
        assert_eq!(main.target, "http://fake:1/api/push?channel=c&last_id=0");
        main.say(&line("connected", 0, ""));
        let promises: Vec<_> = (1..=3).map(|seq| main.promise_message(seq)).collect();
        (1..=3).for_each(|seq| main.announce(seq));
        // Kept in the wrong order, and number 4 inline behind them.
        main.say(&update(4));
        for (promise, seq) in promises.into_iter().zip([1, 2, 3]).rev() {
            keep(promise, seq);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        main.end(4);
        main.until_closed().await;
        server.is_quiet()
    });
    assert_eq!(take(&mut events, 9).await, "1 2 3 4 ended");
    let counts = events.counts();
    assert_eq!((counts.messages, counts.pushed, counts.requests), (4, 3, 1));
    drop(events);
    assert!(script.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn refused_absent_and_late_pushes_are_fetched() {
    let (client, mut server) = fake::client();
    let mut events = Push::new(&client, channel()).start_at(StartAt::Oldest).subscribe();
    let script = tokio::spawn(async move {
        let mut main = Main::accept(server.pipe().await).await;
        let mut refused = main.promise_message(1);
        main.announce(1);
        refused.send_reset(Reason::REFUSED_STREAM);
        main.announce(2);
        let mut failed = main.promise_message(3);
        let gone = Response::builder().status(500).body(()).unwrap();
        failed.send_response(gone, true).unwrap();
        main.announce(3);
        let late = main.promise_message(4);
        main.announce(4);
        main.say(&update(5));
        let announced = Instant::now();
        give_messages(&mut server, &[1, 2, 3, 4]).await;
        let waited = announced.elapsed();
        keep(late, 4);
        main.end(5);
        main.until_closed().await;
        waited
    });
    assert_eq!(take(&mut events, 9).await, "1 2 3 4 5 ended");
    assert_eq!((events.counts().messages, events.counts().pushed), (5, 0));
    drop(events);
    assert_eq!(script.await.unwrap().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn an_announced_message_that_expired_is_missed_and_not_silently() {
    let (client, mut server) = fake::client();
    let mut events = Push::new(&client, channel()).start_at(StartAt::Oldest).subscribe();
    let script = tokio::spawn(async move {
        let mut main = Main::accept(server.pipe().await).await;
        main.announce(1);
        main.say(&update(2));
        let mut peer = server.accept().await;
        peer.request().await.unwrap();
        peer.send(fake::answer("410 Gone", "", "")).await;
        main.end(2);
        main.until_closed().await;
    });
    assert_eq!(take(&mut events, 9).await, "missed 1 2 ended");
    drop(events);
    script.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn everything_inline_is_a_stream() {
    let (client, mut server) = fake::client();
    let mut events = Push::new(&client, channel()).start_at(StartAt::Oldest).subscribe();
    let script = tokio::spawn(async move {
        let mut main = Main::accept(server.pipe().await).await;
        main.say(&line("connected", 0, ""));
        // Pushed assets are nobody's message.
        let _asset = main.promise("/app.js");
        main.say(&line("reset", 2, r#","missed":2"#));
        (3..=200).for_each(|seq| main.say(&update(seq)));
        main.end(200);
        main.until_closed().await;
    });
    let all = take(&mut events, 999).await;
    assert!(all.starts_with("missed 2 3 4 5 ") && all.ends_with(" 199 200 ended"), "{all}");
    drop(events);
    script.await.unwrap();
}

/// h2 does not wake who waits for a promise when the main answer ends (hyperium/h2#811).
#[tokio::test(start_paused = true)]
async fn the_end_of_the_main_answer_is_noticed_while_promises_are_waited_for() {
    let (client, mut server) = fake::client();
    let mut events = Push::new(&client, channel()).start_at(StartAt::Oldest).subscribe();
    let (end, ended) = tokio::sync::oneshot::channel();
    let script = tokio::spawn(async move {
        let mut main = Main::accept(server.pipe().await).await;
        let promise = main.promise_message(1);
        main.announce(1);
        keep(promise, 1);
        ended.await.unwrap();
        main.body.send_data(Bytes::new(), true).unwrap();
        let mut again = Main::accept(server.pipe().await).await;
        assert!(again.target.ends_with(&cursor(1)));
        again.end(1);
        again.until_closed().await;
    });
    assert_eq!(next(&mut events).await.as_deref(), Some("1"));
    let begun = Instant::now();
    end.send(()).unwrap();
    assert_eq!(next(&mut events).await.as_deref(), Some("ended"));
    // A backoff at most, not the silence deadline.
    assert!(begun.elapsed() <= Duration::from_secs(2), "{:?}", begun.elapsed());
    drop(events);
    script.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_main_answer_is_opened_again() {
    let (client, mut server) = fake::client();
    let mut events = Push::new(&client, channel()).start_at(StartAt::Oldest).subscribe();
    let begun = Instant::now();
    let script = tokio::spawn(async move {
        let mut main = Main::accept(server.pipe().await).await;
        main.say(&update(1));
        main.until_closed().await;
        let closed = Instant::now();
        let mut again = Main::accept(server.pipe().await).await;
        again.end(1);
        again.until_closed().await;
        closed
    });
    assert_eq!(take(&mut events, 9).await, "1 ended");
    drop(events);
    assert_eq!(script.await.unwrap().duration_since(begun).as_millis(), 37_500);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_read_over_http_2_too() {
    let (client, mut server) = fake::client();
    let mut events = Push::new(&client, channel()).start_at(StartAt::Oldest).subscribe();
    let script = tokio::spawn(async move {
        for (status, body) in [(503, ""), (400, r#"{"title":"Bad","detail":"channel"}"#)] {
            let mut connection: Connection<DuplexStream, Bytes> =
                h2::server::handshake(server.pipe().await).await.unwrap();
            let (_, mut respond) = connection.accept().await.unwrap().unwrap();
            let head = Response::builder().status(status).header("retry-after", "3").body(()).unwrap();
            respond.send_response(head, false).unwrap().send_data(body.into(), true).unwrap();
            while let Some(Ok(_)) = connection.accept().await {}
        }
    });
    let begun = Instant::now();
    assert_eq!(take(&mut events, 9).await, "error: the server answered 400: Bad: channel");
    assert!((3..=4).contains(&begun.elapsed().as_secs()));
    script.await.unwrap();
}

/// A push that had been announced when the connection broke is asked for by HTTP/1.1.
async fn serve_single(mut peer: fake::Peer) {
    while let Some(asked) = peer.request().await {
        let at: poll_client::Cursor = asked.path().rsplit('/').next().unwrap().parse().unwrap();
        peer.send(ok(&record(at.seq.get()))).await;
    }
}

/// The server's bytes up to a budget, then nothing: the connection dies there.
fn with_budget(far: impl AsyncRead + AsyncWrite + Send + 'static, budget: usize) -> DuplexStream {
    let (near, pipe) = tokio::io::duplex(64 * 1024);
    let (mut from_client, mut to_client) = tokio::io::split(far);
    let (from_server, mut to_server) = tokio::io::split(near);
    tokio::spawn(async move {
        let mut from_server = from_server.take(budget as u64);
        tokio::select! {
            _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
            _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
        }
        let _ = to_client.shutdown().await;
    });
    pipe
}

#[tokio::test(start_paused = true)]
async fn a_push_connection_cut_at_any_byte_loses_and_repeats_nothing() {
    for budget in 0..1000 {
        let (client, mut server) = fake::client();
        let mut events = Push::new(&client, channel()).start_at(StartAt::Oldest).subscribe();
        let script = tokio::spawn(async move {
            let mut budgets = [budget, usize::MAX].into_iter();
            loop {
                let mut far = fake::Peer::from(server.pipe().await);
                if far.is_http_2().await {
                    tokio::spawn(serve_three(with_budget(far.into_pipe(), budgets.next().unwrap())));
                } else {
                    tokio::spawn(serve_single(far));
                }
            }
        });
        assert_eq!(take(&mut events, 9).await, "1 2 3 ended", "cut at {budget}");
        script.abort();
    }
}

/// Pushes what is left of three messages, then ends the channel.
async fn serve_three(pipe: DuplexStream) -> Option<()> {
    let mut connection: Connection<DuplexStream, Bytes> = h2::server::handshake(pipe).await.ok()?;
    let (request, mut respond) = connection.accept().await?.ok()?;
    let target = request.uri().to_string();
    let after = target
        .split_once("cursor=")
        .map_or(0, |(_, text)| text.parse::<poll_client::Cursor>().unwrap().seq.get());
    let body = respond.send_response(Response::new(()), false).ok()?;
    let driver = tokio::spawn(async move { while let Some(Ok(_)) = connection.accept().await {} });
    let mut main = Main { respond, body, target, driver };
    for seq in after + 1..=3 {
        let promise = main.promise_message(seq);
        main.announce(seq);
        keep(promise, seq);
        tokio::task::yield_now().await;
    }
    main.end(3);
    main.until_closed().await;
    Some(())
}

#[tokio::test(start_paused = true)]
async fn pushes_of_several_channels_are_matched_by_channel_and_cursor() {
    use poll_core::{ChannelKey, CursorSet};
    let (client, mut server) = fake::client();
    let (c, d) = (channel(), poll_client::ChannelName::parse("d").unwrap());
    let at = {
        let keys = [ChannelKey::of(&c), ChannelKey::of(&d)];
        move |seqs: [u64; 2]| {
            let mut token = CursorSet::PREFIX.to_owned();
            for ((key, seq), epoch) in keys.iter().zip(seqs).zip([0xabc, 0xddd]) {
                let text = format!("{:016x}{seq:016x}", if seq == 0 { 0 } else { epoch });
                let entry = CursorSet::entry(key, text.parse().unwrap());
                token.push_str(std::str::from_utf8(&entry).unwrap());
            }
            token
        }
    };
    let d_at = |seq: u64| cursor(seq).replace("abc", "ddd");
    let mut events = Push::new(&client, [&c, &d]).start_at(StartAt::Oldest).subscribe();
    let script = tokio::spawn(async move {
        let mut main = Main::accept(server.pipe().await).await;
        assert_eq!(main.target, format!("http://fake:1/api/push?channel=c&channel=d&cursor={}", at([0, 0])));
        main.say(&line("connected", 0, "").replace(&cursor(0), &at([0, 0])));
        let pushed = |channel: &str, seq: u64, token: &str| {
            format!(r#"{{"type":"pushed","channel":"{channel}","id":{seq},"cursor":"{token}"}}"#)
        };
        let first = main.promise_message(1);
        let second = main.promise(&format!("/api/messages/d/{}", d_at(1)));
        main.say(&pushed("c", 1, &at([1, 0])));
        main.say(&pushed("d", 1, &at([1, 1])));
        main.say(&pushed("d", 2, &at([1, 2])));
        keep(second, 1);
        keep(first, 1);
        // Not promised, so fetched.
        let mut peer = server.accept().await;
        assert_eq!(peer.request().await.unwrap().path(), format!("/api/messages/d/{}", d_at(2)));
        peer.send(ok(&record(2))).await;
        main.say(&line("closed", 0, r#","reason":"ended""#).replace(&cursor(0), &at([1, 2])));
        main.until_closed().await;
    });
    let mut taken = Vec::new();
    for _ in 0..3 {
        match futures_util::StreamExt::next(&mut events).await.unwrap().unwrap() {
            poll_client::Event::Message(message) => taken.push(format!("{}{}", message.channel, message.seq)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(taken, ["c1", "d1", "d2"]);
    assert_eq!(next(&mut events).await.as_deref(), Some("ended"));
    assert_eq!(events.counts().pushed, 2);
    drop(events);
    script.await.unwrap();
}
