//! nginx, with `deploy/nginx.conf`.

use std::io::BufReader;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{Port, Proxy, behind, program, shipped, until};

fn start(poll: SocketAddr) -> Proxy {
    let tls = Port::reserve();
    start_with_tls(poll, &tls)
}

fn start_with_tls(poll: SocketAddr, tls: &Port) -> Proxy {
    let files = tempfile::tempdir().unwrap();
    let port = Port::reserve();
    certificate(files.path());
    let at = files.path().display();
    let changes = [
        ("worker_rlimit_nofile 65536;", String::new()),
        ("worker_connections 32768;", "worker_connections 512;".to_owned()),
        ("http {\n", format!("http {{\n{}", places(&files))),
        ("server 127.0.0.1:8080; # CHANGE", format!("server {poll};")),
        ("listen 80; # CHANGE", format!("listen {};", port.address())),
        ("listen 443 ssl http2; # CHANGE", format!("listen {} ssl http2;", tls.address())),
        ("/etc/ssl/certs/poll.pem; # CHANGE", format!("{at}/poll.pem;")),
        ("/etc/ssl/private/poll.key; # CHANGE", format!("{at}/poll.key;")),
    ];
    launch(&shipped("nginx.conf", &changes), port, files)
}

/// Where its files go, as lines of `http`.
pub(super) fn places(files: &TempDir) -> String {
    let at = files.path().display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {at}/{kind};\n"));
    format!("    access_log off;\n{}", temporary.concat())
}

/// Starts it with this configuration, which listens on `port`.
pub(super) fn launch(configuration: &str, port: Port, files: TempDir) -> Proxy {
    std::fs::write(files.path().join("nginx.conf"), configuration).unwrap();
    let at = files.path().display();
    let global = format!("daemon off; pid {at}/nginx.pid; error_log {at}/error.log;");
    let mut nginx = Command::new(program("nginx"));
    nginx.args(["-p", &at.to_string(), "-c", &format!("{at}/nginx.conf"), "-g", &global]);
    Proxy::start(nginx, port, files)
}

fn certificate(at: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"])
        .arg("-keyout")
        .arg(at.join("poll.key"))
        .arg("-out")
        .arg(at.join("poll.pem"))
        .stderr(Stdio::null())
        .status()
        .expect("openssl is needed: apt-get install openssl");
    assert!(made.success());
}

#[test]
fn polls_and_streams_pass_through_as_they_come() {
    super::passes_through_as_it_comes(start);
}

#[test]
fn refusals_pass_with_their_retry_after() {
    super::refuses_with_retry_after(start);
}

#[test]
fn a_client_that_has_left_waits_no_more() {
    super::lets_go_of_clients_that_have_left(start);
}

#[test]
fn a_drain_answers_everyone_through_the_proxy() {
    super::answers_everyone_in_a_drain(start);
}

#[test]
fn an_eventsource_outlives_a_restart() {
    super::keeps_an_eventsource_over_a_restart(start);
}

#[test]
fn others_are_told_that_poll_is_away() {
    let nobody = Port::reserve();
    let proxy = start(nobody.address());
    for path in ["/api/stream?channel=c", "/api/longpoll", "/api/poll"] {
        assert!(proxy.get(path).starts_with("HTTP/1.1 502"), "{path}");
    }
}

#[test]
fn events_reach_a_browser_over_http_2() {
    let server = behind(&[]);
    let tls = Port::reserve();
    let proxy = start_with_tls(server.addresses[0], &tls);
    let url = format!("https://localhost:{}/api/stream?channel=c&last_id=0", tls.number);
    let mut curl = Command::new("curl")
        .args(["-sNki", "--http2", "-H", "accept: text/event-stream", &url])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut events = BufReader::new(curl.stdout.take().unwrap());
    let head = until(&mut events, "event: connected");
    assert!(head.starts_with("HTTP/2 200"), "{head}");
    for content in ["one", "two"] {
        proxy.publish("c", content);
        until(&mut events, &format!("\"message\":\"{content}\""));
    }
    curl.kill().unwrap();
    curl.wait().unwrap();
}
