//! What is for operators: behind its token, on its own listener, or everyone's.

use std::net::SocketAddr;
use std::sync::Arc;

use poll_http::{AdminPlace, Administration, ConnectionSettings, HostCheck, Limits, ServiceSettings, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::World;

fn world(tokens: &[&str], place: AdminPlace) -> World {
    let administration = Administration { tokens: tokens.iter().map(ToString::to_string).collect(), place };
    let limits = Limits { auth_failures: 2, ..Limits::default() };
    let admin_hosts = HostCheck::Loopback(vec!["poll.test".to_owned()]);
    World::set(ServiceSettings { administration, admin_hosts, limits, ..ServiceSettings::default() })
}

/// The head of an answer on a connection of administration.
async fn ask(world: &World, path: &str, fields: &str) -> String {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let service = world.service.administration();
    let context = Arc::new(service.connections(ConnectionSettings::default()));
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    tokio::spawn(serve(server, peer, service, context));
    let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{fields}\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().0.to_ascii_lowercase()
}

async fn status(world: &World, path: &str, fields: &str) -> u16 {
    ask(world, path, fields).await.split(' ').nth(1).unwrap().parse().unwrap()
}

const HOST: &str = "Host: localhost\r\n";

#[tokio::test(start_paused = true)]
async fn without_either_metrics_are_open_and_there_is_no_administration() {
    let world = world(&[], AdminPlace::Everywhere);
    for (path, expected) in [("/metrics", 200), ("/admin", 404), ("/admin/", 404), ("/admin/channels", 404)] {
        assert_eq!(world.get(path).await.status, expected, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_shuts_it_and_a_browser_is_asked_for_it_too() {
    let world = world(&["t", "old"], AdminPlace::Everywhere);
    let paths = [("/metrics", 200), ("/admin/", 404), ("/admin/channels", 200), ("/admin", 404)];
    for (path, with_token) in paths {
        let refused = world.get(path).await;
        assert_eq!(refused.status, 401, "{path}");
        let challenges: Vec<&str> = refused
            .fields
            .iter()
            .filter(|(name, _)| name == "www-authenticate")
            .map(|(_, value)| value.as_str())
            .collect();
        assert_eq!(challenges, ["Bearer", "Basic realm=\"poll\""], "{path}");
        // `any:t`, `:old`
        for field in ["Bearer t", "bearer old", "Basic YW55OnQ=", "basic Om9sZA=="] {
            let answer = world.ask("GET", path, &[("authorization", field)], b"").await;
            assert_eq!(answer.status, with_token, "{path} {field}");
        }
    }
    assert_eq!(world.get("/metrics?access_token=t").await.status, 200);
    for open in ["/healthz", "/readyz", "/api/poll", "/administrator"] {
        assert_ne!(world.get(open).await.status, 401, "{open}");
    }
    for expected in [401, 401, 429] {
        let answer = world.ask("GET", "/metrics", &[("authorization", "Basic YW55Ong=")], b"").await;
        assert_eq!(answer.status, expected, "wrong tokens are counted");
    }
    let good = world.ask("GET", "/metrics", &[("authorization", "Bearer t")], b"").await;
    assert_eq!(good.status, 200);
    world.service.replace_administration(Administration::default());
    assert_eq!(world.get("/metrics").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_listener_of_its_own_has_it_alone_and_nothing_else() {
    for tokens in [&[][..], &["t"]] {
        let world = world(tokens, AdminPlace::Apart);
        for path in ["/metrics", "/metrics?access_token=t", "/admin/", "/admin/channels"] {
            assert_eq!(world.get(path).await.status, 404, "{path}");
        }
        let token = format!("{HOST}Authorization: Bearer t\r\n");
        assert_eq!(status(&world, "/metrics", &token).await, 200);
        assert_eq!(status(&world, "/admin/channels", &token).await, 200);
        assert_eq!(status(&world, "/metrics", HOST).await, if tokens.is_empty() { 200 } else { 401 });
        for path in ["/", "/api/poll", "/messages", "/openapi.json"] {
            assert_eq!(status(&world, path, &token).await, 404, "{path}");
        }
        assert_eq!(status(&world, "/healthz", HOST).await, 200);
        assert_eq!(status(&world, "/metrics", "Host: example.com\r\n").await, 421);
        assert_ne!(status(&world, "/metrics", "Host: poll.test:1\r\n").await, 421);
    }
}
