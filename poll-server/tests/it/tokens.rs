//! Tokens from files, from a set of keys, and how all of it changes while the server runs.

pub(crate) mod provider;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::process::{Server, command, make_pipe};
use provider::{Key, Provider, unsigned};

const SECRET: &str = "a secret of more than thirty-two bytes";

fn second(after: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() + after
}

/// A token with a secret's signature.
fn by_secret(secret: &str, claims: &Value) -> String {
    let text = unsigned(&json!({"alg": "HS256"}), claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
}

pub(crate) fn all(after: i64) -> Value {
    json!({"exp": second(after), "sub": "ann", "poll": {"publish": ["**"], "subscribe": ["**"]}})
}

/// The status of a poll with a token.
pub(crate) fn status(server: &Server, token: &str) -> u16 {
    let answer = server.get(&format!("/api/poll?access_token={token}"));
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn write(path: &Path, text: &str) -> String {
    std::fs::write(path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_set_of_keys_is_fetched_and_again_for_a_key_that_is_not_there() {
    let (old, new, later, stranger) = (Key::new("old"), Key::new("new"), Key::new("later"), Key::new("none"));
    let provider = Provider::start(&[&old]);
    let server = Server::start(&["--max-auth-failures", "0", "--jwks-url", &provider.url()]);
    assert_eq!(status(&server, &old.sign(&all(60))), 200, "the set is there before the first request");
    assert_eq!(provider.asked.load(Ordering::Relaxed), 1);

    provider.publish(&[&old, &new]);
    assert_eq!(status(&server, &new.sign(&all(60))), 200);
    assert_eq!(provider.asked.load(Ordering::Relaxed), 2);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(200) {
        assert_eq!(status(&server, &stranger.sign(&all(60))), 401);
    }
    assert_eq!(provider.asked.load(Ordering::Relaxed), 2, "at most once in five seconds");

    // While the provider is away or talks nonsense, the last set stands.
    provider.answers("500 Oh", "", "");
    server.get_until(&format!("/api/poll?access_token={}", stranger.sign(&all(60))), "401");
    while provider.asked.load(Ordering::Relaxed) < 3 {
        assert_eq!(status(&server, &stranger.sign(&all(60))), 401);
    }
    server.wait_for(1, "it is answered 500 Internal Server Error; 2 that were fetched before stay in force");
    assert_eq!(status(&server, &old.sign(&all(60))), 200);
    let elsewhere = Provider::start(&[&later]);
    provider.answers("302 Found", &format!("Location: {}\r\n", elsewhere.url()), "");
    while provider.asked.load(Ordering::Relaxed) < 4 {
        assert_eq!(status(&server, &later.sign(&all(60))), 401);
    }
    assert_eq!(elsewhere.asked.load(Ordering::Relaxed), 0, "a redirect is not followed");
    provider.publish(&[&later]);
    server.get_until(&format!("/api/poll?access_token={}", later.sign(&all(60))), "200 OK");
    assert_eq!(status(&server, &old.sign(&all(60))), 401, "it was withdrawn");
}

#[test]
fn of_an_empty_set_all_keys_are_withdrawn() {
    let (key, stranger) = (Key::new("k"), Key::new("none"));
    let provider = Provider::start(&[&key]);
    let server = Server::start(&["--max-auth-failures", "0", "--jwks-url", &provider.url()]);
    assert_eq!(status(&server, &key.sign(&all(60))), 200);
    provider.publish(&[]);
    // It has the set fetched.
    assert_eq!(status(&server, &stranger.sign(&all(60))), 401);
    assert_eq!(status(&server, &key.sign(&all(60))), 401);
    server.wait_for(
        1,
        "there is none that verifies tokens; tokens signed by those that were there are refused",
    );
}

#[test]
fn a_server_starts_while_its_set_of_keys_is_away() {
    let key = Key::new("k");
    let provider = Provider::start(&[&key]);
    provider.answers("200 OK", "", "<html>");
    let server = Server::start(&["--max-auth-failures", "0", "--jwks-url", &provider.url()]);
    server.wait_for(1, "what came cannot be used: it is no set of keys; tokens signed by them are refused");
    assert_eq!(server.get("/api/poll").split(' ').nth(1), Some("401"), "it is not open");
    provider.publish(&[&key]);
    server.get_until(&format!("/api/poll?access_token={}", key.sign(&all(60))), "200 OK");
}

#[test]
fn a_printed_token_is_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let secret = write(&folder.path().join("secret"), &format!("{SECRET}\n"));
    let rsa = concat!(env!("CARGO_MANIFEST_DIR"), "/../poll-http/tests/jwt/rsa.pem");
    let public = concat!(env!("CARGO_MANIFEST_DIR"), "/../poll-http/tests/jwt/rsa.pub.pem");
    let server = Server::start(&[
        "--jwt-secret-file",
        &secret,
        "--jwt-key",
        public,
        "--jwt-issuer",
        "me",
        "--jwt-audience",
        "a",
        "--jwt-audience",
        "b",
    ]);
    let print = |arguments: &[&str]| -> Output { command().arg("token").args(arguments).output().unwrap() };
    for key in [["--jwt-secret-file", &secret], ["--jwt-private-key", rsa]] {
        let token = |right: &str| {
            let [flag, file] = key;
            let link = ["--channel", "a b", "--right", right, "--for", "1h", "--jwt-issuer", "me"];
            let output = print(&[&link[..], &["--jwt-audience", "b", flag, file]].concat());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let (reads, writes) = (token("subscribe"), token("publish"));
        let ask = |method: &str, target: &str| {
            let answer = if method == "GET" { server.get(target) } else { server.post(target) };
            answer.split(' ').nth(1).unwrap().to_owned()
        };
        assert_eq!(ask("POST", &format!("/api/message?channel=a+b&content=x&access_token={writes}")), "201");
        assert_eq!(ask("POST", &format!("/api/message?channel=a+b&content=x&access_token={reads}")), "403");
        assert_eq!(ask("GET", &format!("/api/poll?channel=a+b&access_token={reads}")), "200");
        assert_eq!(ask("GET", &format!("/api/poll?channel=a+c&access_token={reads}")), "403");
        assert_eq!(ask("GET", &format!("/api/poll?channel=a+b&access_token={writes}")), "403");
    }
    let good = ["--channel", "c", "--right", "publish", "--for", "1h", "--jwt-secret-file", &secret];
    for (index, bad) in [(1, ""), (3, "all"), (5, "1w"), (5, "0s"), (5, "-1h"), (7, "/nowhere")] {
        let mut arguments = good;
        arguments[index] = bad;
        let output = print(&arguments);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), told.lines().count()), (Some(64), 1), "{arguments:?}: {told}");
        assert!(output.stdout.is_empty());
    }
    assert_eq!(print(&good[..6]).status.code(), Some(64), "without a key");
    assert!(print(&["--help"]).stdout.starts_with(b"Prints the token of a signed link"));
}

/// A keep-alive connection that asks one thing after the other.
fn ask(stream: &mut TcpStream, method: &str, target: &str) -> u16 {
    // In one piece, or the kernel waits for an acknowledgement in between.
    let request = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        let read = stream.read(&mut bytes).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&bytes[..read]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let field = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
        if body.len() >= field.unwrap().parse().unwrap() {
            return head.split(' ').nth(1).unwrap().parse().unwrap();
        }
    }
}

