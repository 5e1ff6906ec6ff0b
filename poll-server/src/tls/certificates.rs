//! The certificates in force, and how they are replaced while the server runs.
//!
//! What: a [`Keeper`] knows the files and what was last read of them; [`Certificates`] is what handshakes use.
//! Why two: reading may block and happens in one place; a handshake takes what is in force, and keeps it.
//! A pair that does not fit leaves the one before it in force.

use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use poll_core::environment::Environment;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};
use rustls::time_provider::TimeProvider;

use super::choice::Choice;
use super::obtained::{Look, Obtained};
use super::pair::{Pair, PairFault, client_verifier};
use crate::config::{Fault, Tls, TlsPair};

/// Sessions that are remembered for clients of TLS 1.2 that take no ticket: some hundred bytes each.
const SESSIONS: usize = 1_024;

/// Reads a file.
pub(crate) type Read<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// What handshakes use. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    config: Arc<RwLock<Arc<ServerConfig>>>,
    obtained: Option<Obtained>,
}

impl Certificates {
    /// For one handshake, or as many as come at once.
    pub(super) fn in_force(&self) -> Arc<ServerConfig> {
        // Locked for a clone or a move only; nothing panics in between.
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a connection has to be looked at first, and by what.
    pub(super) fn look(&self) -> Option<Look> {
        self.obtained.as_ref()?.look()
    }

    fn replace(&self, config: Arc<ServerConfig>) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }
}

/// Knows the files, and what was read of them.
pub(crate) struct Keeper {
    pairs: Vec<Kept<TlsPair, [String; 2], Pair>>,
    client_ca: Option<Kept<std::path::PathBuf, String, Arc<dyn ClientCertVerifier>>>,
    provider: Arc<CryptoProvider>,
    clock: Arc<Clock>,
    resumption: Resumption,
    certificates: Certificates,
}

/// Files, what they last held, and what of it is in force.
struct Kept<F, T, V> {
    files: F,
    texts: Option<T>,
    /// What was last wrong, which is told once.
    told: Vec<Fault>,
    value: V,
}

/// How sessions are resumed. It outlives certificates, but not a change of whose clients are let in.
struct Resumption {
    sessions: Arc<dyn StoresServerSessions>,
    ticketer: Arc<dyn ProducesTickets>,
}

/// What another look at the files found.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// One line for each certificate that is newly in force.
    pub(crate) replaced: Vec<String>,
    /// One line for each new fault.
    pub(crate) faults: Vec<Fault>,
}

/// Reads all files and reports what is wrong with them, one line each.
pub(crate) fn check(tls: &Tls, read: Read<'_>, faults: &mut Vec<Fault>) {
    let provider = Arc::new(ring::default_provider());
    for files in &tls.pairs {
        faults.extend(read_pair(files, read, &provider).1.err().unwrap_or_default());
    }
    if let Some(file) = &tls.client_ca {
        faults.extend(read_client_ca(file, read, &provider).1.err());
    }
}

