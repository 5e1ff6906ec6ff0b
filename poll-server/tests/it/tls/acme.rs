//! Certificates by ACME, from Pebble: an authority for tests that connects to the server under test and validates its names
//! as a real one does.

mod pebble;
mod stub;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, SerialNumber};
use rustix::process::Signal;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::certificates::{Authority, text};
use crate::process::{Server, command, curl, output};
use crate::proxies::Port;
use pebble::{Pebble, Settings, is_secret};
use stub::{Stub, Verdict};

/// How long anything may take before a test gives up; far beyond what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

const OBTAINED: &str = " left, renewal in ";
const NOT_YET: &str = "has no certificate yet";

/// Where an authority reaches a server, and what that keeps.
struct Site {
    port: Port,
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        Self { port: Port::reserve(), folder: tempfile::tempdir().unwrap() }
    }

    fn start(&self, pebble: &Pebble, domains: &[&str], arguments: &[&str]) -> Server {
        let mut command = command();
        command.env("SSL_CERT_FILE", pebble.own_roots());
        self.start_with(command, &pebble.directory(), domains, arguments)
    }

    fn start_with(
        &self,
        mut command: Command,
        directory: &str,
        domains: &[&str],
        arguments: &[&str],
    ) -> Server {
        command.args(["--listen", &self.port.address().to_string(), "--acme-directory", directory]);
        if !command.get_args().any(|argument| argument == "--store") {
            command.arg("--acme-folder").arg(self.folder.path());
        }
        for domain in domains {
            command.args(["--acme-domain", domain]);
        }
        command.args(arguments);
        let redirects = arguments.iter().filter(|argument| **argument == "--redirect-listen").count();
        Server::start_command(command, 1 + redirects)
    }

    /// curl, which finds `host` here and trusts what is in `roots`.
    fn curl(&self, roots: &Path, host: &str, more: &[&str], path: &str) -> Child {
        let port = self.port.number;
        let (resolve, url) = (format!("{host}:{port}:127.0.0.1"), format!("https://{host}:{port}{path}"));
        curl(&[&["--no-buffer", "--cacert", text(roots), "--resolve", &resolve], more, &[&url]].concat())
    }

    fn get(&self, pebble: &Pebble, host: &str, path: &str) -> String {
        output(self.curl(&pebble.roots(), host, &[], path))
    }

    /// The certificate that is shown to one who asks for `host` and trusts what is in `roots`.
    fn handshake(&self, roots: &Path, host: &str) -> Result<Vec<u8>, rustls::Error> {
        let mut trusted = RootCertStore::empty();
        let found = CertificateDer::pem_file_iter(roots).unwrap().map(Result::unwrap);
        trusted.add_parsable_certificates(found);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = Arc::new(config.unwrap().with_root_certificates(trusted).with_no_client_auth());
        let session = ClientConnection::new(config, host.to_owned().try_into().unwrap()).unwrap();
        let socket = TcpStream::connect(self.port.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        certificate_of(session, socket)
    }

    /// The certificate that is shown to one who trusts any, offers these protocols, and sends so many bytes at once.
    fn challenge(&self, host: &str, protocols: &[&str], step: usize) -> Result<Vec<u8>, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().dangerous().with_custom_certificate_verifier(Arc::new(Anyone));
        let mut config = config.with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut session =
            ClientConnection::new(Arc::new(config), host.to_owned().try_into().unwrap()).unwrap();
        let mut socket = TcpStream::connect(self.port.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        let mut hello = Vec::new();
        session.write_tls(&mut hello).unwrap();
        hello.chunks(step).for_each(|bytes| socket.write_all(bytes).unwrap());
        certificate_of(session, socket)
    }

    /// What is kept of `host`.
    fn file_of(&self, directory: &str, host: &str) -> PathBuf {
        let folder = directory.replace("https://", "").replace([':', '/'], "_");
        self.folder.path().join(folder).join(format!("{host}.pem"))
    }
}

fn certificate_of(mut session: ClientConnection, mut socket: TcpStream) -> Result<Vec<u8>, rustls::Error> {
    match session.complete_io(&mut socket) {
        Ok(_) => Ok(session.peer_certificates().unwrap()[0].to_vec()),
        Err(error) => {
            let words = error.to_string();
            Err(*error.into_inner().expect(&words).downcast().expect(&words))
        }
    }
}

/// Trusts any certificate.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

fn refused() -> Result<Vec<u8>, rustls::Error> {
    Err(rustls::Error::AlertReceived(AlertDescription::AccessDenied))
}

