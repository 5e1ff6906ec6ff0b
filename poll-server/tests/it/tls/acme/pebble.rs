//! Pebble, and the name server that it asks; dropping them ends them.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::json;

use super::super::certificates::{Authority, Pair, text};
use super::PATIENCE;
use crate::process::{curl, output};
use crate::proxies::Port;

/// An authority for tests, on ports of its own, running or not.
pub(super) struct Pebble {
    port: Port,
    management: Port,
    names: Dns,
    /// Of its own connections.
    authority: Authority,
    pair: Pair,
    files: tempfile::TempDir,
    child: Option<Child>,
}

/// What differs between tests.
pub(super) struct Settings {
    /// How long certificates are valid.
    pub(super) seconds: u32,
    /// How many in a hundred names are not proved again.
    pub(super) trusted_before: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { seconds: 90 * 86_400, trusted_before: 0 }
    }
}

impl Pebble {
    /// One that validates names at `site`, and does not run yet.
    pub(super) fn new(site: &Port, settings: &Settings) -> Self {
        let authority = Authority::new();
        let pair = authority.issue(&["localhost"]);
        let pebble = Self {
            port: Port::reserve(),
            management: Port::reserve(),
            names: Dns::start(),
            pair,
            authority,
            files: tempfile::tempdir().unwrap(),
            child: None,
        };
        let config = json!({ "pebble": {
            "listenAddress": pebble.port.address().to_string(),
            "managementListenAddress": pebble.management.address().to_string(),
            "certificate": pebble.pair.certificate(),
            "privateKey": pebble.pair.key(),
            "tlsPort": site.number,
            "httpPort": 1,
            "domainBlocklist": ["blocked.test"],
            "certificateValidityPeriod": settings.seconds,
        }});
        std::fs::write(pebble.config(), config.to_string()).unwrap();
        std::fs::write(pebble.files.path().join("reuse"), settings.trusted_before.to_string()).unwrap();
        pebble
    }

    /// The same, and it runs.
    pub(super) fn start(site: &Port, settings: &Settings) -> Self {
        let mut pebble = Self::new(site, settings);
        pebble.run();
        pebble
    }

    /// It has forgotten all accounts, and signs with another key.
    pub(super) fn run(&mut self) {
        let mut command = Command::new("pebble");
        command
            .arg("-config")
            .arg(self.config())
            .args(["-dnsserver", &self.names.port.address().to_string()]);
        let reuse = std::fs::read_to_string(self.files.path().join("reuse")).unwrap();
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", reuse);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("pebble is needed: apt-get install pebble"));
        for port in [&self.port, &self.management] {
            wait_for(port, self.child.as_mut().unwrap());
        }
        let (own, url) = (self.own_roots(), format!("https://localhost:{}/roots/0", self.management.number));
        std::fs::write(self.roots(), output(curl(&["--cacert", text(&own), &url]))).unwrap();
    }

    pub(super) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(super) fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.port.number)
    }

    /// What to trust in order to talk to it.
    pub(super) fn own_roots(&self) -> PathBuf {
        self.authority.file()
    }

    /// What to trust of what it signs.
    pub(super) fn roots(&self) -> PathBuf {
        self.files.path().join("roots.pem")
    }

    /// From now on `host` is at an address where nothing listens.
    pub(super) fn misdirect(&self, host: &str) {
        let url = format!("http://{}/add-a", self.names.management.address());
        output(curl(&[&url, "--data", &json!({"host": host, "addresses": ["127.0.0.2"]}).to_string()]));
    }

    fn config(&self) -> PathBuf {
        self.files.path().join("config.json")
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        end(self.child.as_mut());
    }
}

/// A name server that finds every name on this machine.
struct Dns {
    port: Port,
    management: Port,
    child: Child,
}

impl Dns {
    fn start() -> Self {
        let (port, management) = (Port::reserve(), Port::reserve());
        let mut command = Command::new("pebble-challtestsrv");
        command.args([
            "-dns01",
            &port.address().to_string(),
            "-management",
            &management.address().to_string(),
        ]);
        command.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("pebble-challtestsrv is needed: apt-get install pebble");
        let mut names = Self { port, management, child };
        wait_for(&names.port, &mut names.child);
        wait_for(&names.management, &mut names.child);
        names
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        end(Some(&mut self.child));
    }
}

fn wait_for(port: &Port, child: &mut Child) {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(port.address()).is_err() {
        assert_eq!(child.try_wait().unwrap(), None, "it ended");
        assert!(Instant::now() < deadline, "it does not listen");
        std::thread::yield_now();
    }
}

fn end(child: Option<&mut Child>) {
    if let Some(child) = child {
        let _already_gone = child.kill();
        let _reaped = child.wait();
    }
}

/// Whether only its owner reads a file.
pub(super) fn is_secret(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777 == 0o600
}
