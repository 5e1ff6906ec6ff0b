//! What is obtained by ACME, for handshakes to use: certificates by name, and answers to an authority's challenges.
//!
//! A challenge is answered in the handshake itself (TLS-ALPN-01, RFC 8737): a client that offers `acme-tls/1` alone gets a
//! certificate that proves control of the name, and the connection ends. Its configuration demands no client certificate and
//! speaks no HTTP. Only while a challenge is under way is a ClientHello looked at before it is answered.
//! Not here: asking the authority (`acme.rs`), certificates from files (`certificates.rs`).

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{Acceptor, ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;

use super::pair::Pair;

/// The protocol of a challenge (RFC 8737, section 6.2).
const CHALLENGE: &[u8] = b"acme-tls/1";

/// See the [module](self). Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Obtained(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Held for a look-up or an insertion only; nothing panics in between.
    state: RwLock<State>,
    provider: Arc<CryptoProvider>,
    clock: Arc<dyn TimeProvider>,
}

#[derive(Debug, Default)]
struct State {
    /// Every name that is obtained; `None` while it has no certificate.
    hosts: BTreeMap<String, Option<Arc<CertifiedKey>>>,
    challenges: BTreeMap<String, Arc<CertifiedKey>>,
    /// While there are challenges.
    for_challenges: Option<Arc<ServerConfig>>,
}

/// What there is for a name.
#[derive(Debug)]
pub(super) enum Found {
    Certificate(Arc<CertifiedKey>),
    /// It will have its own.
    Awaited,
    /// It is none of these names.
    Other,
}

/// A challenge is answered until this is dropped.
#[derive(Debug)]
pub(crate) struct Answering {
    obtained: Obtained,
    host: String,
}

impl Obtained {
    pub(super) fn new(hosts: &[String], provider: Arc<CryptoProvider>, clock: Arc<dyn TimeProvider>) -> Self {
        let hosts = hosts.iter().map(|host| (host.clone(), None)).collect();
        let state = RwLock::new(State { hosts, ..State::default() });
        Self(Arc::new(Shared { state, provider, clock }))
    }

    pub(crate) fn provider(&self) -> &CryptoProvider {
        &self.0.provider
    }

    /// Gives this certificate to clients that ask for `host`, from now on.
    pub(crate) fn put(&self, host: &str, pair: &Pair) {
        self.write().hosts.insert(host.to_owned(), Some(Arc::clone(&pair.certified)));
    }

    /// Answers a challenge for `host` with this certificate.
    ///
    /// # Errors
    /// If the provider of cryptography cannot do TLS.
    pub(crate) fn answer(&self, host: &str, key: CertifiedKey) -> Result<Answering, rustls::Error> {
        let config = self.config()?;
        let mut state = self.write();
        state.challenges.insert(host.to_owned(), Arc::new(key));
        state.for_challenges.get_or_insert(config);
        Ok(Answering { obtained: self.clone(), host: host.to_owned() })
    }

    fn config(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        let Shared { provider, clock, .. } = &*self.0;
        let mut config = ServerConfig::builder_with_details(Arc::clone(provider), Arc::clone(clock))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Challenges(self.clone())));
        config.alpn_protocols = vec![CHALLENGE.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// Looks at a ClientHello, while a challenge is under way.
    pub(super) fn look(&self) -> Option<Look> {
        let config = self.read().for_challenges.clone()?;
        Some(Look { acceptor: Acceptor::default(), config })
    }

    pub(super) fn find(&self, name: &str) -> Found {
        match self.read().hosts.get(name) {
            Some(Some(key)) => Found::Certificate(Arc::clone(key)),
            Some(None) => Found::Awaited,
            None => Found::Other,
        }
    }

    /// For clients that ask for no name at all.
    pub(super) fn any(&self) -> Option<Arc<CertifiedKey>> {
        self.read().hosts.values().flatten().next().cloned()
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut state = self.obtained.write();
        state.challenges.remove(&self.host);
        if state.challenges.is_empty() {
            state.for_challenges = None;
        }
    }
}

/// Finds out whether a connection is an authority's challenge.
pub(super) struct Look {
    acceptor: Acceptor,
    config: Arc<ServerConfig>,
}

/// What a ClientHello is.
#[derive(Clone, Debug)]
pub(super) enum Hello {
    /// Not whole.
    Partial,
    /// A challenge, to be answered with this.
    Challenge(Arc<ServerConfig>),
    /// Anything else, nonsense included.
    Usual,
}

impl Look {
    /// Takes what was received since the last time.
    pub(super) fn take(&mut self, mut received: &[u8]) -> Hello {
        while !received.is_empty() {
            if !matches!(self.acceptor.read_tls(&mut received), Ok(1..)) {
                return Hello::Usual;
            }
            match self.acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    let offered = accepted.client_hello().alpn();
                    let is_challenge = offered.is_some_and(|mut names| names.all(|name| name == CHALLENGE));
                    return if is_challenge {
                        Hello::Challenge(Arc::clone(&self.config))
                    } else {
                        Hello::Usual
                    };
                }
                Err(_) => return Hello::Usual,
            }
        }
        Hello::Partial
    }
}

/// The answers to challenges.
#[derive(Debug)]
struct Challenges(Obtained);

impl ResolvesServerCert for Challenges {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        let key = self.0.read().challenges.get(&name).cloned();
        tracing::debug!(
            name,
            "a challenge for {name} is {}",
            if key.is_some() { "answered" } else { "not known" }
        );
        key
    }
}
