//! Who may do what: a [`Grant`], and the [`Authority`] that gives it for a token.
//!
//! The authority is replaced while the server runs, by new tokens, keys or both; what was granted before stays granted to
//! requests that are under way. It is asked on the worker's thread, so it neither waits nor reads files.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::StatusCode;
use poll_core::{ChannelName, Timestamp};

use crate::access::pattern::Pattern;
use crate::message::refusal::Refusal;

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    Publish,
    Subscribe,
}

/// The channels that a right covers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scope {
    /// None.
    #[default]
    Nothing,
    /// Every channel.
    All,
    /// Those that match any of these patterns.
    Patterns(Arc<[Pattern]>),
    /// This one.
    Channel(ChannelName),
}

/// What a token allows, or the lack of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// Where its holder may publish.
    pub publish: Scope,
    /// What its holder may read.
    pub subscribe: Scope,
    /// Its holder's name, by which limits count; it takes the place of `X-Client-ID`.
    pub subject: Option<Arc<str>>,
    /// When it ends. A poll that waits is then answered 401, a stream ends.
    pub expires: Option<Timestamp>,
}

/// Why there is no grant for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// It is none of the server's, for this reason. Counted against its sender's address.
    Wrong(&'static str),
    /// It was good, and is no longer.
    Expired,
    /// It names a key that the server does not have, or not yet.
    UnknownKey,
}

/// What can be done about a key that is not known.
pub enum KeyFetch {
    /// Nothing: a set that was fetched just now does not have it, or there is none to fetch.
    Nothing,
    /// Too many requests wait for keys already.
    Busy,
    /// To wait until keys were fetched, or could not be.
    After(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// Judges tokens.
pub trait Authority: Send + Sync + 'static {
    /// What everyone may do, without a token. A scope is everything or nothing here.
    fn anyone(&self) -> Arc<Grant>;

    /// What a token allows at this time.
    ///
    /// # Errors
    /// See [`Denied`].
    fn judge(&self, token: &str, now: Timestamp) -> Result<Arc<Grant>, Denied>;

    /// Fetches keys because of one that is [unknown](Denied::UnknownKey), after which the authority may have been
    /// replaced.
    fn fetch_keys(&self) -> KeyFetch {
        KeyFetch::Nothing
    }
}

/// The authority in force.
pub(crate) struct Authorities(ArcSwap<InForce>);

/// An authority, and what is known of it without asking.
pub(crate) struct InForce {
    pub(crate) authority: Arc<dyn Authority>,
    pub(crate) anyone: Arc<Grant>,
}

impl Scope {
    /// Whether it covers a channel.
    #[must_use]
    pub fn covers(&self, channel: &ChannelName) -> bool {
        match self {
            Self::Nothing => false,
            Self::All => true,
            Self::Patterns(patterns) => patterns.iter().any(|pattern| pattern.matches(channel)),
            Self::Channel(only) => only == channel,
        }
    }
}

impl Grant {
    /// Every right on every channel.
    #[must_use]
    pub fn all() -> Self {
        Self { publish: Scope::All, subscribe: Scope::All, ..Self::default() }
    }

    pub(crate) fn scope(&self, right: Right) -> &Scope {
        match right {
            Right::Publish => &self.publish,
            Right::Subscribe => &self.subscribe,
        }
    }
}

/// 403: the token is good, but not for this.
pub(crate) fn insufficient() -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "the token does not grant this")
        .challenge("Bearer error=\"insufficient_scope\"")
}

/// 401: there is no token.
pub(crate) fn missing() -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "a token is needed").challenge("Bearer")
}

/// 503: too many requests wait for keys.
pub(crate) fn busy() -> Refusal {
    let detail = "the key of the token is not known, and many requests wait for keys already";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(Duration::from_secs(1))
}

/// 401: the token has expired.
pub(crate) fn expired() -> Refusal {
    Denied::Expired.into()
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        let detail = match denied {
            Denied::Wrong(why) => why,
            Denied::Expired => "the token has expired",
            Denied::UnknownKey => "the key of the token is not known",
        };
        Self::new(StatusCode::UNAUTHORIZED, detail).challenge("Bearer error=\"invalid_token\"")
    }
}

impl Authorities {
    pub(crate) fn new(authority: Arc<dyn Authority>) -> Self {
        Self(ArcSwap::from_pointee(InForce::new(authority)))
    }

    /// The one in force now.
    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<InForce>> {
        self.0.load()
    }

    pub(crate) fn replace(&self, authority: Arc<dyn Authority>) {
        self.0.store(Arc::new(InForce::new(authority)));
    }
}

impl InForce {
    fn new(authority: Arc<dyn Authority>) -> Self {
        Self { anyone: authority.anyone(), authority }
    }

    /// Whether everyone may do everything.
    pub(crate) fn is_open(&self) -> bool {
        matches!((&self.anyone.publish, &self.anyone.subscribe), (Scope::All, Scope::All))
    }
}
