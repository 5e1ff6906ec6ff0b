//! Short and long polls: resuming from the cursor, intervals, and retries.

use std::time::Duration;

use poll_client::{ChunkedStream, LongPoll, ShortPoll, StartAt, Subscription};
use tokio::time::Instant;

use crate::fake::{
    self, Asked, Fake, STREAM_HEAD, answer, channel, chunk, cursor, line, next, ok, polled, take,
};

/// Answers one request after the other on one connection, and gives back what was asked and when.
fn play(mut server: Fake, answers: Vec<String>) -> tokio::task::JoinHandle<Vec<(Asked, Instant)>> {
    tokio::spawn(async move {
        let (mut asked, mut answers) = (Vec::new(), answers.into_iter());
        let mut peer = server.accept().await;
        while answers.len() > 0 {
            match peer.request().await {
                Some(request) => {
                    asked.push((request, Instant::now()));
                    peer.send(answers.next().unwrap()).await;
                }
                None => peer = server.accept().await,
            }
        }
        asked
    })
}

fn tagged(tag: &str, body: &str) -> String {
    answer("200 OK", &format!("ETag: {tag}\r\n"), body)
}

fn from_start(
    server: (poll_client::Client, Fake),
    answers: Vec<String>,
) -> (Subscription, tokio::task::JoinHandle<Vec<(Asked, Instant)>>) {
    let (client, server) = server;
    let events = LongPoll::new(&client, channel()).start_at(StartAt::Oldest).subscribe();
    (events, play(server, answers))
}

#[tokio::test(start_paused = true)]
async fn a_short_poll_asks_with_the_tag_of_the_same_question_only() {
    let (client, server) = fake::client();
    let mut events = ShortPoll::new(&client, channel()).start_at(StartAt::Oldest).subscribe();
    let script = play(
        server,
        vec![
            tagged("W/\"a\"", &polled(1..=2, 2, "")),
            tagged("W/\"b\"", &polled([], 2, "")),
            answer("304 Not Modified", "ETag: W/\"b\"\r\n", ""),
            tagged("W/\"c\"", &polled(3..=3, 3, "")),
            tagged("W/\"d\"", &polled(4..=4, 4, "")),
        ],
    );
    assert_eq!(take(&mut events, 4).await, "1 2 3 4");
    let asked = script.await.unwrap();
    let questions: Vec<_> = asked
        .iter()
        .map(|(asked, _)| (asked.query("cursor"), asked.query("last_id"), asked.header("if-none-match")))
        .collect();
    let (two, three) = (cursor(2), cursor(3));
    assert_eq!(questions[0], (None, Some("0"), None));
    assert_eq!(questions[1], (Some(&*two), None, None));
    assert_eq!(questions[2], (Some(&*two), None, Some("W/\"b\"")));
    assert_eq!(questions[3], (Some(&*two), None, Some("W/\"b\"")));
    assert_eq!(questions[4], (Some(&*three), None, None));
    let counts = events.counts();
    assert_eq!((counts.requests, counts.empty_answers, counts.messages), (5, 2, 4));
}

#[tokio::test(start_paused = true)]
async fn short_polls_are_five_seconds_apart_more_or_less() {
    let (client, server) = fake::client();
    let mut events = ShortPoll::new(&client, channel()).start_at(StartAt::Oldest).subscribe();
    let script = play(server, (1..=50).map(|seq| ok(&polled(seq..=seq, seq, ""))).collect());
    take(&mut events, 50).await;
    let asked = script.await.unwrap();
    let gaps: Vec<_> =
        asked.windows(2).map(|pair| pair[1].1.duration_since(pair[0].1).as_secs_f64()).collect();
    assert!(gaps.iter().all(|gap| (4.49..5.51).contains(gap)), "{gaps:?}");
    let (least, most) =
        gaps.iter().fold((9.0f64, 0.0f64), |(least, most), &gap| (least.min(gap), most.max(gap)));
    assert!(most - least > 0.3, "no jitter: {least} to {most}");
}

