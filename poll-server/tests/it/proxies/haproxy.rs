//! HAProxy, with `deploy/haproxy.cfg`.

use std::net::SocketAddr;
use std::process::Command;

use super::{Port, Proxy, program, shipped};

fn start(poll: SocketAddr) -> Proxy {
    let files = tempfile::tempdir().unwrap();
    let port = Port::reserve();
    let changes = [
        ("maxconn 32768", "maxconn 512".to_owned()),
        ("bind :80 # CHANGE", format!("bind {}", port.address())),
        ("bind :443 ssl crt /etc/ssl/private/poll.pem alpn h2,http/1.1 # CHANGE", String::new()),
        ("server poll 127.0.0.1:8080 check", format!("server poll {poll} check")),
    ];
    let configuration = files.path().join("haproxy.cfg");
    std::fs::write(&configuration, shipped("haproxy.cfg", &changes)).unwrap();
    let mut haproxy = Command::new(program("haproxy"));
    haproxy.arg("-db").arg("-f").arg(configuration);
    Proxy::start(haproxy, port, files)
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
        assert!(proxy.get(path).starts_with("HTTP/1.1 503"), "{path}");
    }
}