#[test]
fn tokens_keys_and_limits_change_under_load_without_a_failed_request() {
    const REQUESTS: usize = 10_000;
    const CHANGES: usize = 20;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let kept = write(&path("kept"), SECRET);
    let (fixed, keys): (Key, Vec<Key>) =
        (Key::new("fixed"), (0..=CHANGES).map(|number| Key::new(&format!("key-{number}"))).collect());
    let provider = Provider::start(&[&fixed, &keys[0]]);
    let other_secret = |number: usize| format!("another secret of thirty-two bytes, {number}");
    let configure = |number: usize| {
        provider.publish(&[&fixed, &keys[number]]);
        let other = write(&path("other"), &other_secret(number));
        let (url, limit) = (provider.url(), 100 + number);
        let text = format!(
            "publish-token = ['kept', 'p-{number}']\nsubscribe-token = ['kept']\nmax-per-channel = {limit}\n\
             jwt-secret-file = ['{kept}', '{other}']\njwks-url = '{url}'\nmax-auth-failures = 0\n"
        );
        write(&path("poll.toml"), &text)
    };
    let server = Server::start(&["--config", &configure(0)]);
    let tokens = ["kept".to_owned(), by_secret(SECRET, &all(600)), fixed.sign(&all(600))];
    let asked = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for reader in 0..2 {
            let (mut stream, tokens, asked) = (server.connect(), &tokens, &asked);
            scope.spawn(move || {
                while asked.fetch_add(1, Ordering::Relaxed) < REQUESTS {
                    let token = &tokens[asked.load(Ordering::Relaxed) % tokens.len()];
                    let poll = format!("/api/poll?channel=c-{reader}&access_token={token}&limit=1");
                    assert_eq!(ask(&mut stream, "GET", &poll), 200);
                    let publish = format!("/api/message?channel=c-{reader}&content=x&access_token={token}");
                    assert_eq!(ask(&mut stream, "POST", &publish), 201);
                }
            });
        }
        for number in 1..=CHANGES {
            while asked.load(Ordering::Relaxed) < number * REQUESTS / (CHANGES + 1) {
                std::thread::yield_now();
            }
            configure(number);
            server.signal(Signal::HUP);
            server.wait_for(number, "in force now: jwt-secret-file, max-per-channel, publish-token");
            let mut stream = server.connect();
            let mut publish = |token: &str| {
                ask(&mut stream, "POST", &format!("/api/message?content=x&access_token={token}"))
            };
            let deadline = Instant::now() + Duration::from_secs(60);
            // The log says it a moment before it is so.
            while publish(&format!("p-{number}")) != 201 {
                assert!(Instant::now() < deadline);
            }
            assert_eq!(publish(&format!("p-{}", number - 1)), 401);
            assert_eq!(publish(&by_secret(&other_secret(number), &all(600))), 201);
            assert_eq!(publish(&by_secret(&other_secret(number - 1), &all(600))), 401);
        }
    });
    assert!(asked.load(Ordering::Relaxed) >= REQUESTS);
    // The set was fetched for the first of the new keys; the newest comes within five seconds.
    let newest = format!("/api/poll?access_token={}", keys[CHANGES].sign(&all(600)));
    server.get_until(&newest, "200 OK");
}