#[test]
fn certificates_are_obtained_kept_and_taken_again() {
    let site = Site::new();
    let mut pebble = Pebble::start(&site.port, &Settings::default());
    let own = Authority::new();
    let (pair, clients) = (own.issue(&["files.test"]), Authority::new());
    let (certificate, key, authorities) = (pair.certificate(), pair.key(), clients.file());
    let files = ["--tls-cert", text(&certificate), "--tls-key", text(&key), "--host", "files.test"];
    // Client certificates are demanded of clients, not of the authority.
    let more = ["--tls-client-ca", text(&authorities), "--redirect-listen", "127.0.0.1:0"];
    let arguments = [&files[..], &more, &["--acme-email", "ops@example.com"]].concat();
    let mut server = site.start(&pebble, &["a.test", "B.test."], &arguments);
    server.wait_for(2, OBTAINED);
    server.wait_for(1, "certificate of a.test obtained: 89 days left, renewal in 59 days");
    let client = clients.issue(&["client"]);
    let (its_certificate, its_key) = (client.certificate(), client.key());
    let own_proof = ["--cert", text(&its_certificate), "--key", text(&its_key)];
    for (host, roots) in [("a.test", pebble.roots()), ("b.test", pebble.roots()), ("files.test", own.file())]
    {
        assert_eq!(output(site.curl(&roots, host, &own_proof, "/readyz")), "ready\n", "{host}");
        assert!(!site.curl(&roots, host, &[], "/readyz").wait().unwrap().success(), "{host}");
    }
    // Two names, two certificates.
    let [a, b] = ["a.test", "b.test"]
        .map(|host| std::fs::read_to_string(site.file_of(&pebble.directory(), host)).unwrap());
    assert_ne!(a, b);
    assert!(is_secret(&site.file_of(&pebble.directory(), "a.test")));
    assert!(is_secret(&site.file_of(&pebble.directory(), "a.test").with_file_name("account.json")));
    let text =
        std::fs::read_to_string(site.file_of(&pebble.directory(), "a.test").with_file_name("account.json"))
            .unwrap();
    assert!(text.contains("ops@example.com"), "{text}");

    // The authority is not needed to start again.
    pebble.stop();
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    let server = site.start(&pebble, &["a.test", "b.test"], &[]);
    server.wait_for(2, ": 89 days left");
    assert_eq!(site.get(&pebble, "a.test", "/readyz"), "ready\n");
    let shown = site.handshake(&pebble.roots(), "b.test").unwrap();
    assert_eq!(shown, CertificateDer::from_pem_slice(b.as_bytes()).unwrap().to_vec());
    assert!(server.lines("not obtained").is_empty() && server.lines(NOT_YET).is_empty());
}

