//! Webhooks of a real server to a receiver on loopback: signed, sent again after a kill, and refused where they may not go.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ED25519, UnparsedPublicKey};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::process::{Server, curl, output};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const PATH: &str = "/v1/stream/__ds/subscriptions/s";

/// A webhook that waits for its answer.
pub(crate) struct Taken {
    socket: TcpStream,
    signature: String,
    trace: String,
    content: Vec<u8>,
}

impl Taken {
    pub(crate) fn from(receiver: &TcpListener) -> Self {
        let (socket, _) = receiver.accept().unwrap();
        let mut reader = BufReader::new(socket.try_clone().unwrap());
        let (mut signature, mut trace, mut length) = (String::new(), String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                if line == "\r\n" {
                    break;
                }
                continue;
            };
            match &*name.to_lowercase() {
                "webhook-signature" => value.clone_into(&mut signature),
                "traceparent" => value.clone_into(&mut trace),
                "content-length" => length = value.parse().unwrap(),
                _ => {}
            }
        }
        let mut content = vec![0; length];
        reader.read_exact(&mut content).unwrap();
        Self { socket, signature, trace, content }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.content).unwrap()
    }

    pub(crate) fn answer(mut self, status: &str, content: &str) {
        let length = content.len();
        write!(self.socket, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{content}").unwrap();
    }

    /// Checks the signature with the key that the server shows.
    pub(crate) fn check(&self, server: &Server) {
        let keys: Value = serde_json::from_str(&ask(server, "GET", "/v1/stream/__ds/jwks.json", "")).unwrap();
        let parts: Vec<&str> = self.signature.split([',', '=']).collect();
        let ["t", time, "kid", id, "ed25519", signature] = parts[..] else { panic!("{}", self.signature) };
        let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == id).unwrap();
        let key = URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap();
        let signed = [format!("{time}.").as_bytes(), &self.content].concat();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        UnparsedPublicKey::new(&ED25519, key).verify(&signed, &signature).unwrap();
    }
}

fn ask(server: &Server, method: &str, path: &str, body: &str) -> String {
    let url = server.url(path);
    let trace = format!("traceparent: {TRACE}");
    output(curl(&["-X", method, "-H", "content-type: application/json", "-H", &trace, "-d", body, &url]))
}

fn subscription(url: &str) -> String {
    json!({ "type": "webhook", "pattern": "events/*", "webhook": { "url": url } }).to_string()
}

#[test]
fn a_webhook_is_signed_and_sent_again_under_its_generation_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("disk:{}", folder.path().display());
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", receiver.local_addr().unwrap());
    let mut server = Server::start(&["--store", &store]);
    let made: Value = serde_json::from_str(&ask(&server, "PUT", PATH, &subscription(&url))).unwrap();
    assert_eq!(made["webhook"]["url"], url);
    ask(&server, "PUT", "/v1/stream/events/a", "[1]");
    let first = Taken::from(&receiver);
    first.check(&server);
    assert_eq!(first.trace, TRACE, "that of the publish");
    let (wake, key) = (first.json(), made["webhook"]["signing"]["kid"].clone());
    server.signal(Signal::KILL);
    server.wait();
    drop(first);

    let server = Server::start(&["--store", &store]);
    let again = Taken::from(&receiver);
    again.check(&server);
    assert_eq!(again.trace, "", "a trace is not kept over a restart");
    for part in ["wake_id", "generation", "callback_token", "streams"] {
        assert_eq!(again.json()[part], wake[part], "{part}");
    }
    again.answer("200 OK", r#"{"done":true}"#);
    let tail = wake["streams"][0]["tail_offset"].as_str().unwrap();
    let shown = server.get_until(PATH, &format!(r#""acked_offset":"{tail}""#));
    assert!(shown.contains(key.as_str().unwrap()), "{shown}");
}

#[test]
fn a_server_that_others_reach_sends_nothing_to_its_own_machine() {
    for flags in [&["--listen", "0.0.0.0:0"][..], &["--trusted-proxy", "127.0.0.1"]] {
        let server = Server::start(flags);
        for url in ["http://127.0.0.1:1/", "http://localhost:1/", "https://127.0.0.1/", "https://10.0.0.1/"] {
            let answer = ask(&server, "PUT", PATH, &subscription(url));
            assert!(answer.contains("WEBHOOK_URL_REJECTED"), "{flags:?} {url}: {answer}");
        }
    }
}