#[test]
fn a_reload_says_what_it_did_and_a_mistake_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("poll.toml");
    write(&file, "subscribe-token = 'a'\n");
    let server = Server::start(&["--config", file.to_str().unwrap()]);
    server.signal(Signal::HUP);
    server.wait_for(1, "nothing has changed");
    write(&file, "subscribe-token = 'b'\nrate-limit = 'many'\n");
    server.signal(Signal::HUP);
    server.wait_for(1, "the configuration was read again and stays as it was: ");
    assert_eq!((status(&server, "a"), status(&server, "b")), (200, 401));
    write(&file, "subscribe-token = 'b'\nheartbeat-seconds = 3\nmax-per-client = 3\n");
    server.signal(Signal::HUP);
    server.wait_for(1, "in force now: max-per-client, subscribe-token");
    server.wait_for(1, "changes only at the next start: heartbeat-seconds");
    server.get_until("/api/poll?access_token=b", "200 OK");
    assert_eq!(status(&server, "a"), 401);
    assert!(server.lines("'b'").is_empty() && server.lines("\"b\"").is_empty());
}

#[test]
fn a_token_on_the_command_line_is_warned_about_once() {
    let server = Server::start(&["--publish-token", "visible-1", "--publish-token", "visible-2"]);
    let told = server.lines("anyone who lists processes sees it");
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("--publish-token") && told[0].contains("POLL_PUBLISH_TOKEN"), "{told:?}");
    assert!(server.lines("visible").is_empty());
    let mut quiet = command();
    quiet.args(["--listen", "127.0.0.1:0"]).env("POLL_PUBLISH_TOKEN", "hidden");
    assert!(Server::start_command(quiet, 1).lines("lists processes").is_empty());
}

