//! A `poll-server` process, built beside these tests.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// Everything is kept, so that a gap is a fault.
const WHOLE_LOG: [&str; 2] = ["--retain-messages=0", "--retain-seconds=0"];

/// A server; dropping it kills it.
pub(crate) struct Server {
    child: Child,
    directory: TempDir,
    address: String,
    scheme: Scheme,
}

/// How it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    /// With `cert.pem` and `key.pem` beside the store.
    Https,
}

impl Server {
    /// Starts on a free port, with a store on disk.
    pub(crate) fn start() -> Self {
        Self::start_in(TempDir::new().unwrap(), Scheme::Http)
    }

    /// The same over TLS, for the name `localhost`. Returns the certificate, too, which has signed itself.
    #[cfg(feature = "tls")]
    pub(crate) fn start_tls() -> (Self, String) {
        let directory = TempDir::new().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(directory.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(directory.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        (Self::start_in(directory, Scheme::Https), made.cert.pem())
    }

    /// The same where tokens are signed with this secret.
    #[cfg(feature = "links")]
    pub(crate) fn start_asking(secret: &str) -> Self {
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("secret"), secret).unwrap();
        Self::start_in(directory, Scheme::Http)
    }

    /// The same with administration, for which this token is needed, and presence.
    #[cfg(feature = "command")]
    pub(crate) fn start_administered(token: &str) -> Self {
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("admin-token"), token).unwrap();
        std::fs::write(directory.path().join("presence"), "").unwrap();
        Self::start_in(directory, Scheme::Http)
    }

    /// The same, which keeps presence.
    pub(crate) fn start_with_presence() -> Self {
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("presence"), "").unwrap();
        Self::start_in(directory, Scheme::Http)
    }

    fn start_in(directory: TempDir, scheme: Scheme) -> Self {
        let (child, address) = spawn(directory.path(), "127.0.0.1:0", scheme);
        Self { child, directory, address, scheme }
    }

    /// Kills it as a crash would, without a word to anybody, and starts it again at the same address.
    pub(crate) fn crash(&mut self) {
        self.kill();
        self.start_again();
    }

    /// Starts it at the same address and with the same store, after it was killed.
    pub(crate) fn start_again(&mut self) {
        (self.child, self.address) = spawn(self.directory.path(), &self.address, self.scheme);
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn url(&self) -> String {
        match self.scheme {
            Scheme::Http => format!("http://{}", self.address()),
            Scheme::Https => format!("https://{}", self.address().replace("127.0.0.1", "localhost")),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn spawn(directory: &Path, listen: &str, scheme: Scheme) -> (Child, String) {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name == "RUST_LOG" || name.to_string_lossy().starts_with("POLL_") {
            command.env_remove(name);
        }
    }
    let store = format!("disk:{}", directory.join("store").display());
    command.args(["--listen", listen, "--store", &store]).args(WHOLE_LOG);
    if scheme == Scheme::Https {
        command.arg("--tls-cert").arg(directory.join("cert.pem"));
        command.arg("--tls-key").arg(directory.join("key.pem"));
    }
    let secret = directory.join("secret");
    if secret.exists() {
        command.arg("--jwt-secret-file").arg(secret);
    }
    if directory.join("presence").exists() {
        command.arg("--presence");
    }
    if let Ok(token) = std::fs::read_to_string(directory.join("admin-token")) {
        command.env("POLL_ADMIN_TOKEN", token);
    }
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    let address = loop {
        let mut line = String::new();
        assert!(log.read_line(&mut line).unwrap() > 0, "the server does not listen: {said}");
        let said_address = line.split_once("listening on http").and_then(|(_, rest)| rest.split_once("://"));
        if let Some((_, address)) = said_address {
            break address.split_whitespace().next().unwrap().to_owned();
        }
        said.push_str(&line);
    };
    // A full pipe would stop it.
    std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
    (child, address)
}

/// The server beside this test's own program, which cargo has built if it tests the workspace.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let profile = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
        let binary = profile.join(format!("poll-server{}", std::env::consts::EXE_SUFFIX));
        if !binary.exists() {
            let target = profile.parent().unwrap();
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["build", "--quiet", "--package", "poll-server", "--target-dir"]).arg(target);
            assert!(cargo.status().unwrap().success(), "the server cannot be built");
        }
        binary
    })
}
