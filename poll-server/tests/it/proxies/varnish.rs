//! Varnish, with `deploy/varnish.vcl`.

use std::net::SocketAddr;
use std::process::Command;

use super::{Port, Proxy, program, shipped};

fn start(poll: SocketAddr) -> Proxy {
    let files = tempfile::tempdir().unwrap();
    let port = Port::reserve();
    let changes = [
        (".host = \"127.0.0.1\"; # CHANGE", format!(".host = \"{}\";", poll.ip())),
        (".port = \"8080\"; # CHANGE", format!(".port = \"{}\";", poll.port())),
    ];
    let configuration = files.path().join("varnish.vcl");
    std::fs::write(&configuration, shipped("varnish.vcl", &changes)).unwrap();
    let mut varnish = Command::new(program("varnishd"));
    varnish.args(["-F", "-j", "none", "-s", "malloc,16m", "-p", "pipe_timeout=130"]);
    varnish.arg("-n").arg(files.path().join("work")).arg("-f").arg(configuration);
    varnish.args(["-a", &port.address().to_string()]);
    Proxy::start(varnish, port, files)
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
