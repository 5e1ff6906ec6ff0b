//! Looks after each name: takes its kept certificate, obtains the first, renews it in time, and tells failures.

use std::time::Duration;

use instant_acme::CertificateIdentifier;
use poll_core::environment::Environment;
use tokio::sync::watch;
use tokio::time::timeout;

use super::authority::{Authority, Failure, identifier};
use super::folder::{Folder, pair_for};
use super::schedule::{self, Kind, Window};
use super::standing::{Others, Standing, Trouble};
use crate::config::{Fault, Tls};
use crate::tls::{Obtained, Pair};

/// How long one order may take in all.
const ATTEMPT: Duration = Duration::from_secs(180);
/// The clock is looked at at least so often: it may be set, and the machine may sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// See the [module](self).
pub(crate) struct Keeper {
    environment: Environment,
    authority: Authority,
    obtained: Obtained,
    standing: Standing,
    names: Vec<Name>,
}

/// One name. Times are since the epoch.
struct Name {
    host: String,
    certificate: Option<Known>,
    /// When it is looked at next.
    next: Duration,
    /// In a row.
    failures: u32,
}

/// What is known of a certificate.
struct Known {
    from: Duration,
    until: Duration,
    /// What the authority calls it.
    id: Option<CertificateIdentifier<'static>>,
    renewal: Duration,
    /// From which `renewal` was chosen.
    window: Option<Window>,
}

impl Known {
    fn new(pair: &Pair) -> Self {
        let (from, until) = (pair.from, pair.until);
        let id = identifier(pair.certificate());
        Self { from, until, id, renewal: schedule::renewal(from, until), window: None }
    }
}

impl Keeper {
    /// Takes what is kept; `None` if nothing is to be obtained.
    ///
    /// # Errors
    /// If nothing can be kept.
    pub(crate) fn load(
        tls: &Tls,
        obtained: Option<Obtained>,
        environment: &Environment,
    ) -> Result<Option<Self>, Vec<Fault>> {
        let (Some(acme), Some(obtained)) = (&tls.acme, obtained) else { return Ok(None) };
        let folder = Folder::open(environment, acme).map_err(|fault| vec![fault])?;
        tracing::info!(
            folder = %folder.name(),
            "certificates for {} are obtained from {}, which connects to port 443 of each; they are kept in {}",
            acme.domains.join(", "),
            acme.directory,
            folder.name()
        );
        let others = if tls.pairs.is_empty() { Others::None } else { Others::Some };
        let standing = Standing::new(environment, &acme.domains, others);
        let authority = Authority::new(acme, folder);
        let mut keeper =
            Self { environment: environment.clone(), authority, obtained, standing, names: Vec::new() };
        for host in &acme.domains {
            let certificate = keeper.kept(host);
            keeper.names.push(Name { host: host.clone(), certificate, next: Duration::ZERO, failures: 0 });
        }
        Ok(Some(keeper))
    }

    /// The certificate that is kept for a name, which is in force from here on.
    fn kept(&self, host: &str) -> Option<Known> {
        match self.authority.folder.certificate(host, self.obtained.provider()) {
            Ok(Some(pair)) => {
                let known = self.put(host, &pair);
                match known.until.checked_sub(self.now()) {
                    Some(left) => tracing::info!(host, "certificate of {host}: {} left", span(left)),
                    None => tracing::warn!(host, "certificate of {host}: it has expired, and is renewed now"),
                }
                return Some(known);
            }
            Ok(None) => {}
            Err(why) => tracing::warn!(host, "the certificate that is kept for {host} cannot be used: {why}"),
        }
        tracing::warn!(host, "{host} has no certificate yet: TLS handshakes for it are refused until it has");
        None
    }

    /// Puts a certificate in force.
    fn put(&self, host: &str, pair: &Pair) -> Known {
        self.obtained.put(host, pair);
        self.standing.has(host, pair.until);
        Known::new(pair)
    }

    pub(crate) fn standing(&self) -> Standing {
        self.standing.clone()
    }

    /// Works for as long as the server runs. A reload has what failed tried again at once. Writing files may block, so it
    /// needs its own thread.
    pub(crate) async fn run(mut self, mut reloads: watch::Receiver<u64>) {
        let mut ended = reloads.clone();
        let work = async {
            loop {
                let now = self.now();
                let next = self.names.iter().map(|name| name.next).min().unwrap_or(Duration::MAX);
                let left = next.saturating_sub(now).min(LONGEST_SLEEP);
                tokio::select! {
                    biased;
                    _asked_or_ended = reloads.changed() => self.hurry(),
                    () = tokio::time::sleep(left) => self.look().await,
                }
            }
        };
        tokio::select! {
            biased;
            () = async { while ended.changed().await.is_ok() {} } => {}
            () = work => {}
        }
    }

