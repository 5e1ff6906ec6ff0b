//! An identity provider: keys that sign tokens, and a server that publishes them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

/// A token's header and claims.
pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".")
}

/// A key of an identity provider.
pub(crate) struct Key {
    pair: Ed25519KeyPair,
    name: String,
}

impl Key {
    pub(crate) fn new(name: &str) -> Self {
        let der = Ed25519KeyPair::generate_pkcs8(&rand::SystemRandom::new()).unwrap();
        Self { pair: Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap(), name: name.to_owned() }
    }

    fn public(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key());
        json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.name, "use": "sig"})
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let text = unsigned(&json!({"alg": "EdDSA", "kid": self.name}), claims);
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(self.pair.sign(text.as_bytes())))
    }
}

/// An identity provider: answers every request with its set of keys.
pub(crate) struct Provider {
    scheme: &'static str,
    address: SocketAddr,
    answer: Arc<Mutex<String>>,
    pub(crate) asked: Arc<AtomicUsize>,
}

impl Provider {
    pub(crate) fn start(keys: &[&Key]) -> Self {
        Self::over("http", keys, Ok)
    }

    /// One whose connections are made of sockets in this way.
    pub(crate) fn over<IO: Read + Write>(
        scheme: &'static str,
        keys: &[&Key],
        connection: impl Fn(TcpStream) -> io::Result<IO> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let provider = Self { scheme, address, answer: Arc::default(), asked: Arc::default() };
        provider.publish(keys);
        let (answer, asked) = (provider.answer.clone(), provider.asked.clone());
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let mut stream = connection(socket.unwrap()).unwrap();
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                    head.push(byte[0]);
                }
                if head.is_empty() {
                    // A client that does not trust its certificate.
                    continue;
                }
                assert!(head.starts_with(b"GET /keys HTTP/1.1\r\n"), "{}", String::from_utf8_lossy(&head));
                asked.fetch_add(1, Ordering::Relaxed);
                let answer = answer.lock().unwrap().clone();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        provider
    }

    pub(crate) fn answers(&self, status: &str, fields: &str, content: &str) {
        let length = content.len();
        *self.answer.lock().unwrap() =
            format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\n\r\n{content}");
    }

    pub(crate) fn publish(&self, keys: &[&Key]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.public()).collect();
        self.answers("200 OK", "", &json!({ "keys": keys }).to_string());
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://localhost:{}/keys", self.scheme, self.address.port())
    }
}
