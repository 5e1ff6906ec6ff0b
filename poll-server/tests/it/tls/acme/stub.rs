//! An authority that verifies nothing and signs nothing: for a challenge that stays under way, and for a renewal window
//! (RFC 9773), which Pebble does not have.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::PATIENCE;

/// What it answers for a challenge.
const TOKEN: &str = "a-token";

pub(super) struct Stub {
    pub(super) address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Path, protected header and payload of each request so far.
    requests: Mutex<Vec<(String, Value, Value)>>,
    bell: Condvar,
    verdict: Mutex<Verdict>,
}

/// How the order stands.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Verdict {
    #[default]
    Pending,
    Invalid,
}

impl Stub {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stub = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let (seen, base) = (stub.seen.clone(), format!("http://{}", stub.address));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                seen.answer(stream.unwrap(), &base);
            }
        });
        stub
    }

    pub(super) fn directory(&self) -> String {
        format!("http://{}/dir", self.address)
    }

    pub(super) fn decide(&self, verdict: Verdict) {
        *self.seen.verdict.lock().unwrap() = verdict;
    }

    /// Waits for `count` requests for `path`, and returns their payloads.
    pub(super) fn wait_for(&self, count: usize, path: &str) -> Vec<Value> {
        let of = |requests: &[(String, Value, Value)]| {
            let found = requests.iter().filter(|(asked, ..)| asked == path);
            found.map(|(_, _, payload)| payload.clone()).collect::<Vec<_>>()
        };
        let requests = self.seen.requests.lock().unwrap();
        let missing = |requests: &mut Vec<_>| of(requests).len() < count;
        let (requests, _) = self.seen.bell.wait_timeout_while(requests, PATIENCE, missing).unwrap();
        let found = of(&requests);
        assert!(found.len() >= count, "no {count} requests for {path}: {requests:?}");
        found
    }

    /// What the certificate that answers the challenge proves: the digest of its key authorization (RFC 8555, section 8.1).
    pub(super) fn expected_proof(&self) -> Vec<u8> {
        let requests = self.seen.requests.lock().unwrap();
        let (_, header, _) = requests.iter().find(|(path, ..)| path == "/account").unwrap();
        let key = &header["jwk"];
        // In the order of RFC 7638.
        let key =
            format!(r#"{{"crv":{},"kty":{},"x":{},"y":{}}}"#, key["crv"], key["kty"], key["x"], key["y"]);
        let print = URL_SAFE_NO_PAD.encode(digest(&SHA256, key.as_bytes()));
        digest(&SHA256, format!("{TOKEN}.{print}").as_bytes()).as_ref().to_vec()
    }
}

impl Seen {
    fn answer(&self, stream: TcpStream, base: &str) {
        let mut stream = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        stream.read_line(&mut line).unwrap();
        let path = line.split(' ').nth(1).unwrap().to_owned();
        while line.trim_end() != "" {
            line.clear();
            stream.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = value.trim_end().parse().unwrap();
            }
        }
        let mut content = vec![0; length];
        stream.read_exact(&mut content).unwrap();
        let signed: Value = serde_json::from_slice(&content).unwrap_or_default();
        let part = |name: &str| {
            let text = URL_SAFE_NO_PAD.decode(signed[name].as_str().unwrap_or_default()).unwrap();
            serde_json::from_slice::<Value>(&text).unwrap_or_default()
        };
        let (header, payload) = (part("protected"), part("payload"));
        let (status, fields, answer) = self.made_for(&path, &payload, base);
        let answer = answer.to_string();
        let kind = if status.starts_with('2') { "application/json" } else { "application/problem+json" };
        write!(
            stream.get_mut(),
            "HTTP/1.1 {status}\r\nReplay-Nonce: nonce\r\nContent-Type: {kind}\r\n{fields}Content-Length: {}\r\n\r\n",
            answer.len()
        )
        .unwrap();
        if !line.starts_with("HEAD") && path != "/nonce" {
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
        }
        self.requests.lock().unwrap().push((path, header, payload));
        self.bell.notify_all();
    }

    /// The status, further fields and the content of an answer.
    fn made_for(&self, path: &str, payload: &Value, base: &str) -> (&'static str, String, Value) {
        let verdict = match *self.verdict.lock().unwrap() {
            Verdict::Pending => "pending",
            Verdict::Invalid => "invalid",
        };
        let at = |path: &str| format!("Location: {base}{path}\r\n");
        let order = json!({
            "status": verdict,
            "identifiers": [{"type": "dns", "value": "a.test"}],
            "authorizations": [format!("{base}/authorization/1")],
            "finalize": format!("{base}/finalize/1"),
        });
        let challenge = json!({
            "type": "tls-alpn-01", "url": format!("{base}/challenge/1"), "token": TOKEN, "status": "pending",
        });
        match path {
            "/dir" => {
                let directory = json!({
                    "newNonce": format!("{base}/nonce"), "newAccount": format!("{base}/account"),
                    "newOrder": format!("{base}/order"), "renewalInfo": format!("{base}/renewal"),
                });
                ("200 OK", String::new(), directory)
            }
            "/account" => ("201 Created", at("/account/1"), json!({"status": "valid"})),
            // A certificate is replaced once.
            "/order" if payload["replaces"].is_string() => {
                let kind = "urn:ietf:params:acme:error:alreadyReplaced";
                ("409 Conflict", String::new(), json!({"type": kind, "detail": "it was replaced"}))
            }
            "/order" => ("201 Created", at("/order/1"), order),
            "/order/1" => ("200 OK", String::new(), order),
            "/authorization/1" => {
                let name = json!({"type": "dns", "value": "a.test"});
                let all = json!({"status": verdict, "identifier": name, "challenges": [challenge]});
                ("200 OK", String::new(), all)
            }
            "/challenge/1" => ("200 OK", String::new(), challenge),
            renewal if renewal.starts_with("/renewal/") => {
                let window = json!({"start": "2021-01-03T00:00:00Z", "end": "2021-01-07T00:00:00Z"});
                ("200 OK", "Retry-After: 21600\r\n".to_owned(), json!({"suggestedWindow": window}))
            }
            _ => ("200 OK", String::new(), json!({})),
        }
    }
}
