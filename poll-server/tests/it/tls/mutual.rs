//! Client certificates.

use super::certificates::{Authority, text};
use super::start;
use crate::process::{curl, output};

#[test]
fn a_client_proves_its_name_and_counts_under_it() {
    let (servers, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let authorities = clients.file();
    let arguments = ["--tls-client-ca", text(&authorities), "--max-per-client", "1"];
    let server = start(&[&servers.issue(&["localhost"])], &arguments);
    let trusted = servers.file();
    let url = |path: &str| format!("https://localhost:{}{path}", server.addresses[0].port());
    let with = |pair: &super::Pair, more: &[&str], path: &str| {
        let (certificate, key) = (pair.certificate(), pair.key());
        let own = ["--cacert", text(&trusted), "--cert", text(&certificate), "--key", text(&key)];
        curl(&[&own[..], more, &[&url(path)]].concat())
    };
    let (alice, bob, mallory) =
        (clients.issue(&["alice"]), clients.issue(&["bob"]), others.issue(&["alice"]));

    assert_eq!(output(with(&alice, &[], "/healthz")), "ok\n");
    assert_eq!(output(with(&alice, &["--http2"], "/healthz")), "ok\n");
    let none = curl(&["--cacert", text(&trusted), &url("/healthz")]).wait_with_output().unwrap();
    assert!(!none.status.success() && none.stdout.is_empty());
    let wrong = with(&mallory, &[], "/healthz").wait_with_output().unwrap();
    assert!(!wrong.status.success() && wrong.stdout.is_empty());

    // One wait each, whatever a client calls itself.
    let mut waiting = with(&alice, &[], "/api/stream");
    let metrics = || output(with(&bob, &[], "/metrics"));
    while !metrics().contains("poll_waiters{pattern=\"stream\"} 1\n") {}
    let status = ["--write-out", "%{http_code}", "--output", "/dev/null", "-H", "X-Client-ID: another"];
    assert_eq!(output(with(&alice, &status, "/api/longpoll?timeout=0.1")), "429");
    assert_eq!(output(with(&bob, &status, "/api/longpoll?timeout=0.1")), "200");
    waiting.kill().unwrap();
    waiting.wait().unwrap();
}
