//! `poll-server doctor`: a line for each thing, the exit code of the worst, and what it sees of a proxy.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Server, command, command_under_limit};

fn text(output: &Output) -> String {
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What a relay does to what comes from the server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Harm {
    /// It gives it on when the connection ends.
    Buffers,
    /// It closes connections of that age.
    CutsAfter(Duration),
}

/// A relay in front of `server`, which runs until the test process ends.
fn relay(server: SocketAddr, harm: Harm) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(server).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            thread::spawn(move || answer(server, client, harm));
        }
    });
    address
}

/// Errors are those of connections that the other side has ended.
fn answer(mut server: TcpStream, mut client: TcpStream, harm: Harm) -> Option<()> {
    let mut held = Vec::new();
    match harm {
        Harm::Buffers => {
            server.read_to_end(&mut held).ok()?;
            client.write_all(&held).ok()?;
        }
        Harm::CutsAfter(age) => {
            let end = Instant::now() + age;
            let mut part = [0; 4_096];
            while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                server.set_read_timeout(Some(left)).ok()?;
                match server.read(&mut part) {
                    Ok(length @ 1..) => client.write_all(&part[..length]).ok()?,
                    _ => break,
                }
            }
        }
    }
    client.shutdown(std::net::Shutdown::Both).ok()
}

/// What it says of a proxy, and how it exits.
fn of_proxy(address: SocketAddr) -> (Vec<String>, Option<i32>) {
    let url = format!("http://{address}/");
    let output = command().args(["doctor", "--url", &url, "--max-poll-seconds", "1"]).output().unwrap();
    let text = text(&output);
    let lines = text.lines().filter(|line| line.contains(" proxy: ")).map(str::to_owned).collect();
    (lines, output.status.code())
}

#[test]
fn each_thing_has_a_line_with_a_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("disk:{}", folder.path().join("made/later").display());
    let output = command().args(["doctor", "--store", &store, "--retain-bytes", "1MiB"]).output().unwrap();
    let text = text(&output);
    for about in ["open files", "connections", "somaxconn", "memory", "workers", "disk", "room", "clock"] {
        let is_about = |line: &&str| line.contains(&format!(" {about}: "));
        let line = text.lines().find(is_about).unwrap_or_else(|| panic!("{about}: {text}"));
        assert!(["ok", "warning", "fault"].contains(&line.split(' ').next().unwrap()), "{line}");
    }
    assert!(text.contains("a write is kept after"), "{text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it creates nothing");
    assert_eq!(output.status.code(), Some(if text.contains("fault ") { 2 } else { 0 }), "{text}");
}

#[test]
fn what_cannot_work_is_a_fault_and_exit_2() {
    let output = command_under_limit(1_000).args(["doctor", "--max-sockets", "1000"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("fault    open files: --max-sockets 1000 is more than the limit of 1000"));
}

#[test]
fn a_mistake_is_exit_64_and_one_line() {
    for arguments in [&["doctor", "--url"][..], &["doctor", "--url=ftp://x"], &["doctor", "--lisen", "x"]] {
        let output = command().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1, "{arguments:?}");
    }
}

#[test]
fn a_server_without_a_proxy_harms_nothing() {
    let server = Server::start(&["--max-poll-seconds", "1"]);
    let (lines, _) = of_proxy(server.addresses[0]);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines.iter().all(|line| line.starts_with("ok ")), "{lines:?}");
}

#[test]
fn a_proxy_that_buffers_is_a_fault() {
    let server = Server::start(&["--max-poll-seconds", "1"]);
    let (lines, code) = of_proxy(relay(server.addresses[0], Harm::Buffers));
    assert!(lines[0].starts_with("fault    proxy: it holds a stream back"), "{lines:?}");
    assert_eq!(code, Some(2));
}

#[test]
fn a_proxy_that_cuts_is_a_fault() {
    let server = Server::start(&["--max-poll-seconds", "1"]);
    let (lines, code) = of_proxy(relay(server.addresses[0], Harm::CutsAfter(Duration::from_millis(400))));
    let [passes, stream, poll] = &lines[..] else { panic!("{lines:?}") };
    assert!(passes.starts_with("ok "), "{lines:?}");
    assert!(stream.starts_with("fault") && stream.contains("was cut after"), "{lines:?}");
    assert!(poll.starts_with("fault") && poll.contains("a long poll is cut after"), "{lines:?}");
    assert_eq!(code, Some(2));
}

#[test]
fn a_server_that_is_not_there_is_a_fault() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (lines, code) = of_proxy(free);
    assert!(lines[0].contains("/healthz: cannot connect") && code == Some(2), "{lines:?}");
}