#[test]
fn while_the_authority_is_away_the_server_waits_and_serves_what_it_can() {
    let site = Site::new();
    let mut pebble = Pebble::new(&site.port, &Settings { trusted_before: 100, ..Settings::default() });
    let own = Authority::new();
    let pair = own.issue(&["files.test"]);
    let (certificate, key) = (pair.certificate(), pair.key());
    let files = ["--tls-cert", text(&certificate), "--tls-key", text(&key), "--host", "files.test"];
    let store = tempfile::tempdir().unwrap();
    // The folder is that of the store, as it is by default.
    let trusted = pebble.own_roots();
    let with_disk = || {
        let mut command = command();
        command.env("SSL_CERT_FILE", &trusted);
        command.arg("--store").arg(format!("disk:{}", store.path().display()));
        command
    };
    let server = site.start_with(with_disk(), &pebble.directory(), &["a.test"], &files);
    server.wait_for(1, "a.test has no certificate yet: TLS handshakes for it are refused until it has");
    server.wait_for(1, "certificate of a.test not obtained: the authority cannot be asked: cannot connect: ");
    server.wait_for(1, "TLS handshakes for it are refused until then");
    assert_eq!(site.handshake(&own.file(), "a.test"), refused());
    let ready = output(site.curl(&own.file(), "files.test", &[], "/readyz"));
    assert_eq!(ready, "ready\na.test has no certificate yet\n");

    pebble.run();
    server.wait_for(1, OBTAINED);
    assert_eq!(site.get(&pebble, "a.test", "/readyz"), "ready\n");
    let kept = std::fs::read_dir(store.path().join("acme")).unwrap().next().unwrap().unwrap().path();
    assert!(is_secret(&kept.join("a.test.pem")));

    // Its file is damaged; the authority still knows that the name was proved.
    drop(server);
    std::fs::write(kept.join("a.test.pem"), "nonsense").unwrap();
    let address = ["--acme-email", "ops@example.com"];
    let server = site.start_with(with_disk(), &pebble.directory(), &["a.test"], &address);
    server.wait_for(1, "the certificate that is kept for a.test cannot be used: no certificate in it");
    server.wait_for(1, OBTAINED);
    let account = || std::fs::read_to_string(kept.join("account.json")).unwrap();
    assert!(account().contains(r#""email":"ops@example.com""#), "{}", account());
    // It knows nothing any more.
    drop(server);
    std::fs::remove_file(kept.join("a.test.pem")).unwrap();
    pebble.stop();
    pebble.run();
    let server = site.start_with(with_disk(), &pebble.directory(), &["a.test"], &[]);
    server.wait_for(1, "the authority does not know the ACME account any more");
    server.wait_for(1, OBTAINED);
    assert_eq!(site.get(&pebble, "a.test", "/readyz"), "ready\n");
}

#[test]
fn a_refusal_is_told_with_its_reason_and_holds_up_no_other_name() {
    let site = Site::new();
    let pebble = Pebble::start(&site.port, &Settings::default());
    pebble.misdirect("away.test");
    let server = site.start(&pebble, &["blocked.test", "away.test", "a.test"], &[]);
    server.wait_for(1, OBTAINED);
    let refusals = [
        ("blocked.test", "(rejectedIdentifier); tried again in 2 minutes;"),
        ("away.test", "Failed to connect to 127.0.0.2:"),
    ];
    for (host, why) in refusals {
        let begin = format!("certificate of {host} not obtained: the authority refuses: ");
        let line = server.lines(&begin).remove(0);
        assert!(line.contains(why), "{line}");
        assert_eq!(site.handshake(&pebble.roots(), host), refused());
    }
    let ready = site.get(&pebble, "a.test", "/readyz");
    assert_eq!(ready, "ready\naway.test has no certificate yet\nblocked.test has no certificate yet\n");
    // A reload is as good as waiting.
    server.signal(Signal::HUP);
    server.wait_for(2, "certificate of away.test not obtained");
    server.wait_for(2, "certificate of blocked.test not obtained");
    assert_eq!(server.lines(OBTAINED).len(), 1);
}

#[test]
fn a_renewal_that_fails_is_told_and_one_that_does_not_disturbs_no_connection() {
    let site = Site::new();
    let mut pebble = Pebble::start(&site.port, &Settings { seconds: 30, trusted_before: 0 });
    let server = site.start(&pebble, &["a.test"], &[]);
    server.wait_for(1, OBTAINED);
    let first = site.handshake(&pebble.roots(), "a.test").unwrap();
    let mut stream = site.curl(&pebble.roots(), "a.test", &[], "/api/stream?channel=c");
    let mut lines = BufReader::new(stream.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut line_with = |words: &str| lines.find(|line| line.contains(words)).expect("the stream goes on");
    line_with("connected");

    pebble.stop();
    server.wait_for(1, "; the one it has is valid for ");
    let ready = output(site.curl(&pebble.roots(), "a.test", &["--insecure"], "/readyz"));
    assert_eq!(ready, "ready\nthe certificate of a.test could not be renewed: 0 days left\n");
    pebble.run();
    server.signal(Signal::HUP);
    server.wait_for(2, OBTAINED);
    let second = site.handshake(&pebble.roots(), "a.test").unwrap();
    assert_ne!(first, second);
    let post = ["--request", "POST"];
    output(site.curl(&pebble.roots(), "a.test", &post, "/api/message?channel=c&content=still"));
    line_with("still");
    assert_eq!(site.get(&pebble, "a.test", "/readyz"), "ready\n");
    stream.kill().unwrap();
    stream.wait().unwrap();
}

#[test]
fn a_challenge_is_answered_in_whatever_pieces_it_comes_and_others_are_served_meanwhile() {
    let (site, stub, own) = (Site::new(), Stub::start(), Authority::new());
    let pair = own.issue(&["files.test"]);
    let (certificate, key) = (pair.certificate(), pair.key());
    let files = ["--tls-cert", text(&certificate), "--tls-key", text(&key), "--host", "files.test"];
    let arguments = [&files[..], &["--header-seconds", "2", "--workers", "1"]].concat();
    let server = site.start_with(command(), &stub.directory(), &["a.test"], &arguments);
    stub.wait_for(1, "/challenge/1");
    let mut slow = TcpStream::connect(site.port.address()).unwrap();
    // The beginning of a ClientHello that promises 200 bytes.
    slow.write_all(b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03").unwrap();
    for step in [1, 7, 4096] {
        let proof = site.challenge("a.test", &["acme-tls/1"], step).unwrap();
        // The extension of RFC 8737, section 3: its name, that it is critical, and the digest.
        let mut extension = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x01\x1f\x01\x01\xff\x04\x22\x04\x20".to_vec();
        extension.extend(stub.expected_proof());
        assert!(proof.windows(extension.len()).any(|bytes| bytes == extension), "{step}: {proof:02x?}");
        let shown = site.challenge("files.test", &["http/1.1"], step).unwrap();
        assert_eq!(shown, CertificateDer::from_pem_file(pair.certificate()).unwrap().to_vec());
    }
    // Only by itself is it a challenge, and only for a name that is asked for.
    assert_eq!(site.challenge("a.test", &["acme-tls/1", "http/1.1"], 4096), refused());
    assert_eq!(site.challenge("files.test", &["acme-tls/1"], 4096), refused());
    let mut garbage = TcpStream::connect(site.port.address()).unwrap();
    garbage.write_all(&[200; 40]).unwrap();
    let mut alert = Vec::new();
    let _reset = garbage.read_to_end(&mut alert);
    assert!(alert.len() <= 7, "{alert:?}");
    assert_eq!(output(site.curl(&own.file(), "files.test", &[], "/healthz")), "ok\n");

    assert_eq!(slow.read(&mut [0]).unwrap(), 0, "it took too long");

    // It is no longer known once it is over.
    stub.decide(Verdict::Invalid);
    server.wait_for(1, "not obtained: the authority refuses");
    let over = Err(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol));
    assert_eq!(site.challenge("files.test", &["acme-tls/1"], 4096), over);
    let metrics = output(site.curl(&own.file(), "files.test", &[], "/metrics"));
    assert!(metrics.contains("poll_memory_bytes{kind=\"tls_buffers\"} 0\n"), "{metrics}");
    assert!(metrics.contains("poll_refused_total{reason=\"handshake\"} 1\n"), "{metrics}");
}

#[test]
fn an_authority_that_wants_a_certificate_replaced_is_asked_for_another() {
    let (site, stub) = (Site::new(), Stub::start());
    let mut params = CertificateParams::new(["a.test".to_owned()]).unwrap();
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(SerialNumber::from(vec![0x00, 0x87, 0x65]));
    let key = KeyPair::generate().unwrap();
    let kept = params.self_signed(&key).unwrap().pem() + &key.serialize_pem();
    let file = site.file_of(&stub.directory(), "a.test");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, kept).unwrap();
    let server = site.start_with(command(), &stub.directory(), &["a.test"], &[]);
    server.wait_for(1, "certificate of a.test: ");
    let orders = stub.wait_for(2, "/order");
    let replaced = orders[0]["replaces"].as_str().unwrap();
    assert!(replaced.ends_with(".AIdl"), "{replaced}");
    assert!(orders[1]["replaces"].is_null(), "it has been replaced already");
    stub.decide(Verdict::Invalid);
    server.wait_for(1, "the one it has is valid for ");
}

#[test]
fn check_says_what_is_wrong_with_each_setting() {
    let faults = |arguments: &[&str]| {
        let output = command().arg("--check").args(arguments).output().unwrap();
        let faults = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(if faults.is_empty() { 0 } else { 64 }), "{arguments:?}");
        faults
    };
    let domain = ["--acme-domain", "a.test"];
    let with = |more: &[&str]| faults(&[&domain[..], more].concat());
    for (arguments, expected) in [
        (&["--redirect-listen", "127.0.0.1:0"][..], ""),
        (
            &[
                "--acme-domain",
                "b.test",
                "--acme-email",
                "ops@b.test",
                "--acme-directory",
                "https://ca.test/d",
            ],
            "",
        ),
        (&["--acme-directory", "http://127.0.0.1:4000/dir", "--acme-folder", "/var/lib/poll/acme"], ""),
        (&["--acme-domain", "A.test"], "acme-domain: a.test is listed twice"),
        (&["--acme-domain", "*.b.test"], "is a wildcard, which takes proof by DNS"),
        (&["--acme-domain", "127.0.0.1"], "is not a DNS name"),
        (&["--acme-email", "ops"], "acme-email: \"ops\" is not an e-mail address"),
        (&["--acme-directory", "http://ca.test/dir"], "is not https, nor http to this machine"),
        (&["--acme-folder", ""], "the name of the file is empty"),
    ] {
        let found = with(arguments);
        assert!(
            found.contains(expected) && found.is_empty() == expected.is_empty(),
            "{arguments:?}: {found}"
        );
    }
    for name in ["--acme-email", "--acme-directory", "--acme-folder"] {
        let value = if name == "--acme-email" { "ops@b.test" } else { "https://ca.test" };
        assert!(faults(&[name, value]).contains("does nothing without acme-domain"), "{name}");
    }
    // A folder that cannot be written to ends a start before anything is asked for.
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = command().args(domain).arg("--acme-folder").arg(file.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let fault = String::from_utf8(output.stderr).unwrap();
    assert!(fault.contains("cannot use the certificates: acme-folder: "), "{fault}");
}
