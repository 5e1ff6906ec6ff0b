//! Asks the authority: for an account, for a certificate by an order, for when to renew it.
//!
//! An account is made at the first order and used again; its keys are kept before anything is asked with them.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier, NewAccount,
    NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};
use rustls::pki_types::{CertificateDer, Der};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::AuthorityKeyIdentifier;

use super::challenge;
use super::connection::{Connection, Unanswered};
use super::folder::{self, Folder};
use super::schedule::{Kind, Window};
use crate::config::Acme;
use crate::tls::Obtained;

/// How long the authority may take to validate a name, and then to sign.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(60));

/// What of an authority's words is repeated.
const MOST_WORDS: usize = 400;

/// The error for an account that the authority has forgotten.
const UNKNOWN: &str = "accountDoesNotExist";

/// See the [module](self).
pub(super) struct Authority {
    directory: String,
    email: Option<String>,
    pub(super) folder: Folder,
}

/// Why there is no certificate, in a few words.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    pub(super) why: String,
}

impl Failure {
    fn refused(why: impl Into<String>) -> Self {
        Self { kind: Kind::Refused, why: why.into() }
    }
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self { kind: Kind::Failed, why }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => {
                let is_its_own =
                    is(&problem, "serverInternal") || problem.status.is_some_and(|status| status >= 500);
                Self { kind: if is_its_own { Kind::Away } else { Kind::Refused }, why: words(&problem) }
            }
            Error::Other(error) if error.is::<Unanswered>() => {
                Self { kind: Kind::Away, why: error.to_string() }
            }
            Error::Json(error) => Self { kind: Kind::Away, why: format!("what came is no ACME: {error}") },
            error => error.to_string().into(),
        }
    }
}

impl Authority {
    pub(super) fn new(acme: &Acme, folder: Folder) -> Self {
        Self { directory: acme.directory.to_string(), email: acme.email.clone(), folder }
    }

    /// Obtains a certificate for `host`, in place of `replaced` if that is known to the authority. Returns its key and its chain
    /// as PEM.
    pub(super) async fn obtain(
        &self,
        host: &str,
        replaced: Option<&CertificateIdentifier<'static>>,
        obtained: &Obtained,
    ) -> Result<String, Failure> {
        let identifiers = [Identifier::Dns(host.to_owned())];
        let plain = NewOrder::new(&identifiers);
        let account = self.account().await?;
        let first = match replaced {
            Some(replaced) => {
                account.new_order(&NewOrder::new(&identifiers).replaces(replaced.clone())).await
            }
            None => account.new_order(&plain).await,
        };
        let mut order = match first {
            Ok(order) => order,
            Err(Error::Api(problem)) if is(&problem, UNKNOWN) => {
                self.another_account().await?.new_order(&plain).await?
            }
            // It may have been replaced already.
            Err(Error::Api(_) | Error::Other(_)) if replaced.is_some() => account.new_order(&plain).await?,
            Err(error) => return Err(error.into()),
        };
        prove(&mut order, host, obtained).await?;
        let (key, request) = challenge::request(host)?;
        order.finalize_csr(&request).await?;
        let chain = order.poll_certificate(&PATIENCE).await?;
        Ok(key + &chain)
    }

    /// When the authority wants a certificate to be renewed, and how long that stands; `None` if it does not say.
    pub(super) async fn window(
        &self,
        certificate: &CertificateIdentifier<'static>,
    ) -> Option<(Window, Duration)> {
        let account = self.account().await.ok()?;
        let (told, stands) = account.renewal_info(certificate).await.ok()?;
        let since_epoch = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        let told = told.suggested_window;
        let [start, end] = [told.start, told.end].map(|time| since_epoch(time.unix_timestamp()));
        Some((Window { start, end }, stands))
    }

    /// The account that is kept, with the address that was given, or a new one.
    async fn account(&self) -> Result<Account, Failure> {
        let kept = self.folder.account().unwrap_or_else(|why| {
            tracing::warn!("the ACME account that is kept cannot be used: {why}; a new one is made");
            None
        });
        let Some(kept) = kept else { return self.new_account().await };
        let folder::Account { email, credentials } = kept;
        let account = Account::builder_with_http(Box::new(Connection)).from_credentials(credentials).await?;
        if email == self.email {
            return Ok(account);
        }
        match self.tell_address(&account).await {
            Ok(()) => Ok(account),
            Err(Error::Api(problem)) if is(&problem, UNKNOWN) => self.another_account().await,
            Err(error) => Err(error.into()),
        }
    }

    /// In place of one that the authority has forgotten.
    async fn another_account(&self) -> Result<Account, Failure> {
        tracing::warn!("the authority does not know the ACME account any more: a new one is made");
        self.new_account().await
    }

    async fn new_account(&self) -> Result<Account, Failure> {
        let contact = self.contact();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let asked =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let builder = Account::builder_with_http(Box::new(Connection));
        let (account, credentials) = builder.create(&asked, self.directory.clone(), None).await?;
        let kept = folder::Account { email: self.email.clone(), credentials };
        self.folder.keep_account(&kept).map_err(|error| format!("the account cannot be kept: {error}"))?;
        tracing::info!("a new ACME account at {}", self.directory);
        Ok(account)
    }

