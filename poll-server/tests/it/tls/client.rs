//! A client on rustls, for what no program on the command line shows.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::certificates::Authority;
use crate::process::Server;

/// A connection whose handshake is done with the first byte.
pub(super) struct Client(BufReader<StreamOwned<ClientConnection, TcpStream>>);

/// What clients of this authority's servers trust, and remember.
pub(super) fn trusting(authority: &Authority) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.der.clone())).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

impl Client {
    pub(super) fn connect(server: &Server, config: &Arc<ClientConfig>) -> Self {
        let session = ClientConnection::new(Arc::clone(config), "localhost".try_into().unwrap()).unwrap();
        Self(BufReader::new(StreamOwned::new(session, server.connect())))
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// Asks, and reads a response with a `Content-Length`: its status and its body.
    pub(super) fn get(&mut self, path: &str) -> (u16, String) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        let (status, length) = self.head();
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (status, String::from_utf8(body).unwrap())
    }

    /// The same where the connection may have been refused.
    pub(super) fn try_get(&mut self, path: &str) -> std::io::Result<()> {
        write!(self.0.get_mut(), "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let (_, length) = self.head_after(&line);
        std::io::copy(&mut self.0.by_ref().take(length as u64), &mut std::io::sink())?;
        Ok(())
    }

    /// The status of a response, and its `Content-Length` or 0.
    pub(super) fn head(&mut self) -> (u16, usize) {
        let line = self.line();
        self.head_after(&line)
    }

    fn head_after(&mut self, status: &str) -> (u16, usize) {
        let status = status.split(' ').nth(1).unwrap().parse().unwrap();
        let mut length = 0;
        loop {
            let line = self.line().to_ascii_lowercase();
            if line.is_empty() {
                return (status, length);
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
        }
    }

    /// A line without its end.
    pub(super) fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    /// Reads lines until one contains `words`.
    pub(super) fn read_until(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "the end came before {words:?}");
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Everything up to the end, which is an error unless the server said that it is one.
    pub(super) fn rest(&mut self) -> std::io::Result<String> {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).map(|_| rest)
    }

    pub(super) fn handshake_kind(&self) -> Option<rustls::HandshakeKind> {
        self.0.get_ref().conn.handshake_kind()
    }
}
