//! Three nodes over one Redis behind a proxy, with the configurations we ship and with the one of seed 003: each node is
//! restarted under load, and every reader is given every message once and in order.

use std::collections::HashSet;
use std::io::BufRead as _;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::nginx::{launch, places};
use super::{EventSource, PATIENCE, Port, Proxy, opened, program, shipped};
use crate::process::{Server, command};
use crate::redis::Redis;

/// What the last message says.
const END: &str = "end";
const PUBLISHERS: usize = 2;
/// How long reading everything may take.
const ALL: Duration = Duration::from_secs(240);

/// Three servers, each at an address of its own, also after a restart.
struct Nodes {
    redis: Redis,
    ports: [Port; 3],
    flags: &'static [&'static str],
}

impl Nodes {
    fn new(flags: &'static [&'static str]) -> Self {
        Self { redis: Redis::start(&[]), ports: [(); 3].map(|()| Port::reserve()), flags }
    }

    fn addresses(&self) -> [SocketAddr; 3] {
        [0, 1, 2].map(|index| self.ports[index].address())
    }

    fn start(&self, index: usize) -> Server {
        let mut command = command();
        command.args(["--listen", &self.ports[index].address().to_string(), "--store", &self.redis.url()]);
        command.args(["--trusted-proxy", "127.0.0.1", "--retain-messages", "0", "--retain-seconds", "0"]);
        command.args(["--drain-seconds", "2", "--cors-origin", "http://other.test"]).args(self.flags);
        let server = Server::start_command(command, 1);
        server.get_until("/readyz", "ready\n");
        server
    }
}

fn shipped_nginx(nodes: &[SocketAddr; 3]) -> Proxy {
    let (files, port) = (tempfile::tempdir().unwrap(), Port::reserve());
    let [one, two, three] = nodes.map(|node| format!("server {node} "));
    let changes = [
        ("worker_rlimit_nofile 65536;", String::new()),
        ("worker_connections 32768;", "worker_connections 512;".to_owned()),
        ("http {\n", format!("http {{\n{}", places(&files))),
        ("server poll1:8080 ", one),
        ("server poll2:8080 ", two),
        ("server poll3:8080 ", three),
        ("listen 80; # CHANGE", format!("listen {};", port.address())),
    ];
    launch(&shipped("nginx-nodes.conf", &changes), port, files)
}

fn shipped_haproxy(nodes: &[SocketAddr; 3]) -> Proxy {
    let (files, port) = (tempfile::tempdir().unwrap(), Port::reserve());
    let [one, two, three] = nodes.map(|node| format!("{node} check"));
    let changes = [
        ("maxconn 32768", "maxconn 512".to_owned()),
        ("bind :80 # CHANGE", format!("bind {}", port.address())),
        ("bind :443 ssl crt /etc/ssl/private/poll.pem alpn h2,http/1.1 # CHANGE", String::new()),
        ("poll1:8080 check", one),
        ("poll2:8080 check", two),
        ("poll3:8080 check", three),
    ];
    let configuration = files.path().join("haproxy.cfg");
    std::fs::write(&configuration, shipped("haproxy-nodes.cfg", &changes)).unwrap();
    let mut haproxy = Command::new(program("haproxy"));
    haproxy.arg("-db").arg("-f").arg(configuration);
    Proxy::start(haproxy, port, files)
}

/// The seed's own file, with nothing but addresses changed.
fn seed_nginx(nodes: &[SocketAddr; 3]) -> Proxy {
    let (files, port) = (tempfile::tempdir().unwrap(), Port::reserve());
    let mut text =
        include_str!("seed_ip_hash.conf").replace("listen 80;", &format!("listen {};", port.address()));
    for (number, node) in (1..).zip(nodes) {
        text = text.replace(&format!("backend{number}:8080"), &node.to_string());
    }
    let text = format!("events {{ worker_connections 512; }}\nhttp {{\n{}{text}}}\n", places(&files));
    launch(&text, port, files)
}

