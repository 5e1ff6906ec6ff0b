//! Server push and 103: pushed where the peer takes it, inline or hinted where not, and never in the way.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, PushPromises};
use http::{HeaderMap, HeaderValue, Request, Response};
use poll_http::{Asset, Body, ConnectionSettings, Drain, Piece, Preload, Promise, PushPolicy};

use crate::transport_toy::*;

fn promise(n: usize, body: impl Into<Bytes>) -> Piece {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    Piece::Push(Promise {
        path: format!("/m/{n}?x=1"),
        headers,
        body: body.into(),
        announce: format!("pushed {n}\n").into(),
        inline: format!("inline {n}\n").into(),
    })
}

/// Streams what is fed, whatever the path; pages carry assets. The policy that the service saw comes along.
fn pushing(feed: Body) -> (Toy, Arc<Mutex<Option<PushPolicy>>>) {
    let (feed, seen) = (Mutex::new(Some(feed)), Arc::new(Mutex::new(None)));
    let policy = Arc::clone(&seen);
    let toy = Toy::new(move |request: Request<_>, connection| {
        *policy.lock().unwrap() = Some(connection.push);
        let mut response = Response::new(match request.uri().path() {
            "/feed" => feed.lock().unwrap().take().unwrap_or_default(),
            _ => Body::full("<html>"),
        });
        if request.uri().path() == "/" {
            response.extensions_mut().insert(page());
        }
        now(response)
    });
    (toy, seen)
}

fn page() -> Preload {
    let assets = ["/app.css", "/app.js"].map(|path| Asset {
        path: path.into(),
        headers: HeaderMap::new(),
        body: format!("body of {path}").into(),
        link: HeaderValue::try_from(format!("<{path}>; rel=preload")).unwrap(),
    });
    Preload { assets: Arc::from(assets) }
}

async fn connected(toy: Toy, builder: &Builder) -> Http2 {
    Http2::with(toy, ConnectionSettings::default(), Drain::new(), builder).await
}

async fn next_pushed(promises: &mut PushPromises) -> (String, Response<h2::RecvStream>) {
    let (request, response) = promises.push_promise().await.unwrap().unwrap().into_parts();
    assert_eq!(request.uri().authority().unwrap(), "toy");
    (request.uri().path_and_query().unwrap().to_string(), response.await.unwrap())
}

async fn line(body: &mut h2::RecvStream) -> Bytes {
    let part = body.data().await.unwrap().unwrap();
    body.flow_control().release_capacity(part.len()).unwrap();
    part
}

