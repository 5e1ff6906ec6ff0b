//! Publishing: requests, receipts, and retries.

use std::time::Duration;

use futures_util::TryStreamExt;
use poll_client::durable_streams::{Append, DurableStream};
use poll_client::{Error, IdempotencyKey, Payload, Step};
use tokio::time::Instant;

use crate::fake::{self, Asked, STREAM_HEAD, answer, channel, chunk, cursor, play};

fn receipt(seq: u64) -> String {
    format!(
        r#"{{"channel":"c","id":{seq},"uuid":"0193447e-7a80-7000-8000-{seq:012}","cursor":"{}","timestamp":"2026-11-20T22:49:38.123456Z"}}"#,
        cursor(seq)
    )
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_payload_has_its_type() {
    let (client, server) = fake::client();
    let script =
        tokio::spawn(play(server, (1..=5).map(|seq| answer("201 Created", "", &receipt(seq))).collect()));
    let payloads = [
        Payload::json(br#"{"a": 1}"#).unwrap(),
        Payload::text("héllo"),
        Payload::bytes(&b"\xff\x00"[..]),
        Payload::text(""),
        Payload::Binary(bytes::Bytes::new()),
    ];
    for (seq, payload) in (1..).zip(&payloads) {
        let receipt = client.publish(&channel(), payload).await.unwrap();
        assert_eq!((receipt.seq.get(), receipt.cursor.to_string()), (seq, cursor(seq)));
    }
    let asked = script.await.unwrap();
    let seen: Vec<_> =
        asked.iter().map(|asked| (asked.header("content-type").unwrap(), &asked.body[..])).collect();
    assert_eq!(seen[0], ("application/json", &br#"{"a":1}"#[..]));
    assert_eq!(seen[1], ("text/plain; charset=utf-8", "héllo".as_bytes()));
    assert_eq!(seen[2], ("application/octet-stream", &b"\xff\x00"[..]));
    // Nothing at all would be no content.
    for empty in &seen[3..] {
        assert_eq!(empty, &("application/json", &b"\"\""[..]));
    }
    assert!(asked.iter().all(|asked| asked.query("content").is_none()));
}

#[tokio::test(start_paused = true)]
async fn without_a_key_it_is_tried_once_with_one_until_it_is_done() {
    let busy = answer("503 Service Unavailable", "Retry-After: 7\r\n", r#"{"title":"Draining"}"#);
    let (client, server) = fake::client();
    let script =
        tokio::spawn(play(server, vec![busy.clone(), busy.clone(), busy, answer("200 OK", "", &receipt(9))]));

    let error = client.publish(&channel(), &Payload::text("x")).await.unwrap_err();
    assert_eq!((error.status(), error.retry_after()), (Some(503), Some(Duration::from_secs(7))));

    let (key, begun) = (IdempotencyKey::parse("k1").unwrap(), Instant::now());
    let receipt = client.publish_once(&channel(), &Payload::text("x"), &key).await.unwrap();
    assert_eq!(receipt.seq.get(), 9);
    assert!((14..=18).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    let keys: Vec<_> = script
        .await
        .unwrap()
        .iter()
        .map(|asked| asked.header("idempotency-key").map(str::to_owned))
        .collect();
    assert_eq!(keys, [None, Some("k1".to_owned()), Some("k1".to_owned()), Some("k1".to_owned())]);
}

/// Of a publish without a key, which the caller must not repeat on a guess.
#[tokio::test(start_paused = true)]
async fn an_error_says_whether_the_message_may_be_published() {
    let unavailable = |kind: &str| {
        let body = format!(r#"{{"type":"{kind}","title":"Service Unavailable","status":503,"detail":"d"}}"#);
        answer("503 Service Unavailable", "Content-Type: application/problem+json\r\n", &body)
    };
    let unknown = "https://github.com/poll-rs/poll/problems/outcome-unknown";
    for (answer, kind, may_have_happened) in [
        (unavailable(unknown), Some(unknown), true),
        (unavailable("about:blank"), None, false),
        (String::new(), None, true),
        (answer("201 Created", "", "{}"), None, true),
    ] {
        let (client, server) = fake::client();
        let script = tokio::spawn(play(server, vec![answer.clone(); 3]));
        let (text, texts) = (Payload::text("x"), ["x"]);
        let append = Append::new("text/plain", "x").unwrap();
        let errors = [
            client.publish(&channel(), &text).await.unwrap_err(),
            client.publish_many(&channel(), &texts).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.may_have_happened(), may_have_happened, "{answer}: {error}");
            if let Error::Refused(problem) = error {
                assert_eq!(problem.kind.as_deref(), kind);
            }
        }
        let stream = DurableStream::new(&client, "/v1/stream/c").unwrap();
        let error = stream.append(append).await.unwrap_err();
        assert_eq!(error.may_have_happened(), may_have_happened, "{answer}: {error}");
        script.await.unwrap();
        let error = client.publish(&channel(), &text).await.unwrap_err();
        assert!(matches!(error, Error::Connect { .. }) && !error.may_have_happened(), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_waiting_cannot_cure_is_given_at_once() {
    let (client, server) = fake::client();
    let refusal =
        answer("422 Unprocessable Content", "", r#"{"title":"Key reused","detail":"with another payload"}"#);
    let script = tokio::spawn(play(server, vec![refusal]));
    let key = IdempotencyKey::parse("k1").unwrap();
    let error = client.publish_once(&channel(), &Payload::text("x"), &key).await.unwrap_err();
    assert_eq!(error.to_string(), "the server answered 422: Key reused: with another payload");
    script.await.unwrap();

    let key = IdempotencyKey::parse("line\nbreak").unwrap();
    let error = client.publish_once(&channel(), &Payload::text("x"), &key).await.unwrap_err();
    assert!(matches!(error, Error::Usage(_)));
}

#[tokio::test(start_paused = true)]
async fn retries_of_a_keyed_publish_run_out() {
    let (builder, server) = fake::builder();
    let client = builder.max_retries(3).build().unwrap();
    drop(server);
    let key = IdempotencyKey::parse("k1").unwrap();
    let error = client.publish_once(&channel(), &Payload::text("x"), &key).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot connect to fake:1");
    assert_eq!(client.counts().retries, 3);
}

/// The server took the publish and is gone. Once it is back it may have forgotten the key.
#[tokio::test(start_paused = true)]
async fn a_keyed_publish_is_not_repeated_when_its_key_may_be_forgotten() {
    let seconds = Duration::from_secs;
    for (setting, within) in [(None, seconds(270)), (Some(seconds(40)), seconds(40))] {
        let (builder, server) = fake::builder();
        let builder = match setting {
            Some(time) => builder.repeat_within(time),
            None => builder,
        };
        let client = builder.build().unwrap();
        let script = tokio::spawn(play(server, vec![String::new()]));
        let (channel, key, begun) = (channel(), IdempotencyKey::parse("k1").unwrap(), Instant::now());
        let published = client.publish_many_once(&channel, &["x"], &key);
        let error = tokio::time::timeout(seconds(3600), published).await.unwrap().unwrap_err();
        script.await.unwrap();
        // The attempt that would have been too late is at most 30 s away.
        let elapsed = begun.elapsed();
        assert!(elapsed <= within && elapsed + seconds(30) > within, "{elapsed:?}");
        assert!(client.counts().retries > 0 && error.is_transient() && error.may_have_happened());
        let Error::InDoubt(last) = error else { panic!("{error}") };
        assert_eq!(last.to_string(), "cannot connect to fake:1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_outlasts_the_key_is_waited_only_if_nothing_was_kept() {
    let later = |kind: &str| {
        answer("503 Service Unavailable", "Retry-After: 280\r\n", &format!(r#"{{"type":"{kind}"}}"#))
    };
    let key = IdempotencyKey::parse("k1").unwrap();
    for (refusal, is_in_doubt) in [(later("about:blank"), false), (later("/outcome-unknown"), true)] {
        let (client, server) = fake::client();
        let begun = Instant::now();
        let script = tokio::spawn(play(server, vec![refusal, answer("201 Created", "", &receipt(9))]));
        let published = client.publish_once(&channel(), &Payload::text("x"), &key).await;
        if is_in_doubt {
            assert!(published.unwrap_err().may_have_happened());
            assert_eq!(begun.elapsed(), Duration::ZERO);
            script.abort();
        } else {
            assert_eq!(published.unwrap().seq.get(), 9);
            script.await.unwrap();
        }
    }
}

/// The refusal is about the repeat: what the first attempt did is not known.
#[tokio::test(start_paused = true)]
async fn a_refused_repeat_does_not_say_that_nothing_was_published() {
    let refused = answer("403 Forbidden", "", "");
    let key = IdempotencyKey::parse("k1").unwrap();
    let (client, server) = fake::client();
    let script = tokio::spawn(play(server, vec![refused.clone(), String::new(), refused.clone()]));
    for is_in_doubt in [false, true] {
        let error = client.publish_once(&channel(), &Payload::text("x"), &key).await.unwrap_err();
        assert_eq!((error.status(), error.may_have_happened()), (Some(403), is_in_doubt));
        assert_eq!(matches!(error, Error::InDoubt(_)), is_in_doubt);
    }
    script.await.unwrap();

    // The connection that broke is one that was used before, so the repeat is not even an attempt of its own.
    let (client, mut server) = fake::client();
    let script = tokio::spawn(async move {
        let mut peer = server.accept().await;
        peer.request().await.unwrap();
        peer.send(answer("201 Created", "", &receipt(1))).await;
        peer.request().await.unwrap();
        drop(peer);
        let mut peer = server.accept().await;
        peer.request().await.unwrap();
        peer.send(refused).await;
    });
    client.publish_once(&channel(), &Payload::text("x"), &key).await.unwrap();
    let error = client.publish_once(&channel(), &Payload::text("y"), &key).await.unwrap_err();
    assert!(matches!(error, Error::InDoubt(_)) && error.status() == Some(403), "{error}");
    assert_eq!(client.counts().retries, 0);
    script.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn many_are_json_lines() {
    let (client, server) = fake::client();
    let body = format!(r#"{{"channel":"c","count":2,"messages":[{},{}]}}"#, receipt(1), receipt(2));
    let script = tokio::spawn(play(server, vec![answer("201 Created", "", &body)]));
    let receipts = client.publish_many(&channel(), &["one\ntwo", "three"]).await.unwrap();
    assert_eq!(receipts.iter().map(|receipt| receipt.seq.get()).collect::<Vec<_>>(), [1, 2]);
    let asked = &script.await.unwrap()[0];
    assert_eq!(asked.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(asked.body, b"\"one\\ntwo\"\n\"three\"\n");
}

#[tokio::test(start_paused = true)]
async fn a_job_is_followed_over_a_break_and_each_step_is_given_once() {
    let step = |number: u64, more: &str| {
        format!(
            "{{\"step\":{number},\"total\":3,\"percentage\":33.5,\"message\":\"s\"{more},\"timestamp\":\"2026-11-20T22:49:38.00000{number}Z\"}}\n"
        )
    };
    let (first, last) = (step(1, "") + &step(2, ""), step(3, r#","status":"done""#));
    let (client, mut server) = fake::client();
    let job = poll_client::ChannelName::parse("a/b").unwrap();
    let all = format!("{first}{last}");
    let script = tokio::spawn(async move {
        let mut peer = server.accept().await;
        assert_eq!(peer.request().await.unwrap().path(), "/api/progress/a%2Fb");
        peer.send(answer("202 Accepted", "", "{}")).await;
        assert!(peer.request().await.unwrap().line.starts_with("GET"));
        peer.send(STREAM_HEAD.to_owned() + &chunk(&first) + "2a\r\n{\"step\":3").await;
        drop(peer);
        let mut peer = server.accept().await;
        peer.request().await.unwrap();
        peer.send(STREAM_HEAD.to_owned() + &chunk(&all) + "0\r\n\r\n").await;
    });
    client.report(&job, &Step { step: 1, total: 3, ..Step::default() }).await.unwrap();
    let steps: Vec<_> = client.follow(&job).try_collect().await.unwrap();
    assert_eq!(steps.iter().map(|step| step.step).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(steps[2].status.as_deref(), Some("done"));
    script.await.unwrap();
}

/// What others publish to the job's channel, as an older server shows it, and a step whose status is not a final one.
#[tokio::test(start_paused = true)]
async fn nothing_but_the_jobs_end_ends_or_traps_its_follower() {
    let at = |micros: u64| format!(r#""timestamp":"2026-11-20T22:49:38.{micros:06}Z""#);
    let step = |number: u64, more: &str| {
        let at = at(number);
        format!("{{\"step\":{number},\"total\":9,\"percentage\":1,\"message\":\"s\"{more},{at}}}\n")
    };
    let (builder, mut server) = fake::builder();
    let client = builder.max_retries(3).build().unwrap();
    let job = poll_client::ChannelName::parse("j").unwrap();
    let foreign = [
        r#"{"type":"closed","reason":"draining","cursor":"x"}"#,
        r#"{"type":"closed","reason":"ended"}"#,
        r#"{"type":5}"#,
        r#"{"status":"done"}"#,
        r#"{"step":"all","status":"done"}"#,
        r#"[1]"#,
        "null",
    ];
    let foreign = foreign.map(|line| format!("{line}\n")).concat();
    let busy = step(2, r#","status":"busy""#);
    let spoof = step(3, r#","status":"done""#);
    let last = step(4, r#","status":"failed""#);
    let all = format!("{}{foreign}{busy}{spoof}{foreign}{last}", step(1, ""));
    let script = tokio::spawn(async move {
        let mut peer = server.accept().await;
        peer.request().await.unwrap();
        peer.send(STREAM_HEAD.to_owned() + &chunk(&all) + "0\r\n\r\n").await;
        peer.until_closed().await;
        assert!(server.is_quiet());
    });
    let steps: Vec<_> = client.follow(&job).try_collect().await.unwrap();
    assert_eq!(steps.iter().map(|step| step.step).collect::<Vec<_>>(), [1, 2, 3, 4]);
    drop(client);
    script.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_last_step_is_gone_has_ended_all_the_same() {
    let (builder, mut server) = fake::builder();
    let client = builder.max_retries(3).build().unwrap();
    let job = poll_client::ChannelName::parse("a/b").unwrap();
    let message = r#"{"id":1,"content":1,"timestamp":"2026-11-20T22:49:38Z"}"#;
    let page = |messages: &str, more: &str| {
        answer(
            "200 OK",
            "",
            &format!(r#"{{"messages":[{messages}],"count":0,"cursor":"{}"{more}}}"#, cursor(1)),
        )
    };
    let reset = format!("{{\"type\":\"reset\",\"missed\":5,\"cursor\":\"{}\"}}\n", cursor(5));
    let polls = [page(message, ""), page("", ""), page(message, ""), page("", r#","closed":true"#)];
    let script = tokio::spawn(async move {
        let mut asked = Vec::new();
        let mut peer = server.accept().await;
        for polls in polls.chunks(2) {
            assert_eq!(peer.request().await.unwrap().path(), "/api/progress/a%2Fb");
            peer.send(STREAM_HEAD.to_owned() + &chunk(&reset) + "0\r\n\r\n").await;
            for poll in polls {
                asked.push(peer.request().await.unwrap());
                peer.send(poll.clone()).await;
            }
        }
        peer.until_closed().await;
        assert!(server.is_quiet());
        asked
    });
    let steps: Vec<_> = client.follow(&job).try_collect().await.unwrap();
    assert_eq!(steps, []);
    drop(client);
    let asked = script.await.unwrap();
    assert!(asked.iter().all(|asked| asked.path() == "/api/poll"));
    assert!(asked.iter().all(|asked| asked.query("channel") == Some("progress%2Fa%2Fb")));
    assert_eq!(asked.iter().map(Asked::after).collect::<Vec<_>>(), [0, 1, 0, 1]);
}