/// Publishes what it is told under a key of its own, until it is known to be published.
fn publish(proxy: &Proxy, text: &str) {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let answer = proxy.try_post(
            &format!("/api/message?channel=c&content={text}"),
            &format!("Idempotency-Key: {text}\r\n"),
        );
        if answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 20")) {
            return;
        }
    }
    panic!("{text} is not published within {PATIENCE:?}");
}

fn json(answer: &str) -> Option<Value> {
    if !answer.starts_with("HTTP/1.1 200") {
        return None;
    }
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

/// Reads until the last message with what `ask` gives for a position: messages, and the next position.
fn poll<P: Default>(proxy: &Proxy, ask: impl Fn(&Proxy, &P) -> Option<(Vec<String>, P)>) -> Vec<String> {
    let (mut seen, mut at, begun) = (Vec::new(), P::default(), Instant::now());
    while seen.last().is_none_or(|last| last != END) {
        assert!(begun.elapsed() < ALL, "the last message is not there within {ALL:?}, but {}", seen.len());
        let Some((messages, next)) = ask(proxy, &at) else { continue };
        seen.extend(messages);
        at = next;
    }
    seen
}

fn texts(messages: &Value, field: &str) -> Vec<String> {
    messages.as_array().unwrap().iter().map(|message| message[field].as_str().unwrap().to_owned()).collect()
}

fn long_poll(proxy: &Proxy) -> Vec<String> {
    poll(proxy, |proxy, cursor: &String| {
        let at = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
        let answer = json(&proxy.try_get(&format!("/api/longpoll?channel=c&timeout=20{at}")).ok()?)?;
        assert!(answer["missed"].is_null() && answer["reset"].is_null(), "{answer}");
        Some((texts(&answer["messages"], "content"), answer["cursor"].as_str().unwrap().to_owned()))
    })
}

fn seed_poll(proxy: &Proxy) -> Vec<String> {
    poll(proxy, |proxy, last: &String| {
        let at = if last.is_empty() { "since=0".to_owned() } else { format!("last_message_id={last}") };
        let answer = json(&proxy.try_get(&format!("/api/poll/c?timeout=20&{at}")).ok()?)?;
        let newest =
            answer["messages"].as_array().unwrap().last().map(|message| message["id"].as_str().unwrap());
        Some((texts(&answer["messages"], "data"), newest.unwrap_or(last).to_owned()))
    })
}

/// JSON lines, each time from the last cursor.
fn stream(proxy: &Proxy) -> Vec<String> {
    poll(proxy, |proxy, cursor: &String| {
        let at = if cursor.is_empty() { "&last_id=0".to_owned() } else { format!("&cursor={cursor}") };
        let answer = proxy.try_ask("GET", &format!("/api/stream?channel=c{at}"), "").ok()?;
        let (head, body) = opened(answer).ok()??;
        if !head.starts_with("http/1.1 200") {
            return None;
        }
        let (mut seen, mut next) = (Vec::new(), cursor.clone());
        for line in body.lines().map_while(Result::ok) {
            // The last line may be torn.
            let Ok(line) = serde_json::from_str::<Value>(&line) else { break };
            assert_ne!(line["type"], "reset", "{line}");
            line["cursor"].as_str().unwrap().clone_into(&mut next);
            if line["type"] == "update" {
                seen.push(line["message"].as_str().unwrap().to_owned());
            }
            if line["message"] == END {
                break;
            }
        }
        Some((seen, next))
    })
}

fn events(proxy: &Proxy) -> Vec<String> {
    let mut client = EventSource::of(proxy, "/api/stream?channel=c&last_id=0");
    client.run(|client| client.messages.last().is_some_and(|last| last == END));
    client.messages
}

type Reader = fn(&Proxy) -> Vec<String>;

/// Publishes and reads through the proxy while each node is restarted in turn.
fn restarts_in_turn_lose_nothing(nodes: &Nodes, start: fn(&[SocketAddr; 3]) -> Proxy, readers: &[Reader]) {
    let mut servers = [0, 1, 2].map(|index| nodes.start(index));
    let proxy = start(&nodes.addresses());
    let over = AtomicBool::new(false);
    let (proxy, over) = (&proxy, &over);
    std::thread::scope(|scope| {
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                scope.spawn(move || {
                    let mut published = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        let text = format!("{publisher}-{}", published.len());
                        publish(proxy, &text);
                        published.push(text);
                    }
                    published
                })
            })
            .collect();
        let readers: Vec<_> = readers.iter().map(|reader| scope.spawn(move || reader(proxy))).collect();
        for (index, server) in servers.iter_mut().enumerate() {
            server.signal(Signal::TERM);
            assert!(server.wait().success());
            *server = nodes.start(index);
        }
        over.store(true, Ordering::Relaxed);
        let published: Vec<String> =
            publishers.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        publish(proxy, END);
        let mut seen = readers.into_iter().map(|thread| thread.join().unwrap());
        let first = seen.next().unwrap();
        for (reader, other) in (1..).zip(seen) {
            let differs = other.iter().zip(&first).position(|(one, other)| one != other);
            let place = differs.unwrap_or(other.len().min(first.len()));
            assert_eq!(
                other[place..],
                first[place..],
                "reader {reader} of {}, from place {place}",
                first.len()
            );
        }
        assert_eq!(first.len(), published.len() + 1, "none lost, none doubled");
        let distinct: HashSet<&str> = first.iter().map(String::as_str).collect();
        assert!(published.iter().all(|text| distinct.contains(text.as_str())), "none lost");
        for publisher in 0..PUBLISHERS {
            let prefix = format!("{publisher}-");
            let own = published.iter().filter(|text| text.starts_with(&prefix));
            assert!(own.eq(first.iter().filter(|text| text.starts_with(&prefix))), "each publisher's order");
        }
        for server in &servers {
            assert!(server.lines("ERROR").is_empty(), "{:?}", server.lines("ERROR"));
        }
    });
}

