//! Connections are pooled, reused, limited, and replaced when stale.

use std::time::Duration;

use futures_util::future::join_all;
use poll_client::{Client, Payload};

use crate::fake::{self, Fake, channel, ok, record};

async fn ask(client: &Client) -> Result<u64, poll_client::Error> {
    client.message(&channel(), fake::cursor(1).parse().unwrap()).await.map(|message| message.seq.get())
}

/// Serves every request of `connections` connections, and says how many requests each had.
fn serve(mut server: Fake) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let mut peer = server.accept().await;
            tokio::spawn(async move {
                while peer.request().await.is_some() {
                    peer.send(ok(&record(1))).await;
                }
            });
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_used_again() {
    let (client, mut server) = fake::client();
    let script = tokio::spawn(async move {
        let mut peer = server.accept().await;
        for _ in 0..5 {
            assert_eq!(peer.request().await.unwrap().header("host"), Some("fake:1"));
            peer.send(ok(&record(1))).await;
        }
        server.is_quiet()
    });
    for _ in 0..5 {
        assert_eq!(ask(&client).await.unwrap(), 1);
    }
    assert!(script.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_went_stale_is_replaced_once() {
    let (client, mut server) = fake::client();
    let script = tokio::spawn(async move {
        let mut stale = server.accept().await;
        stale.request().await.unwrap();
        stale.send(ok(&record(1))).await;
        // The second request is taken and never answered, as by a server that was just closing.
        stale.request().await.unwrap();
        drop(stale);
        let mut fresh = server.accept().await;
        fresh.request().await.unwrap();
        fresh.send(ok(&record(1))).await;
        fresh.request().await.unwrap();
        drop(fresh);
        server.accept().await.request().await.unwrap();
        server.is_quiet()
    });
    assert_eq!(ask(&client).await.unwrap(), 1);
    assert_eq!(ask(&client).await.unwrap(), 1);
    // A fresh connection that breaks as well is an error, not a third try.
    assert!(ask(&client).await.unwrap_err().is_transient());
    assert!(script.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_publish_without_a_key_is_never_sent_twice() {
    let (client, mut server) = fake::client();
    let script = tokio::spawn(async move {
        let mut stale = server.accept().await;
        stale.request().await.unwrap();
        stale.send(ok(&record(1))).await;
        assert!(stale.request().await.unwrap().line.starts_with("POST"));
        drop(stale);
        server
    });
    assert_eq!(ask(&client).await.unwrap(), 1);
    let error = client.publish(&channel(), &Payload::text("once")).await.unwrap_err();
    assert!(matches!(error, poll_client::Error::Connection(_)), "{error}");
    assert!(script.await.unwrap().is_quiet());
}

#[tokio::test(start_paused = true)]
async fn a_closed_idle_connection_costs_even_a_publish_nothing() {
    let (client, mut server) = fake::client();
    let script = tokio::spawn(async move {
        let mut peer = server.accept().await;
        peer.request().await.unwrap();
        peer.send(ok(&record(1))).await;
        drop(peer);
        let mut peer = server.accept().await;
        peer.request().await.unwrap();
        let receipt = format!(
            r#"{{"channel":"c","id":7,"uuid":"0193447e-7a80-7000-8000-000000000007","cursor":"{}","timestamp":"2026-11-20T22:49:38.123456Z"}}"#,
            fake::cursor(7)
        );
        peer.send(fake::answer("201 Created", "", &receipt)).await;
    });
    assert_eq!(ask(&client).await.unwrap(), 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(client.publish(&channel(), &Payload::text("x")).await.unwrap().seq.get(), 7);
    script.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_more_than_ten_are_kept_and_none_for_longer_than_its_time() {
    let (builder, mut server) = fake::builder();
    let client = builder.keep_idle(10).keep_idle_for(Duration::from_secs(90)).build().unwrap();
    let (opened, mut gone) = tokio::sync::mpsc::unbounded_channel();
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(14));
    tokio::spawn(async move {
        loop {
            let (mut peer, gone, barrier) = (server.accept().await, opened.clone(), barrier.clone());
            tokio::spawn(async move {
                peer.request().await.unwrap();
                // All fourteen are open at once.
                barrier.wait().await;
                peer.send(ok(&record(1))).await;
                peer.until_closed().await;
                let _ = gone.send(tokio::time::Instant::now());
            });
        }
    });
    let begun = tokio::time::Instant::now();
    assert!(join_all((0..14).map(|_| ask(&client))).await.iter().all(Result::is_ok));
    let mut ages = Vec::new();
    for _ in 0..14 {
        ages.push(gone.recv().await.unwrap().duration_since(begun).as_secs());
    }
    assert_eq!(ages.iter().filter(|&&age| age == 0).count(), 4);
    assert!(ages[4..].iter().all(|age| (90..92).contains(age)), "{ages:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_is_given_up() {
    let (client, mut server) = fake::client();
    let script = tokio::spawn(async move {
        let mut peer = server.accept().await;
        peer.request().await.unwrap();
        peer.until_closed().await;
    });
    let begun = tokio::time::Instant::now();
    let error = ask(&client).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer within 10s");
    assert_eq!(begun.elapsed().as_secs(), 10);
    script.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_we_are_goes_with_every_request() {
    let (builder, mut server) = fake::builder();
    let client = builder.token("secret").client_id("me").build().unwrap();
    let script = tokio::spawn(async move {
        let mut peer = server.accept().await;
        let asked = peer.request().await.unwrap();
        peer.send(ok(&record(1))).await;
        asked
    });
    ask(&client).await.unwrap();
    let asked = script.await.unwrap();
    assert_eq!(asked.header("authorization"), Some("Bearer secret"));
    assert_eq!(asked.header("x-client-id"), Some("me"));
    assert_eq!(asked.path(), format!("/api/messages/c/{}", fake::cursor(1)));
}

#[tokio::test(start_paused = true)]
async fn many_at_once_share_nothing_but_the_pool() {
    let (client, server) = fake::client();
    let script = serve(server);
    for _ in 0..20 {
        let answers = join_all((0..50).map(|_| ask(&client))).await;
        assert!(answers.iter().all(|answer| matches!(answer, Ok(1))));
    }
    script.abort();
}