#[tokio::test(start_paused = true)]
async fn a_short_poll_cut_at_the_limit_goes_on_at_once() {
    let (client, server) = fake::client();
    let mut events = ShortPoll::new(&client, channel()).start_at(StartAt::Oldest).subscribe();
    let script = play(server, vec![ok(&polled(1..=1000, 1000, "")), ok(&polled(1001..=1001, 1001, ""))]);
    let begun = Instant::now();
    take(&mut events, 1001).await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    script.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_starts_now_asks_a_stream_where_that_is() {
    let (client, mut server) = fake::client();
    let mut events = LongPoll::new(&client, channel()).subscribe();
    let script = tokio::spawn(async move {
        let mut stream = server.accept().await;
        let asked = stream.request().await.unwrap();
        assert_eq!(
            (asked.path(), asked.query("cursor"), asked.query("last_id")),
            ("/api/stream", None, None)
        );
        stream.send(STREAM_HEAD.to_owned() + &chunk(&(line("connected", 41, "") + "\n"))).await;
        let mut peer = server.accept().await;
        let asked = peer.request().await.unwrap();
        assert_eq!((asked.path(), asked.after()), ("/api/longpoll", 41));
        peer.send(ok(&polled(42..=42, 42, ""))).await;
        stream.until_closed().await;
    });
    assert_eq!(next(&mut events).await.as_deref(), Some("42"));
    script.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn long_polls_go_on_from_the_cursor_and_end_with_the_channel() {
    let (mut events, script) = from_start(
        fake::client(),
        vec![
            ok(&polled(1..=2, 2, "")),
            ok(&polled(7..=8, 8, r#","missed":4"#)),
            ok(&polled(1..=1, 1, r#","reset":true"#)),
            ok(&polled(2..=2, 2, r#","closed":true"#)),
            ok(&polled([], 2, r#","closed":true"#)),
        ],
    );
    assert_eq!(take(&mut events, 99).await, "1 2 missed 4 7 8 reset 1 2 ended");
    let positions: Vec<_> = script.await.unwrap().iter().map(|(asked, _)| asked.after()).collect();
    assert_eq!(positions, [0, 2, 8, 1, 2]);
    assert_eq!(events.counts().missed, 4);
}

#[tokio::test(start_paused = true)]
async fn a_hole_that_no_answer_announced_is_reported_all_the_same() {
    let (mut events, script) =
        from_start(fake::client(), vec![ok(&polled(1..=1, 1, "")), ok(&polled(4..=4, 4, ""))]);
    assert_eq!(take(&mut events, 3).await, "1 missed 2 4");
    script.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_and_jittered() {
    for (status, header, least) in [
        ("429 Too Many Requests", "Retry-After: 20\r\n", 20),
        (
            "503 Service Unavailable",
            "Date: Fri, 20 Nov 2026 22:00:00 GMT\r\nRetry-After: Fri, 20 Nov 2026 22:00:30 GMT\r\n",
            30,
        ),
    ] {
        let busy = answer(status, header, r#"{"title":"busy"}"#);
        let (mut events, script) = from_start(fake::client(), vec![busy, ok(&polled(1..=1, 1, ""))]);
        let begun = Instant::now();
        assert_eq!(next(&mut events).await.as_deref(), Some("1"));
        assert!((least..=least + 1).contains(&begun.elapsed().as_secs()), "{status}: {:?}", begun.elapsed());
        assert_eq!(events.counts().retries, 1);
        script.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_waiting_cannot_cure_ends_the_subscription() {
    let refusal = answer("404 Not Found", "", r#"{"title":"Not Found"}"#);
    let (mut events, script) = from_start(fake::client(), vec![refusal]);
    assert_eq!(take(&mut events, 9).await, "error: the server answered 404: Not Found");
    script.await.unwrap();

    let (mut events, script) = from_start(fake::client(), vec![ok("<html>")]);
    assert!(take(&mut events, 9).await.starts_with("error: not an answer of a poll server"));
    script.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn retries_run_out_only_in_a_row() {
    let (builder, server) = fake::builder();
    let client = builder.max_retries(2).build().unwrap();
    let busy = || answer("503 Service Unavailable", "", "");
    let good = |seq| ok(&polled(seq..=seq, seq, ""));
    let answers = vec![busy(), busy(), good(1), busy(), busy(), good(2), busy(), busy(), busy()];
    let (mut events, script) = from_start((client, server), answers);
    assert_eq!(take(&mut events, 9).await, "1 2 error: the server answered 503");
    script.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_is_given_up_five_seconds_after_its_wait_and_asked_again() {
    let (client, mut server) = fake::client();
    let wait = Duration::from_secs(30);
    let mut events = LongPoll::new(&client, channel()).start_at(StartAt::Oldest).wait(wait).subscribe();
    let script = tokio::spawn(async move {
        let mut dead = server.accept().await;
        assert_eq!(dead.request().await.unwrap().query("timeout"), Some("30"));
        dead.until_closed().await;
        let gone = Instant::now();
        let mut peer = server.accept().await;
        peer.request().await.unwrap();
        peer.send(ok(&polled(1..=1, 1, ""))).await;
        gone
    });
    let begun = Instant::now();
    assert_eq!(next(&mut events).await.as_deref(), Some("1"));
    assert_eq!(script.await.unwrap().duration_since(begun).as_secs(), 35);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_emptily_at_once_is_not_asked_in_a_circle() {
    let empty = || ok(&polled([], 0, ""));
    let answers = (0..20).map(|_| empty()).chain([ok(&polled(1..=1, 1, ""))]).collect();
    let (mut events, script) = from_start(fake::client(), answers);
    let begun = Instant::now();
    assert_eq!(next(&mut events).await.as_deref(), Some("1"));
    assert!(begun.elapsed() > Duration::from_secs(60), "{:?}", begun.elapsed());
    script.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_cut_at_any_byte_loses_and_repeats_nothing() {
    let whole = ok(&polled(1..=3, 3, ""));
    for cut in 0..whole.len() {
        let (client, mut server) = fake::client();
        let mut events = LongPoll::new(&client, channel()).start_at(StartAt::Oldest).subscribe();
        let head = whole[..cut].to_owned();
        let script = tokio::spawn(async move {
            let mut peer = server.accept().await;
            peer.request().await.unwrap();
            peer.send(head).await;
            drop(peer);
            let mut peer = server.accept().await;
            assert_eq!(peer.request().await.unwrap().after(), 0);
            peer.send(ok(&polled(1..=3, 3, ""))).await;
            assert_eq!(peer.request().await.unwrap().after(), 3);
            peer.send(ok(&polled([], 3, r#","closed":true"#))).await;
        });
        assert_eq!(take(&mut events, 9).await, "1 2 3 ended", "cut at {cut}");
        script.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_end_is_refused() {
    let (builder, mut server) = fake::builder();
    let client = builder.max_answer_bytes(1000).build().unwrap();
    let mut polls = LongPoll::new(&client, channel()).start_at(StartAt::Oldest).subscribe();
    let mut stream = ChunkedStream::new(&client, channel()).start_at(StartAt::Oldest).subscribe();
    let script = tokio::spawn(async move {
        for _ in 0..2 {
            let mut peer = server.accept().await;
            peer.request().await.unwrap();
            peer.send(STREAM_HEAD.to_owned() + &chunk(&"x".repeat(600)).repeat(2)).await;
        }
    });
    assert!(take(&mut polls, 9).await.ends_with("an answer of more than 1000 bytes"));
    assert!(take(&mut stream, 9).await.ends_with("a line is longer than 1000 bytes"));
    script.await.unwrap();
}