#[test]
fn nodes_restarted_in_turn_behind_nginx_lose_nothing() {
    restarts_in_turn_lose_nothing(&Nodes::new(&[]), shipped_nginx, &[long_poll, stream, events, seed_poll]);
}

#[test]
fn nodes_restarted_in_turn_behind_haproxy_lose_nothing() {
    let nodes = Nodes::new(&["--drain-delay-seconds", "2"]);
    restarts_in_turn_lose_nothing(&nodes, shipped_haproxy, &[long_poll, stream, events, seed_poll]);
}

#[test]
fn the_seeds_sticky_file_works_as_well() {
    // A server on loopback has to be told of the name that nginx gives it by itself.
    let nodes = Nodes::new(&["--host", "backend"]);
    restarts_in_turn_lose_nothing(&nodes, seed_nginx, &[long_poll, stream, seed_poll]);
}

/// A balancer that asks for readiness has no node left, and passes requests on all the same.
#[test]
fn readers_behind_haproxy_wait_while_redis_is_away() {
    let mut nodes = Nodes::new(&[]);
    let servers = [0, 1, 2].map(|index| nodes.start(index));
    let proxy = shipped_haproxy(&nodes.addresses());
    publish(&proxy, "one");
    for server in &servers {
        server.get("/api/poll?channel=c");
    }
    nodes.redis.kill();
    for server in &servers {
        server.get_until("/readyz", "HTTP/1.1 503");
    }
    // HAProxy answers by itself until it has noticed.
    until(|| proxy.publish("c", "two").contains("application/problem+json"));
    let mut waiting = proxy.ask("GET", "/api/longpoll?channel=c&last_id=1&timeout=50");
    let waits = |server: &Server| server.get("/metrics").contains("poll_waiters{pattern=\"long\"} 1");
    until(|| servers.iter().any(waits));
    nodes.redis.start_again();
    for server in &servers {
        server.get_until("/readyz", "ready\n");
    }
    publish(&proxy, "three");
    assert!(super::rest(&mut waiting).contains("\"three\""));
}

fn until(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "it is not so within {PATIENCE:?}");
        std::thread::yield_now();
    }
}
