//! A service in somebody else's server: its path, the program's check, the hooks, hyper and axum.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use poll_core::{ChannelName, IdempotencyKey, Payload, Publish, Retention, Store};
use poll_http::{AfterDelivery, Ask, Body, Mount, Refusal, Service, ServiceSettings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

fn service() -> poll_http::Builder {
    Service::builder(Store::in_memory(Retention::golongpoll()))
}

fn request(method: &str, target: &str, body: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(format!("http://localhost{target}"));
    request.body(Full::from(body.to_owned())).unwrap()
}

fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4711))
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

#[tokio::test]
async fn the_prefix_is_taken_off_requests_and_put_before_locations() {
    let mount = Mount::new(service().build(), "/news");
    let publish = request("POST", "/news/api/message?channel=a%2Fb&content=x", "");
    let published = mount.answer(publish, peer()).await;
    assert_eq!(published.status(), StatusCode::CREATED);
    assert!(!published.headers().contains_key("keep-alive"));
    let location = published.headers()[LOCATION].to_str().unwrap();
    assert!(location.starts_with("/news/api/messages/a%2Fb/"), "{location}");
    let message = mount.answer(request("GET", location, ""), peer()).await;
    assert!(text(message).await.contains(r#""content":"x""#));
    for outside in ["/api/poll", "/newsletter/api/poll", "/"] {
        let answer = mount.answer(request("GET", outside, ""), peer()).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{outside}");
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/problem+json");
    }
}

#[tokio::test]
async fn content_is_read_from_a_foreign_body() {
    let mount = Mount::new(service().build(), "");
    let sent = request("POST", "/messages", r#"{"body":"hello"}"#);
    assert_eq!(mount.answer(sent, peer()).await.status(), StatusCode::OK);
    let answer = mount.answer(request("GET", "/messages", ""), peer()).await;
    assert!(text(answer).await.contains("hello"));
}

/// Every door, the channel it is about and whether it publishes.
const DOORS: [(&str, &str, &str, &str); 16] = [
    ("GET", "/api/poll?channel=c", "", "read c"),
    ("HEAD", "/api/poll?channel=c", "", "read c"),
    ("GET", "/api/longpoll?channel=c", "", "read c"),
    ("GET", "/api/stream?channel=c", "", "read c"),
    ("GET", "/api/push?channel=c", "", "read c"),
    ("GET", "/api/messages/c/1", "", "read c"),
    ("GET", "/api/progress/c", "", "read progress/c"),
    ("GET", "/events?timeout=1&category=c", "", "read c"),
    ("GET", "/messages", "", "read messages"),
    ("GET", "/api/poll/c", "", "read c"),
    ("POST", "/api/message?channel=c&content=x", "", "publish c"),
    ("POST", "/api/progress/c", r#"{"step":1,"total":2}"#, "publish progress/c"),
    ("POST", "/events?timeout=1&category=c", "", "read c"),
    ("POST", "/publish", r#"{"category":"c","data":1}"#, "publish c"),
    ("POST", "/messages", r#"{"body":"x"}"#, "publish messages"),
    ("POST", "/api/publish/c", "{}", "publish c"),
];

#[tokio::test]
async fn every_door_asks_once_and_refuses_in_its_own_shape() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = asked.clone();
    let told = Arc::new(Mutex::new(0));
    let hook = told.clone();
    let service = service()
        .check(move |_, ask| {
            let act = if matches!(ask, Ask::Publish(_)) { "publish" } else { "read" };
            notes.lock().unwrap().push(format!("{act} {}", ask.channel()));
            Err(Refusal::new(StatusCode::FORBIDDEN, "not yours"))
        })
        .on_publish(move |_, _| *hook.lock().unwrap() += 1)
        .build();
    let mount = Mount::new(service.clone(), "/");
    for (method, target, body, ask) in DOORS {
        let answer = mount.answer(request(method, target, body), peer()).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{method} {target}");
        assert_eq!(std::mem::take(&mut *asked.lock().unwrap()), [ask], "{method} {target}");
        let shape = text(answer).await;
        match target.split(['?', '/']).nth(1).unwrap() {
            "events" | "publish" | "messages" => assert_eq!(shape, r#"{"error": "not yours"}"#),
            "api" if target.starts_with("/api/poll/") || target.starts_with("/api/publish/") => {
                assert_eq!(shape, r#"{"error":"not yours"}"#);
            }
            _ => assert!(shape.contains(r#""status":403,"detail":"not yours""#), "{target}: {shape}"),
        }
    }
    // The demonstration job, which publishes, is asked for by the name it would have, and is not begun.
    let answer = mount.answer(request("GET", "/api/progress", ""), peer()).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert!(asked.lock().unwrap()[0].starts_with("publish progress/demo-"));
    assert_eq!((service.store().channels(), *told.lock().unwrap()), (0, 0));
    let unasked = mount.answer(request("GET", "/healthz", ""), peer()).await;
    assert_eq!(unasked.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_check_sees_what_the_servers_layers_found_out() {
    #[derive(Clone)]
    struct User(&'static str);
    let check = |head: &http::request::Parts, _: Ask<'_>| match head.extensions.get::<User>() {
        Some(User("alice")) => Ok(()),
        _ => Err(Refusal::new(StatusCode::UNAUTHORIZED, "who?").challenge("Cookie")),
    };
    let mount = Mount::new(service().check(check).build(), "/a");
    let mut known = request("GET", "/a/api/poll", "");
    known.extensions_mut().insert(User("alice"));
    assert_eq!(mount.answer(known, peer()).await.status(), StatusCode::OK);
    let refused = mount.answer(request("GET", "/a/api/poll", ""), peer()).await;
    assert_eq!(refused.headers()["www-authenticate"], "Cookie");
}

#[tokio::test]
async fn a_hook_is_told_of_each_publish_once() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let told_of = move |channel: &ChannelName, published: &poll_core::Published| {
        tell.send((channel.to_string(), published.stamps.len())).unwrap();
    };
    let service = service().on_publish(told_of).build();
    let mount = Mount::new(service.clone(), "/");
    let publishes = DOORS.iter().filter(|door| door.3.starts_with("publish "));
    for (method, target, body, ask) in publishes {
        let answer = mount.answer(request(method, target, body), peer()).await;
        assert!(answer.status().is_success(), "{target}");
        assert_eq!(told.try_recv(), Ok((ask["publish ".len()..].to_owned(), 1)), "{target}");
    }
    let twice = Publish::many(vec![Payload::text("a"), Payload::text("b")])
        .under(IdempotencyKey::parse("key").unwrap());
    let first = service.publish(&channel("own"), twice.clone()).await.unwrap();
    let again = service.publish(&channel("own"), twice).await.unwrap();
    assert_eq!((first.stamps, again.repeated), (again.stamps, true));
    assert_eq!(told.try_recv(), Ok(("own".to_owned(), 2)));
    assert!(told.try_recv().is_err());
}

/// What is on its way when its publisher leaves becomes visible, so it must be told of.
#[tokio::test]
async fn the_message_of_a_publisher_that_leaves_is_delivered_all_the_same() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let service = service().on_publish(move |channel, _| tell.send(channel.to_string()).unwrap()).build();
    let own = channel("own");
    let mut publish = Box::pin(service.publish(&own, Publish::one(Payload::text("a"))));
    assert!(futures_util::poll!(publish.as_mut()).is_pending());
    drop(publish);
    assert_eq!(told.recv().await.as_deref(), Some("own"));
    assert_eq!(service.store().published(), 1);
}

#[tokio::test]
async fn an_event_counts_as_given_once_the_server_took_it() {
    let settings =
        ServiceSettings { golongpoll_after_delivery: AfterDelivery::Delete, ..ServiceSettings::default() };
    let service = service().settings(settings).build();
    let mount = Mount::new(service.clone(), "/");
    service.publish(&channel("c"), Publish::one(Payload::text("tea"))).await.unwrap();
    let poll = || mount.answer(request("GET", "/events?timeout=1&category=c&since_time=1", ""), peer());
    drop(poll().await);
    assert!(text(poll().await).await.contains("tea"), "an answer that was dropped gave nothing");
    tokio::time::pause();
    assert!(text(poll().await).await.contains("timeout"));
}

/// Asks over a socket and reads to the end.
async fn ask(address: SocketAddr, target: &str) -> String {
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Waits until somebody waits.
async fn until_waiting(service: &Service, waiting: usize) {
    while service.store().notifier().waiting() != waiting {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_axum_a_poll_waits_and_is_woken() {
    let service = service().build();
    let app = axum::Router::new()
        .route_service("/whole/{*path}", Mount::new(service.clone(), "/whole"))
        .nest_service("/cut", Mount::nested(service.clone(), "/cut"));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async { axum::serve(listener, app).await });
    let polls = ["/whole/api/longpoll?channel=c", "/cut/api/longpoll?channel=c"]
        .map(|target| tokio::spawn(async move { ask(address, target).await }));
    until_waiting(&service, 2).await;
    service.publish(&channel("c"), Publish::one(Payload::text("news"))).await.unwrap();
    for poll in polls {
        let answer = poll.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""content":"news""#), "{answer}");
    }
    server.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hyper_serves_a_mount_as_it_is_and_frees_clients_that_leave() {
    let service = service().build();
    let mount = Mount::new(service.clone(), "/news").peer_of(|_| Some(peer()));
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(hyper_util::rt::TokioIo::new(server), mount);
    let served = tokio::spawn(connection);
    let stream = b"GET /news/api/stream?channel=c HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.write_all(stream).await.unwrap();
    until_waiting(&service, 1).await;
    service.publish(&channel("c"), Publish::one(Payload::text("news"))).await.unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(r#""message":"news""#) {
        assert_ne!(client.read_buf(&mut seen).await.unwrap(), 0);
    }
    drop(client);
    assert!(served.await.unwrap().is_err(), "the client left in the middle");
    until_waiting(&service, 0).await;
}
