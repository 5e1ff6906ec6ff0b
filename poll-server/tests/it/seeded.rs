//! The whole server on a seed: without sockets, threads or a clock of the system's, a run is the same every time.

use std::net::SocketAddr;
use std::time::Duration;

use poll_core::environment::Environment;
use poll_server::config::{Config, Given, Start};
use poll_server::listen::Listener;
use poll_server::{Dialer, Ended, Shutdown, Trigger};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

fn config() -> Config {
    let arguments = ["--store", "memory:", "--workers", "2", "--drain-seconds", "1"].map(Into::into).into();
    let file = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    match Config::read(&Given { arguments, variable: &|_| None, variables: Vec::new(), file: &file }) {
        Ok(Start::Serve(config)) => *config,
        other => panic!("{other:?}"),
    }
}

/// All that is answered to one request, but for when.
async fn ask(dialer: &Dialer, port: u16, request: &str) -> String {
    let mut connection = dialer.connect(SocketAddr::new(ADDRESS.ip(), port)).unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    // Answers by hyper have the system's date, which nothing else depends on.
    let lines = answer.lines().filter(|line| !line.starts_with("date: "));
    lines.collect::<Vec<_>>().join("\n")
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
}

/// A crowd of readers of every pattern, some publishes, and a drain that ends the rest. Gives all that was answered.
async fn run(seed: u64) -> Vec<String> {
    let environment = Environment::seeded(seed);
    let (listener, dialer) = Listener::in_process(ADDRESS);
    let (trigger, shutdown) = Shutdown::with_trigger();
    let server = poll_server::run(environment.clone(), config(), vec![listener], shutdown);
    let (ended, answers) = tokio::join!(server, answers(environment, dialer, trigger));
    assert_eq!(ended.unwrap(), Ended::Drained { cut: 0 });
    answers
}

async fn answers(environment: Environment, dialer: Dialer, trigger: Trigger) -> Vec<String> {
    let mut readers = Vec::new();
    for port in 0..60 {
        let pattern = ["longpoll?timeout=2&", "stream?", "poll?"][usize::from(port) % 3];
        let request = get(&format!("/api/{pattern}channel={}", environment.random() % 3));
        let dialer = dialer.clone();
        readers.push(tokio::spawn(async move { ask(&dialer, port, &request).await }));
    }
    for number in 0..20 {
        tokio::time::sleep(Duration::from_millis(environment.random() % 300)).await;
        let channel = environment.random() % 3;
        let body = format!("content={number}");
        let request = format!(
            "POST /api/message?channel={channel} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        readers.push(tokio::spawn(std::future::ready(ask(&dialer, 1_000, &request).await)));
    }
    trigger.stop();
    let mut answers = Vec::new();
    for reader in readers {
        answers.push(reader.await.unwrap());
    }
    answers
}

fn simulate(seed: u64) -> Vec<String> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime =
        builder.enable_all().start_paused(true).on_thread_park(poll_http::end_turn).build().unwrap();
    runtime.block_on(run(seed))
}

#[test]
fn a_server_on_a_seed_answers_the_same_every_time() {
    let first = simulate(7);
    assert!(first.iter().all(|answer| answer.starts_with("HTTP/1.1 20")), "{first:?}");
    assert_eq!(simulate(7), first);
    assert_ne!(simulate(8), first);
}