    /// Has what failed tried again now.
    fn hurry(&mut self) {
        let now = self.now();
        self.names.iter_mut().filter(|name| name.failures > 0).for_each(|name| name.next = now);
    }

    /// Looks at all names that are due.
    async fn look(&mut self) {
        for index in 0..self.names.len() {
            if self.names[index].next <= self.now() {
                self.look_at(index).await;
            }
        }
    }

    async fn look_at(&mut self, index: usize) {
        if !self.is_to_be_renewed(index).await {
            return;
        }
        let Name { host, certificate, .. } = &self.names[index];
        // An authority that has told no window does not know what it replaces either.
        let replaced = certificate.as_ref().filter(|known| known.window.is_some());
        let replaced = replaced.and_then(|known| known.id.as_ref());
        let attempt = timeout(ATTEMPT, self.authority.obtain(host, replaced, &self.obtained)).await;
        let too_long = |_| Err(format!("it took more than {}", span(ATTEMPT)).into());
        let host = host.clone();
        match attempt.unwrap_or_else(too_long).and_then(|text| self.take(&host, &text)) {
            Ok(known) => {
                let now = self.now();
                let next = known.renewal.min(now + schedule::ASK_EVERY);
                let (left, renewal) = (known.until.saturating_sub(now), known.renewal.saturating_sub(now));
                tracing::info!(
                    host,
                    "certificate of {host} obtained: {} left, renewal in {}",
                    span(left),
                    span(renewal)
                );
                self.names[index] = Name { host, certificate: Some(known), next, failures: 0 };
            }
            Err(failure) => self.failed(index, &failure),
        }
    }

    /// Whether a name needs a certificate now. Asks the authority first, which may want one that it signed replaced early.
    async fn is_to_be_renewed(&mut self, index: usize) -> bool {
        let (now, random) = (self.now(), self.environment.random());
        let name = &mut self.names[index];
        let Some(known) = &mut name.certificate else { return true };
        if known.renewal <= now {
            return true;
        }
        let told = match &known.id {
            Some(id) => self.authority.window(id).await,
            None => None,
        };
        let mut ask_again = schedule::ASK_EVERY;
        if let Some((window, stands)) = told {
            if known.window != Some(window) {
                known.window = Some(window);
                known.renewal = window.moment(known.from, known.until, random);
            }
            ask_again = schedule::ask_again(stands);
        }
        name.next = known.renewal.min(now + ask_again);
        known.renewal <= now
    }

    /// Keeps what was obtained and puts it in force.
    fn take(&self, host: &str, text: &str) -> Result<Known, Failure> {
        let pair = pair_for(host, text, self.obtained.provider())
            .map_err(|why| format!("what came cannot be used: {why}"))?;
        if let Err(error) = self.authority.folder.keep_certificate(host, text) {
            let folder = self.authority.folder.name();
            tracing::error!(
                host,
                "certificate of {host}: it cannot be kept in {folder}: {error}; a restart will ask for another"
            );
        }
        self.standing.trouble(host, Trouble::None);
        Ok(self.put(host, &pair))
    }

    fn failed(&mut self, index: usize, Failure { kind, why }: &Failure) {
        let (now, random) = (self.now(), self.environment.random());
        let name = &mut self.names[index];
        name.failures = name.failures.saturating_add(1);
        let pause = schedule::retry(*kind, name.failures, random);
        name.next = now + pause;
        let host = &name.host;
        self.standing.trouble(host, Trouble::Some);
        let until = name.certificate.as_ref().map(|known| known.until.saturating_sub(now));
        let meanwhile = match until {
            None => "TLS handshakes for it are refused until then".to_owned(),
            Some(Duration::ZERO) => "the one it has has expired".to_owned(),
            Some(left) => format!("the one it has is valid for {}", span(left)),
        };
        let what = match kind {
            Kind::Away => "the authority cannot be asked",
            Kind::Refused => "the authority refuses",
            Kind::Failed => "it failed",
        };
        tracing::warn!(
            host,
            "certificate of {host} not obtained: {what}: {why}; tried again in {}; {meanwhile}",
            span(pause)
        );
    }

    fn now(&self) -> Duration {
        Duration::from_micros(self.environment.now().as_micros())
    }
}

/// A span of time in its largest unit, of which there are at least two.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
