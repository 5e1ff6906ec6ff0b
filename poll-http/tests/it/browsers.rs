//! Pages of other origins: who may read, who may write, and whose name the server answers to.

use poll_http::{Cors, HostCheck, ServiceSettings};

use crate::world::World;

const APP: (&str, &str) = ("origin", "https://app.test");

fn with(cors: Cors) -> World {
    World::set(ServiceSettings { cors, ..ServiceSettings::default() })
}

const WRITES: [(&str, &str); 5] = [
    ("/api/message", "x"),
    ("/api/progress/j", r#"{"step":1,"total":2}"#),
    ("/publish", r#"{"category":"messages","data":1}"#),
    ("/messages", r#"{"body":"x"}"#),
    ("/api/publish/c", "{}"),
];

#[tokio::test(start_paused = true)]
async fn cors_is_off_until_somebody_is_named() {
    let world = with(Cors::Off);
    let answer = world.ask("GET", "/api/poll", &[APP], b"").await;
    assert_eq!((answer.status, answer.field("access-control-allow-origin")), (200, None));
    let preflight = [APP, ("access-control-request-method", "POST")];
    let answer = world.ask("OPTIONS", "/api/message", &preflight, b"").await;
    assert!(answer.fields.iter().all(|(name, _)| !name.starts_with("access-control")));
}

#[tokio::test(start_paused = true)]
async fn the_named_may_read_and_write() {
    let named = with(Cors::Origins(vec!["https://app.test".to_owned()]));
    let any = with(Cors::Any);
    for (world, allowed) in [(&named, "https://app.test"), (&any, "*")] {
        let reads =
            ["/api/poll", "/api/longpoll?timeout=0", "/messages", "/nothing", "/events", "/api/poll?limit=0"];
        for target in reads {
            let answer = world.ask("GET", target, &[APP], b"").await;
            assert_eq!(answer.field("access-control-allow-origin"), Some(allowed), "{target}");
            let exposed = answer.field("access-control-expose-headers").unwrap().to_ascii_lowercase();
            for field in ["etag", "retry-after", "location", "poll-missed", "push-policy", "x-request-id"] {
                assert!(exposed.split(", ").any(|other| other == field), "{field}");
            }
            assert_eq!(answer.field("vary"), Some("Origin"), "{target}");
        }
        for target in ["/api/stream", "/api/push", "/api/progress/j"] {
            let mut stream = world.connect();
            let head = stream.open(target, &[APP]).await;
            assert_eq!(head.field("access-control-allow-origin"), Some(allowed));
            let vary: Vec<_> = head.fields.iter().filter(|(name, _)| name == "vary").collect();
            assert_eq!(vary, [&("vary".to_owned(), "Accept, Origin".to_owned())], "{target}");
        }
        for (target, body) in WRITES {
            let fields = [APP, ("sec-fetch-site", "cross-site")];
            let answer = world.ask("POST", target, &fields, body.as_bytes()).await;
            assert!(answer.status < 300, "{target}: {}", answer.status);
            assert_eq!(answer.field("access-control-allow-origin"), Some(allowed));
        }
        let fields =
            [APP, ("access-control-request-method", "POST"), ("access-control-request-headers", "x-other")];
        let preflight = world.ask("OPTIONS", "/api/message", &fields, b"").await;
        assert_eq!((preflight.status, preflight.body.len()), (204, 0));
        assert_eq!(preflight.field("access-control-allow-origin"), Some(allowed));
        assert!(preflight.field("access-control-allow-methods").unwrap().contains("POST"));
        let may = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Prefer, X-Client-ID, \
                   X-Request-Id";
        assert_eq!(preflight.field("access-control-allow-headers"), Some(may));
        assert_eq!(preflight.field("vary"), Some("Origin"));
    }
    let stranger = named.ask("GET", "/api/poll", &[("origin", "https://other.test")], b"").await;
    assert_eq!((stranger.status, stranger.field("access-control-allow-origin")), (200, None));
    assert_eq!(stranger.field("vary"), Some("Origin"), "caches must not mix them up");
    let none = named.get("/api/poll").await;
    assert_eq!((none.field("vary"), none.field("access-control-allow-origin")), (Some("Origin"), None));
    let refused = named.ask("POST", "/api/message", &[("origin", "https://other.test")], b"x").await;
    assert_eq!(refused.status, 403);
}

#[tokio::test(start_paused = true)]
async fn a_page_elsewhere_may_not_write_whatever_its_content_type() {
    let world = with(Cors::Off);
    let cases: [&[(&str, &str)]; 9] = [
        &[("origin", "https://evil.test")],
        &[("origin", "null")],
        &[("origin", "http://poll.test:81")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "http://poll.test"), ("sec-fetch-site", "cross-site")],
        &[("origin", "http://poll.test"), ("sec-fetch-site", "same-site")],
        &[("origin", "null"), ("sec-fetch-site", "same-site")],
        // Behind a proxy that rewrites `Host`, over plain HTTP, where browsers say no more.
        &[("host", "127.0.0.1:8080"), ("origin", "http://news.test")],
    ];
    for fields in cases {
        for (target, body) in WRITES {
            for content_type in ["application/json", "text/plain", "application/x-www-form-urlencoded"] {
                let fields = [fields, &[("content-type", content_type)]].concat();
                let answer = world.ask("POST", target, &fields, body.as_bytes()).await;
                assert_eq!(answer.status, 403, "{target} {fields:?}");
                assert!(answer.text().contains("--cors-origin"), "the remedy: {}", answer.text());
            }
        }
    }
    assert_eq!(world.store.channels(), 0);
    let fine: [&[(&str, &str)]; 6] = [
        &[],
        &[("origin", "http://poll.test"), ("sec-fetch-site", "same-origin")],
        &[("origin", "https://poll.test")],
        &[("sec-fetch-site", "none")],
        // What the browser says decides: behind a proxy that rewrites `Host`, and from a page without referrer.
        &[("host", "127.0.0.1:8080"), ("origin", "https://news.test"), ("sec-fetch-site", "same-origin")],
        &[("origin", "null"), ("sec-fetch-site", "same-origin")],
    ];
    for fields in fine {
        assert_eq!(world.ask("POST", "/api/message", fields, b"x").await.status, 201, "{fields:?}");
    }
    let own_port = [("host", "poll.test:8080"), ("origin", "http://poll.test:8080")];
    assert_eq!(world.ask("POST", "/api/message", &own_port, b"x").await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn a_page_elsewhere_starts_no_demonstration() {
    let elsewhere: [&[(&str, &str)]; 3] =
        [&[APP], &[("origin", "null")], &[("sec-fetch-site", "cross-site")]];
    let world = with(Cors::Off);
    for fields in elsewhere {
        for method in ["GET", "HEAD"] {
            let answer = world.ask(method, "/api/progress", fields, b"").await;
            assert_eq!(answer.status, 403, "{method} {fields:?}");
        }
    }
    assert_eq!(world.store.channels(), 0);
    let named = Cors::Origins(vec!["https://app.test".to_owned()]);
    for (cors, fields) in [
        (Cors::Off, &[][..]),
        (Cors::Off, &[("sec-fetch-site", "same-origin")]),
        (Cors::Off, &[("sec-fetch-site", "none")]),
        (named, &[APP, ("sec-fetch-site", "cross-site")]),
    ] {
        let mut wire = with(cors).connect();
        wire.open("/api/progress", fields).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_on_loopback_answers_only_names_that_mean_loopback() {
    let hosts = HostCheck::Loopback(vec!["poll.test".to_owned()]);
    let world = World::set(ServiceSettings { hosts, ..ServiceSettings::default() });
    for host in [
        "localhost",
        "localhost:8080",
        "LocalHost",
        "127.0.0.1:80",
        "127.1.2.3",
        "[::1]",
        "[::1]:8080",
        "poll.test",
    ] {
        assert_eq!(world.ask("GET", "/api/poll", &[("host", host)], b"").await.status, 200, "{host}");
    }
    for host in
        ["evil.test", "localhost.evil.test", "10.0.0.1", "[::2]", "127.0.0.1.evil.test", "poll.test.evil"]
    {
        for target in ["/api/poll", "/healthz", "/events", "/messages", "/nothing"] {
            let answer = world.ask("GET", target, &[("host", host)], b"").await;
            assert_eq!(answer.status, 421, "{host} {target}");
            assert!(answer.text().contains("--host"), "the remedy: {}", answer.text());
        }
        assert_eq!(world.ask("POST", "/api/message", &[("host", host)], b"x").await.status, 421);
    }
    let requests = world.connect_http2(&h2::client::Builder::new()).await;
    for (host, status) in [("localhost", 200), ("evil.test", 421)] {
        let mut ready = requests.clone().ready().await.unwrap();
        let request = http::Request::get(format!("http://{host}/api/poll")).body(()).unwrap();
        let answer = ready.send_request(request, true).unwrap().0.await.unwrap();
        assert_eq!(answer.status(), status, "{host}");
    }
}