#[test]
fn what_cannot_sign_is_a_fault_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let pipe = path("pipe");
    make_pipe(&pipe);
    let pipe = pipe.to_str().unwrap();
    let (empty, html) = (write(&path("empty"), "\n"), write(&path("html"), "<html>"));
    let private = concat!(env!("CARGO_MANIFEST_DIR"), "/../poll-http/tests/jwt/rsa.pem");
    for (arguments, words) in [
        (["--jwt-secret-file", empty.as_str()], "the secret is empty"),
        (["--jwt-key", &html], "no key in PEM"),
        (["--jwt-key", private], "no key in PEM"),
        (["--jwt-key", "/nowhere"], "/nowhere: "),
        (["--jwt-key", pipe], "/pipe: not a regular file"),
        (["--jwt-secret-file", pipe], "/pipe: not a regular file"),
        (["--config", pipe], "/pipe: not a regular file"),
        (["--jwks-url", "http://id.example/keys"], "is not https, nor http to this machine"),
        (["--jwks-url", "ftp://id.example/keys"], "is not https"),
        (["--jwks-url", "https://user:secret@id.example/keys"], "a URL with a user is not fetched"),
        (["--jwks-url", "keys"], "is not https"),
        (["--jwks-url", "/keys"], "is not a URL"),
        (["--jwt-issuer", "me"], "does nothing without jwt-key, jwt-secret-file or jwks-url"),
        (["--jwt-audience", "me"], "does nothing without"),
    ] {
        let output = command().arg("--check").args(arguments).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), told.lines().count()), (Some(64), 1), "{arguments:?}: {told}");
        assert!(told.contains(words) && !told.contains("user:secret"), "{arguments:?}: {told}");
    }
}

#[test]
fn metrics_are_behind_a_token_or_on_an_address_of_their_own() {
    let code = |answer: &str| answer.split(' ').nth(1).unwrap().to_owned();
    let mut guarded = command();
    guarded.args(["--listen", "127.0.0.1:0"]).env("POLL_ADMIN_TOKEN", "t");
    let guarded = Server::start_command(guarded, 1);
    let refused = guarded.get("/metrics");
    assert_eq!(code(&refused), "401");
    let refused = refused.to_ascii_lowercase();
    assert!(refused.contains("www-authenticate: bearer\r\n"), "{refused}");
    assert!(refused.contains("www-authenticate: basic realm=\"poll\"\r\n"), "{refused}");
    assert_eq!(code(&guarded.get("/metrics?access_token=t")), "200");
    assert_eq!(code(&guarded.get("/admin/channels?access_token=t")), "200");
    for path in ["/admin/", "/admin/admin.js"] {
        assert_eq!(code(&guarded.get(path)), "401", "{path}");
        assert_eq!(code(&guarded.get(&format!("{path}?access_token=t"))), "200", "{path}");
    }

    let mut apart = command();
    apart.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let apart = Server::start_command(apart, 2);
    assert!(apart.lines("(administration)").len() == 1);
    assert_eq!(code(&apart.get("/metrics")), "404");
    assert_eq!(code(&apart.get("/admin/")), "404");
    let mut stream = TcpStream::connect(apart.addresses[1]).unwrap();
    assert_eq!(ask(&mut stream, "GET", "/metrics"), 200);
    assert_eq!(ask(&mut stream, "GET", "/api/poll"), 404);

    for (arguments, expected) in [
        (&["--admin-listen", "0.0.0.0:0"][..], 64),
        (&["--admin-listen", "0.0.0.0:0", "--admin-token", "t"], 0),
        (&["--admin-listen", "[::1]:0"], 0),
        (&["--admin-token", ""], 64),
    ] {
        let output = command().arg("--check").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(expected), "{arguments:?}");
    }
}