#[tokio::test(start_paused = true)]
async fn a_message_is_pushed_with_its_answer_and_announced_on_the_main_stream() {
    let (feed, body) = fed();
    let (toy, seen) = pushing(body);
    let mut client = connected(toy, &Builder::new()).await;
    let mut answer = client.get("/feed").await;
    let mut promises = answer.push_promises();
    let mut main = answer.await.unwrap().into_body();
    assert_eq!(*seen.lock().unwrap(), Some(PushPolicy::Possible));
    for n in 0..200 {
        feed.send(promise(n, format!("message {n}"))).unwrap();
        assert_eq!(line(&mut main).await, format!("pushed {n}\n"));
        let (path, response) = next_pushed(&mut promises).await;
        assert_eq!(path, format!("/m/{n}?x=1"));
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["content-length"], format!("message {n}").len().to_string());
        assert_eq!(text(response.into_body()).await, format!("message {n}"));
    }
    drop(feed);
    assert_eq!(text(main).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_peer_with_push_off_gets_it_inline_and_the_service_knows_before() {
    let (feed, body) = fed();
    let (toy, seen) = pushing(body);
    let mut builder = Builder::new();
    builder.enable_push(false);
    let mut client = connected(toy, &builder).await;
    feed.send(promise(1, "one")).unwrap();
    feed.send(promise(2, "two")).unwrap();
    drop(feed);
    let response = client.get("/feed").await.await.unwrap();
    assert_eq!(*seen.lock().unwrap(), Some(PushPolicy::Off));
    assert_eq!(text(response.into_body()).await, "inline 1\ninline 2\n");
}

#[tokio::test(start_paused = true)]
async fn pushes_over_the_peers_limit_come_inline() {
    let (feed, body) = fed();
    let (toy, _) = pushing(body);
    let mut builder = Builder::new();
    // Pushed bodies are larger than a stream's window, so they stay open until they are read.
    builder.max_concurrent_streams(2).initial_window_size(20_000).initial_connection_window_size(1 << 20);
    let mut client = connected(toy, &builder).await;
    let mut answer = client.get("/feed").await;
    let mut promises = answer.push_promises();
    let mut main = answer.await.unwrap().into_body();
    let mut unread = Vec::new();
    for n in 0..2 {
        feed.send(promise(n, vec![b'm'; 30_000])).unwrap();
        assert_eq!(line(&mut main).await, format!("pushed {n}\n"));
        unread.push(next_pushed(&mut promises).await.1);
    }
    feed.send(promise(2, "small")).unwrap();
    assert_eq!(line(&mut main).await, "inline 2\n");
    // One that is read makes a place.
    assert_eq!(text(unread.remove(0).into_body()).await.len(), 30_000);
    feed.send(promise(3, "small")).unwrap();
    assert_eq!(line(&mut main).await, "pushed 3\n");
    assert_eq!(text(next_pushed(&mut promises).await.1.into_body()).await, "small");
}

#[tokio::test(start_paused = true)]
async fn a_push_that_does_not_fit_the_window_comes_inline() {
    let (feed, body) = fed();
    let (toy, _) = pushing(body);
    let mut builder = Builder::new();
    builder.initial_window_size(1_000).initial_connection_window_size(1 << 20);
    let mut client = connected(toy, &builder).await;
    let mut answer = client.get("/feed").await;
    let mut promises = answer.push_promises();
    let mut main = answer.await.unwrap().into_body();
    feed.send(promise(1, vec![b'm'; 900])).unwrap();
    assert_eq!(line(&mut main).await, "pushed 1\n");
    assert_eq!(text(next_pushed(&mut promises).await.1.into_body()).await.len(), 900);
    feed.send(promise(2, vec![b'm'; 1_100])).unwrap();
    assert_eq!(line(&mut main).await, "inline 2\n");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_allows_no_pushed_stream_gets_none() {
    let (feed, body) = fed();
    let (toy, _) = pushing(body);
    let mut builder = Builder::new();
    builder.max_concurrent_streams(0);
    let mut client = connected(toy, &builder).await;
    feed.send(promise(1, "one")).unwrap();
    drop(feed);
    let response = client.get("/feed").await.await.unwrap();
    assert_eq!(text(response.into_body()).await, "inline 1\n");
}

#[tokio::test(start_paused = true)]
async fn pushes_that_are_not_read_delay_no_others_and_are_bounded() {
    let (feed, body) = fed();
    let (toy, _) = pushing(body);
    let mut client = connected(toy, &Builder::new()).await;
    let mut answer = client.get("/feed").await;
    let mut promises = answer.push_promises();
    let mut main = answer.await.unwrap().into_body();
    let mut unread = Vec::new();
    let mut inline = 0;
    for n in 0..20 {
        feed.send(promise(n, vec![b'm'; 8_000])).unwrap();
        let announced = line(&mut main).await;
        if announced == format!("pushed {n}\n") {
            unread.push(next_pushed(&mut promises).await);
        } else {
            assert_eq!(announced, format!("inline {n}\n"));
            inline += 1;
        }
    }
    // 64 KiB of connection window: at most eight of 8 000 bytes, the rest inline.
    assert!(unread.len() <= 8 && inline >= 12, "{} pushed, {inline} inline", unread.len());
    let response = client.get("/other").await.await.unwrap();
    assert_eq!(text(response.into_body()).await, "<html>");
    // Once they are read there is room again.
    for (_, response) in unread {
        assert_eq!(text(response.into_body()).await.len(), 8_000);
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    feed.send(promise(99, vec![b'm'; 8_000])).unwrap();
    assert_eq!(line(&mut main).await, "pushed 99\n");
}

#[tokio::test(start_paused = true)]
async fn a_refused_promise_is_no_error() {
    let (feed, body) = fed();
    let (toy, _) = pushing(body);
    let mut client = connected(toy, &Builder::new()).await;
    let mut answer = client.get("/feed").await;
    let mut promises = answer.push_promises();
    let mut main = answer.await.unwrap().into_body();
    for n in 0..300 {
        feed.send(promise(n, vec![b'm'; 100])).unwrap();
        assert_eq!(line(&mut main).await, format!("pushed {n}\n"));
        // Dropping it resets the promised stream.
        drop(promises.push_promise().await.unwrap().unwrap());
    }
    drop(feed);
    assert_eq!(text(main).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_page_pushes_its_assets_where_push_is_possible() {
    let (toy, seen) = pushing(Body::empty());
    let mut client = connected(toy, &Builder::new()).await;
    let mut answer = client.get("/").await;
    let mut promises = answer.push_promises();
    let page = answer.await.unwrap();
    for path in ["/app.css", "/app.js"] {
        let (pushed, response) = next_pushed(&mut promises).await;
        assert_eq!(pushed, path);
        assert_eq!(text(response.into_body()).await, format!("body of {path}"));
    }
    assert_eq!(text(page.into_body()).await, "<html>");
    // They have all left, so the next answer may push as well.
    drop(client.get("/other").await.await.unwrap());
    assert_eq!(*seen.lock().unwrap(), Some(PushPolicy::Possible));
}

#[tokio::test(start_paused = true)]
async fn a_page_hints_at_its_assets_where_push_is_off() {
    let (toy, _) = pushing(Body::empty());
    let mut builder = Builder::new();
    builder.enable_push(false);
    let mut client = connected(toy, &builder).await;
    let mut answer = client.get("/").await;
    let hints = std::future::poll_fn(|cx| answer.poll_informational(cx)).await.unwrap().unwrap();
    assert_eq!(hints.status(), 103);
    let links: Vec<_> = hints.headers().get_all("link").iter().collect();
    assert_eq!(links, ["</app.css>; rel=preload", "</app.js>; rel=preload"]);
    let page = answer.await.unwrap();
    assert_eq!(page.status(), 200);
    assert_eq!(text(page.into_body()).await, "<html>");
}
