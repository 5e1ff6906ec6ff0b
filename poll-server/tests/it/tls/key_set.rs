//! Sets of keys by https.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::Pair;
use super::certificates::Authority;
use crate::process::{Server, command};
use crate::tokens::provider::{Key, Provider};
use crate::tokens::{all, status};

/// A provider with this certificate.
fn provider(pair: &Pair, keys: &[&Key]) -> Provider {
    let chain = vec![CertificateDer::from_pem_file(pair.certificate()).unwrap()];
    let key = PrivateKeyDer::from_pem_file(pair.key()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    Provider::over("https", keys, move |socket: TcpStream| {
        let session = ServerConnection::new(config.clone()).unwrap();
        Ok(StreamOwned::new(session, socket))
    })
}

/// A server that fetches its keys there, and trusts this authority alone.
fn server(provider: &Provider, trusted: &Path) -> Server {
    let mut command = command();
    command.env("SSL_CERT_FILE", trusted).env_remove("SSL_CERT_DIR");
    command.args(["--listen", "127.0.0.1:0", "--max-auth-failures", "0", "--jwks-url", &provider.url()]);
    Server::start_command(command, 1)
}

#[test]
fn a_set_is_fetched_from_whom_the_system_trusts_and_from_none_other() {
    let (trusted, others) = (Authority::new(), Authority::new());
    let (key, next) = (Key::new("a"), Key::new("b"));
    let good = provider(&trusted.issue(&["localhost"]), &[&key]);
    let running = server(&good, &trusted.file());
    assert_eq!(status(&running, &key.sign(&all(60))), 200);
    assert_eq!(status(&running, &next.sign(&all(60))), 401);
    good.publish(&[&key, &next]);
    running.get_until(&format!("/api/poll?access_token={}", next.sign(&all(60))), "200 OK");

    for (pair, why) in [
        // Of an authority by the same name.
        (others.issue(&["localhost"]), "BadSignature"),
        (trusted.issue(&["provider.test"]), "not valid for name"),
    ] {
        let forged = provider(&pair, &[&key]);
        let running = server(&forged, &trusted.file());
        running.wait_for(1, "tokens signed by them are refused");
        let told = running.lines("cannot connect: invalid peer certificate");
        assert!(told.first().is_some_and(|line| line.contains(why)), "{told:?}");
        assert_eq!(status(&running, &key.sign(&all(60))), 401);
        assert_eq!(forged.asked.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn a_system_that_trusts_no_one_is_told() {
    let key = Key::new("a");
    let provider = provider(&Authority::new().issue(&["localhost"]), &[&key]);
    let running = server(&provider, Path::new("/nowhere/ca.pem"));
    running.wait_for(1, "the system's certificate authorities cannot be read: ");
    running.wait_for(1, "/nowhere/ca.pem");
}