    /// Tells the authority the address that is given now.
    async fn tell_address(&self, account: &Account) -> Result<(), Error> {
        let contact = self.contact();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        account.update_contacts(&contact).await?;
        if let Ok(Some(kept)) = self.folder.account() {
            let kept = folder::Account { email: self.email.clone(), ..kept };
            // Otherwise it is told again.
            let _kept = self.folder.keep_account(&kept);
        }
        Ok(())
    }

    fn contact(&self) -> Option<String> {
        self.email.as_ref().map(|email| format!("mailto:{email}"))
    }
}

/// Proves that this server answers for the host of an order.
async fn prove(order: &mut Order, host: &str, obtained: &Obtained) -> Result<(), Failure> {
    let mut answering = None;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let challenge = authorization.challenge(ChallengeType::TlsAlpn01);
        let mut challenge = challenge.ok_or_else(|| Failure::refused("it offers no proof by TLS-ALPN-01"))?;
        let proof = challenge::proof(host, &challenge.key_authorization(), obtained.provider())?;
        answering = Some(obtained.answer(host, proof).map_err(|error| error.to_string())?);
        challenge.set_ready().await?;
    }
    if answering.is_none() {
        // Every name of it was proved a while ago.
        order.refresh().await?;
    }
    if order.state().status == OrderStatus::Ready {
        return Ok(());
    }
    match order.poll_ready(&PATIENCE).await {
        Ok(OrderStatus::Invalid) => Err(Failure::refused(why_invalid(order).await)),
        Ok(_) => Ok(()),
        // The authorization knows more of it than the order.
        Err(Error::Api(problem)) => {
            let why = why_invalid(order).await;
            Err(Failure::refused(if why.is_empty() { words(&problem) } else { why }))
        }
        Err(error) => Err(error.into()),
    }
}

/// What the authority says of the challenge that failed.
async fn why_invalid(order: &mut Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return words(problem);
        }
    }
    String::new()
}

fn is(problem: &Problem, kind: &str) -> bool {
    kind_of(problem) == Some(kind)
}

/// The last word of its type (RFC 8555, section 6.7).
fn kind_of(problem: &Problem) -> Option<&str> {
    problem.r#type.as_deref()?.rsplit(':').next()
}

fn words(problem: &Problem) -> String {
    let detail = problem.detail.as_deref().unwrap_or("no reason is given");
    let mut words = match kind_of(problem) {
        Some(kind) => format!("{detail} ({kind})"),
        None => detail.to_owned(),
    };
    for problem in &problem.subproblems {
        words.push_str(&format!("; {problem}"));
    }
    if let Some((end, _)) = words.char_indices().nth(MOST_WORDS) {
        words.truncate(end);
        words.push('…');
    }
    words
}

/// What the authority calls a certificate when it is to be renewed (RFC 9773, section 4.1).
pub(super) fn identifier(certificate: &CertificateDer<'_>) -> Option<CertificateIdentifier<'static>> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let certificate = certificate.tbs_certificate();
    let (_, authority) = certificate.get_extension::<AuthorityKeyIdentifier>().ok()??;
    let authority = authority.key_identifier?;
    let serial = certificate.serial_number();
    Some(CertificateIdentifier::new(
        Der::from_slice(authority.as_bytes()),
        Der::from_slice(serial.as_bytes()),
    ))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyIdMethod, KeyPair, SerialNumber};

    use super::*;

    /// The example of RFC 9773, section 4.1.
    #[test]
    fn a_certificate_has_the_name_that_the_rfc_gives_it() {
        let authority = [
            0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3, 0x7b, 0x84, 0x7b, 0xa0, 0xae, 0x2c,
            0xde, 0x01, 0xc8, 0xd4,
        ];
        let mut params = CertificateParams::default();
        params.use_authority_key_identifier_extension = true;
        params.key_identifier_method = KeyIdMethod::PreSpecified(authority.to_vec());
        params.serial_number = Some(SerialNumber::from(vec![0x00, 0x87, 0x65, 0x43, 0x21]));
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let name = identifier(certificate.der()).unwrap().to_string();
        assert_eq!(name, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
    }

    #[test]
    fn a_failure_says_whether_the_authority_was_reached_and_what_it_said() {
        let problem = |text: &str| Failure::from(Error::Api(serde_json::from_str(text).unwrap()));
        let refused = problem(
            r#"{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"no","subproblems":[{"detail":"really"}]}"#,
        );
        assert_eq!(
            (refused.kind, refused.why.as_str()),
            (Kind::Refused, "no (rejectedIdentifier); : really")
        );
        assert_eq!(problem(r#"{"status":503,"detail":"later"}"#).kind, Kind::Away);
        assert_eq!(problem(r#"{"type":"urn:ietf:params:acme:error:serverInternal"}"#).kind, Kind::Away);
        assert_eq!(problem("{}").why, "no reason is given");
        let long = problem(&format!(r#"{{"detail":"{}"}}"#, "ü".repeat(9_000)));
        assert_eq!(long.why.chars().count(), MOST_WORDS + 1);
        assert_eq!(Failure::from(Error::Str("x")).kind, Kind::Failed);
    }
}
