//! Who may do what over TLS, with and without client certificates: the table that poll-http is tested by, against the
//! server.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificates::{Authority, text};
use super::{Pair, start};
use crate::process::Server;
use table::{CREDENTIALS, Case, Expected};

#[path = "../../../../poll-http/tests/it/matrix/table.rs"]
mod table;

/// What a client trusts, the certificate that it has, and the protocol that it speaks.
fn config(authority: &Authority, own: Option<&Pair>, protocol: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.der.clone())).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots);
    let mut config = match own {
        None => config.with_no_client_auth(),
        Some(pair) => {
            let chain = CertificateDer::from_pem_file(pair.certificate()).unwrap();
            let key = PrivateKeyDer::from_pem_file(pair.key()).unwrap();
            config.with_client_auth_cert(vec![chain], key).unwrap()
        }
    };
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Arc::new(config)
}

async fn connect(server: &Server, config: Arc<ClientConfig>) -> TlsStream<TcpStream> {
    let socket = TcpStream::connect(server.addresses[0]).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let stream = TlsConnector::from(config.clone()).connect("localhost".try_into().unwrap(), socket).await;
    let stream = stream.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(config.alpn_protocols[0].as_slice()));
    stream
}

/// A request of the table, to a server at this authority.
fn request(case: &Case, authority: &str) -> http::request::Builder {
    let request = Request::builder().method(case.method).uri(format!("{authority}{}", case.target));
    case.authorization.iter().fold(request, |request, value| request.header("authorization", value))
}

fn check<B>(response: &http::Response<B>, credential: &str, case: &Case) {
    let challenge = response.headers().get("www-authenticate").map(|value| value.to_str().unwrap());
    let found = table::meaning(response.status().as_u16(), challenge);
    assert_eq!(found, Some(case.expected), "{credential}: {} {challenge:?}, {case:?}", response.status());
}

async fn over_http1(sender: &mut http1::SendRequest<Full<Bytes>>, credential: &str, case: &Case) {
    let request = request(case, "").header("host", "localhost");
    let response = sender.send_request(request.body(case.content.into()).unwrap()).await.unwrap();
    check(&response, credential, case);
    response.into_body().collect().await.unwrap();
    sender.ready().await.unwrap();
}

async fn over_http2(requests: &mut h2::client::SendRequest<Bytes>, credential: &str, case: &Case) {
    let request = request(case, "https://localhost").body(()).unwrap();
    std::future::poll_fn(|cx| requests.poll_ready(cx)).await.unwrap();
    let (response, mut stream) = requests.send_request(request, false).unwrap();
    // It may have been answered before its content.
    let _refused = stream.send_data(Bytes::from_static(case.content.as_bytes()), true);
    check(&response.await.unwrap(), credential, case);
}

/// Sends every case of the table on one connection in each protocol.
async fn run(server: &Server, authority: &Authority, own: Option<&Pair>) {
    let stream = connect(server, config(authority, own, "http/1.1")).await;
    let (mut one, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let stream = connect(server, config(authority, own, "h2")).await;
    let (mut two, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let now = || i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    // Something to read first.
    let publisher = CREDENTIALS.iter().find(|credential| credential.0 == "static, to publish").unwrap();
    for case in table::cases(publisher, now()).iter().filter(|case| case.expected == Expected::Granted) {
        over_http1(&mut one, publisher.0, case).await;
    }
    for credential in CREDENTIALS {
        for case in table::cases(credential, now()) {
            over_http1(&mut one, credential.0, &case).await;
            over_http2(&mut two, credential.0, &case).await;
        }
    }
}

fn check_all(certificates: &[&Pair], arguments: &[&str], authority: &Authority, own: Option<&Pair>) {
    let folder = tempfile::tempdir().unwrap();
    let (secret, public) = (folder.path().join("secret"), folder.path().join("public.pem"));
    std::fs::write(&secret, table::SECRET).unwrap();
    std::fs::write(&public, table::RSA_PUBLIC).unwrap();
    let tokens = [
        ["--jwt-secret-file", text(&secret)],
        ["--jwt-key", text(&public)],
        ["--jwt-issuer", "us"],
        ["--jwt-audience", "poll"],
        ["--publish-token", "p"],
        ["--subscribe-token", "s"],
        ["--max-auth-failures", "0"],
    ];
    let server = start(certificates, &[tokens.as_flattened(), arguments, &["--presence"]].concat());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(&server, authority, own));
}

#[test]
fn every_credential_is_answered_as_documented_over_tls() {
    let authority = Authority::new();
    check_all(&[&authority.issue(&["localhost"])], &[], &authority, None);
}

#[test]
fn a_client_certificate_neither_gives_a_right_nor_takes_one() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let authorities = clients.file();
    let arguments = ["--tls-client-ca", text(&authorities)];
    let alice = clients.issue(&["alice"]);
    check_all(&[&servers.issue(&["localhost"])], &arguments, &servers, Some(&alice));
}