impl Keeper {
    /// Reads all files.
    ///
    /// # Errors
    /// Whatever is wrong with them, one line each.
    pub(crate) fn load(tls: &Tls, environment: &Environment) -> Result<Self, Vec<Fault>> {
        let provider = Arc::new(ring::default_provider());
        let read = |path: &Path| environment.read_file(path);
        let (mut pairs, mut faults) = (Vec::new(), Vec::new());
        for files in &tls.pairs {
            match read_pair(files, &read, &provider) {
                (texts, Ok(value)) => {
                    pairs.push(Kept { files: files.clone(), texts, told: Vec::new(), value });
                }
                (_, Err(more)) => faults.extend(more),
            }
        }
        let mut client_ca = None;
        if let Some(file) = &tls.client_ca {
            match read_client_ca(file, &read, &provider) {
                (texts, Ok(value)) => {
                    client_ca = Some(Kept { files: file.clone(), texts, told: Vec::new(), value });
                }
                (_, Err(fault)) => faults.push(fault),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let clock = Arc::new(Clock(environment.clone()));
        let unusable = |error: rustls::Error| vec![Fault(format!("cannot use TLS: {error}"))];
        let resumption = Resumption::new().map_err(unusable)?;
        let obtained = tls
            .acme
            .as_ref()
            .map(|acme| Obtained::new(&acme.domains, Arc::clone(&provider), Arc::<Clock>::clone(&clock)));
        let config = build(&pairs, client_ca.as_ref(), obtained.clone(), &provider, &clock, &resumption)
            .map_err(unusable)?;
        let certificates = Certificates { config: Arc::new(RwLock::new(config)), obtained };
        Ok(Self { pairs, client_ca, provider, clock, resumption, certificates })
    }

    pub(crate) fn certificates(&self) -> Certificates {
        self.certificates.clone()
    }

    /// What is obtained by ACME, if anything is.
    pub(crate) fn obtained(&self) -> Option<Obtained> {
        self.certificates.obtained.clone()
    }

    /// One line for each pair: its file, for which hosts it is, and until when.
    pub(crate) fn describe(&self) -> Vec<String> {
        let now = self.clock.since_epoch();
        self.pairs.iter().map(|kept| describe(&kept.files, &kept.value, now)).collect()
    }

    /// Whatever is wrong will be reported again.
    pub(crate) fn tell_again(&mut self) {
        self.pairs.iter_mut().for_each(|kept| kept.told.clear());
        self.client_ca.iter_mut().for_each(|kept| kept.told.clear());
    }

    /// Reads all files again, and puts in force what is new and fits.
    pub(crate) fn look(&mut self) -> Looked {
        let mut looked = Looked::default();
        let environment = self.clock.0.clone();
        let read = |path: &Path| environment.read_file(path);
        let now = self.clock.since_epoch();
        for kept in &mut self.pairs {
            let (texts, pair) = read_pair(&kept.files, &read, &self.provider);
            if kept.take(texts, pair, &mut looked) {
                looked.replaced.push(describe(&kept.files, &kept.value, now));
            }
        }
        let mut others = false;
        if let Some(kept) = &mut self.client_ca {
            let (text, verifier) = read_client_ca(&kept.files, &read, &self.provider);
            others = kept.take(text, verifier.map_err(|fault| vec![fault]), &mut looked);
            if others {
                looked.replaced.push(format!("{}: client certificates", kept.files.display()));
            }
        }
        if looked.replaced.is_empty() {
            return looked;
        }
        match self.rebuild(others) {
            Ok(config) => self.certificates.replace(config),
            Err(error) => looked.faults.push(Fault(format!("the certificates stay as they are: {error}"))),
        }
        looked
    }

    /// `others` tells whether other clients are let in.
    fn rebuild(&mut self, others: bool) -> Result<Arc<ServerConfig>, rustls::Error> {
        if others {
            // A session that is resumed is not verified again.
            self.resumption = Resumption::new()?;
        }
        let obtained = self.certificates.obtained.clone();
        build(&self.pairs, self.client_ca.as_ref(), obtained, &self.provider, &self.clock, &self.resumption)
    }
}

impl<F, T: PartialEq, V> Kept<F, T, V> {
    /// Takes what was read over if it is new and fits; returns whether it did.
    fn take(&mut self, texts: Option<T>, read: Result<V, Vec<Fault>>, looked: &mut Looked) -> bool {
        if texts.is_some() && texts == self.texts && self.told.is_empty() {
            return false;
        }
        match read {
            Ok(value) => {
                let is_new = texts != self.texts;
                (self.texts, self.told) = (texts, Vec::new());
                self.value = value;
                is_new
            }
            Err(faults) => {
                if faults != self.told {
                    looked.faults.extend(faults.iter().cloned());
                    self.told = faults;
                }
                false
            }
        }
    }
}

impl Resumption {
    fn new() -> Result<Self, rustls::Error> {
        Ok(Self { sessions: ServerSessionMemoryCache::new(SESSIONS), ticketer: ring::Ticketer::new()? })
    }
}

fn build(
    pairs: &[Kept<TlsPair, [String; 2], Pair>],
    client_ca: Option<&Kept<std::path::PathBuf, String, Arc<dyn ClientCertVerifier>>>,
    obtained: Option<Obtained>,
    provider: &Arc<CryptoProvider>,
    clock: &Arc<Clock>,
    resumption: &Resumption,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let verifier = client_ca.map_or_else(|| Arc::new(NoClientAuth) as _, |kept| Arc::clone(&kept.value));
    let clock: Arc<dyn TimeProvider> = Arc::<Clock>::clone(clock);
    let mut config = ServerConfig::builder_with_details(Arc::clone(provider), clock)
        // 1.2 and 1.3.
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(Choice::new(pairs.iter().map(|kept| &kept.value), obtained)));
    config.alpn_protocols = [&b"h2"[..], b"http/1.1"].map(<[u8]>::to_vec).into();
    config.session_storage = Arc::clone(&resumption.sessions);
    config.ticketer = Arc::clone(&resumption.ticketer);
    Ok(Arc::new(config))
}

fn read_pair(
    files: &TlsPair,
    read: Read<'_>,
    provider: &CryptoProvider,
) -> (Option<[String; 2]>, Result<Pair, Vec<Fault>>) {
    let (certificate, key) = (read(&files.certificate), read(&files.key));
    let (certificate, key) = match (certificate, key) {
        (Ok(certificate), Ok(key)) => (certificate, key),
        (certificate, key) => {
            let faults = [
                certificate.err().map(|error| fault("tls-cert", &files.certificate, &error)),
                key.err().map(|error| fault("tls-key", &files.key, &error)),
            ];
            return (None, Err(faults.into_iter().flatten().collect()));
        }
    };
    let pair = Pair::parse(&certificate, &key, provider).map_err(|what| {
        vec![match what {
            PairFault::Certificate(what) => fault("tls-cert", &files.certificate, &what),
            PairFault::Key(what) => fault("tls-key", &files.key, &what),
        }]
    });
    (Some([certificate, key]), pair)
}

type ReadClientCa = (Option<String>, Result<Arc<dyn ClientCertVerifier>, Fault>);

fn read_client_ca(file: &Path, read: Read<'_>, provider: &Arc<CryptoProvider>) -> ReadClientCa {
    match read(file) {
        Ok(text) => {
            let verifier = client_verifier(&text, provider);
            (Some(text), verifier.map_err(|what| fault("tls-client-ca", file, &what)))
        }
        Err(error) => (None, Err(fault("tls-client-ca", file, &error))),
    }
}

fn fault(setting: &str, file: &Path, what: &impl std::fmt::Display) -> Fault {
    Fault(format!("{setting}: {}: {what}", file.display()))
}

fn describe(files: &TlsPair, pair: &Pair, now: Duration) -> String {
    let file = files.certificate.display();
    let hosts = if pair.hosts.is_empty() { "no host".to_owned() } else { pair.hosts.join(", ") };
    match pair.until.checked_sub(now) {
        Some(left) => format!("{file}: for {hosts}, {} days left", left.as_secs() / 86_400),
        None => format!("{file}: for {hosts}, expired"),
    }
}

/// The environment's time, by which certificates and tickets are judged.
#[derive(Debug)]
struct Clock(Environment);

impl Clock {
    fn since_epoch(&self) -> Duration {
        Duration::from_micros(self.0.now().as_micros())
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.since_epoch()))
    }
}
