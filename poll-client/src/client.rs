//! The client and its settings. Cheap to clone; clones share connections.
//!
//! Subscriptions are in [`crate::pattern`], publishing in `publish.rs`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use http::uri::Scheme;

use crate::backoff::BackoffSettings;
use crate::connect::{Connect, Tcp};
use crate::error::Error;
use crate::notice::{Notice, Observer};
use crate::pool::{Keep, Pool};
use crate::stats::{Counts, Stats};

/// A client of one poll server.
///
/// ```no_run
/// # async fn example() -> Result<(), poll_client::Error> {
/// use poll_client::{ChannelName, Client, Payload};
///
/// let client = Client::new("http://127.0.0.1:8080")?;
/// let channel = ChannelName::parse("news").expect("a short plain name");
/// let receipt = client.publish(&channel, &Payload::text("hello")).await?;
/// println!("message {} at {}", receipt.seq, receipt.at);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) base: Base,
    /// Sent with every request.
    pub(crate) headers: HeaderMap,
    pub(crate) settings: Settings,
    pub(crate) connector: Box<dyn Connect>,
    /// For an `https` server.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::tls::Tls>,
    pub(crate) pool: Arc<Pool>,
    observer: Option<Observer>,
    /// Of requests outside subscriptions.
    pub(crate) stats: Arc<Stats>,
}

#[derive(Debug, Clone)]
pub(crate) struct Base {
    pub(crate) scheme: Scheme,
    /// `host:port`.
    pub(crate) authority: String,
    /// The path before `/api`, without a trailing slash.
    pub(crate) prefix: String,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) backoff: BackoffSettings,
    pub(crate) repeat_within: Duration,
    pub(crate) connect_within: Duration,
    pub(crate) answer_within: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) max_answer_bytes: usize,
}

impl Inner {
    pub(crate) fn notice(&self, notice: &Notice<'_>) {
        if let Some(observer) = &self.observer {
            observer(notice);
        }
    }
}

impl Settings {
    /// How long a stream may be silent: one heartbeat may be lost and the next may be late.
    pub(crate) fn silence(&self) -> Duration {
        self.heartbeat.mul_f64(2.5)
    }
}

/// Builds a [`Client`].
pub struct Builder {
    url: String,
    token: Option<String>,
    client_id: Option<String>,
    keep: Keep,
    settings: Settings,
    connector: Box<dyn Connect>,
    observer: Option<Observer>,
    #[cfg(feature = "tls")]
    roots: Option<Vec<u8>>,
}

impl Client {
    /// A client of the server at `url` (`http://host[:port][/prefix]`, or `https`) with default settings.
    ///
    /// # Errors
    /// [`Error::Usage`] when the URL is not of that form.
    pub fn new(url: &str) -> Result<Self, Error> {
        Self::builder(url).build()
    }

    /// Builds a client with other settings.
    #[must_use]
    pub fn builder(url: &str) -> Builder {
        Builder {
            url: url.to_owned(),
            token: None,
            client_id: None,
            keep: Keep { idle: 10, idle_for: Duration::from_secs(90) },
            settings: Settings {
                backoff: BackoffSettings::default(),
                repeat_within: Duration::from_secs(270),
                connect_within: Duration::from_secs(10),
                answer_within: Duration::from_secs(10),
                heartbeat: Duration::from_secs(15),
                max_answer_bytes: 16 * 1024 * 1024,
            },
            connector: Box::new(Tcp),
            observer: None,
            #[cfg(feature = "tls")]
            roots: None,
        }
    }

    /// The counters of requests outside subscriptions.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.inner.stats.counts()
    }
}

impl Builder {
    /// Sent as `Authorization: Bearer`.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Names this client (`X-Client-ID`). Servers limit the connections of each named client (to 6 by default), so a name
    /// is for one user, not for a fleet.
    #[must_use]
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = Some(id.into());
        self
    }

    /// How many idle connections are kept. Default 10.
    #[must_use]
    pub fn keep_idle(mut self, connections: usize) -> Self {
        self.keep.idle = connections;
        self
    }

    /// How long an idle connection is kept, unless the server closes it first (after 75 s by default). Default 90 s.
    #[must_use]
    pub fn keep_idle_for(mut self, time: Duration) -> Self {
        self.keep.idle_for = time;
        self
    }

    /// The waits between attempts.
    #[must_use]
    pub fn backoff(mut self, settings: BackoffSettings) -> Self {
        self.settings.backoff = settings;
        self
    }

    /// Gives up after so many failed retries in a row. Default: never.
    #[must_use]
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.settings.backoff.max_retries = Some(retries);
        self
    }

    /// How long a publish with a key is repeated after the first attempt that may have been kept. Then the server may have
    /// forgotten the key, and would publish a second time. Time for which the machine sleeps may not count.
    ///
    /// Default 270 s: a server remembers a key for 300 s unless it was started otherwise (`--idempotency-seconds`), and may
    /// get an attempt 30 s after it began: 10 s each to lose a connection, open another and be answered.
    #[must_use]
    pub fn repeat_within(mut self, time: Duration) -> Self {
        self.settings.repeat_within = time;
        self
    }

    /// How long opening a connection may take. Default 10 s.
    #[must_use]
    pub fn connect_within(mut self, time: Duration) -> Self {
        self.settings.connect_within = time;
        self
    }

    /// How long an answer may take, and each further piece of its body. Default 10 s. Long polls may take their wait plus
    /// [`crate::pattern::READ_SLACK`].
    #[must_use]
    pub fn answer_within(mut self, time: Duration) -> Self {
        self.settings.answer_within = time;
        self
    }

    /// The server's heartbeat interval. Default 15 s, as the server's. A stream silent for two and a half intervals is
    /// reopened.
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.settings.heartbeat = interval;
        self
    }

    /// The largest polled answer, stream line or server-sent event accepted. Default 16 MiB.
    #[must_use]
    pub fn max_answer_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_answer_bytes = bytes;
        self
    }

    /// Trusts the certificates in `pem`, and those that they have signed, in place of the system's. For `https` only.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn trust(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots = Some(pem.into());
        self
    }

    /// Opens the connections. Default [`Tcp`].
    #[must_use]
    pub fn connector(mut self, connector: impl Connect) -> Self {
        self.connector = Box::new(connector);
        self
    }

    /// Is told of failures that are retried, and of the first success after them, by all subscriptions and publishes of
    /// the client.
    ///
    /// ```
    /// use poll_client::{Client, Notice};
    ///
    /// let client = Client::builder("http://127.0.0.1:8080")
    ///     .observe(|notice| match notice {
    ///         Notice::Retrying { error, wait } => eprintln!("{error}; trying again in {wait:?}"),
    ///         Notice::Recovered => eprintln!("connected again"),
    ///         _ => {}
    ///     })
    ///     .build()?;
    /// # Ok::<(), poll_client::Error>(())
    /// ```
    #[must_use]
    pub fn observe(mut self, observer: impl Fn(&Notice<'_>) + Send + Sync + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Checks the settings and builds the client.
    ///
    /// # Errors
    /// [`Error::Usage`] if the URL, the token, the client id or the trusted certificates cannot be used.
    pub fn build(self) -> Result<Client, Error> {
        let base = Base::parse(&self.url)?;
        let mut headers = HeaderMap::new();
        let agent = HeaderValue::from_static(concat!("poll-client/", env!("CARGO_PKG_VERSION")));
        headers.insert(USER_AGENT, agent);
        if let Some(token) = self.token {
            let mut value = header_value("token", &format!("Bearer {token}"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        if let Some(id) = self.client_id {
            headers.insert("x-client-id", header_value("client id", &id)?);
        }
        #[cfg(feature = "tls")]
        let tls = match base.scheme == Scheme::HTTPS {
            true => Some(crate::tls::Tls::new(&base.authority, self.roots.as_deref())?),
            false => None,
        };
        let inner = Inner {
            base,
            #[cfg(feature = "tls")]
            tls,
            headers,
            settings: self.settings,
            connector: self.connector,
            observer: self.observer,
            pool: Pool::new(self.keep),
            stats: Arc::default(),
        };
        Ok(Client { inner: Arc::new(inner) })
    }
}

pub(crate) fn header_value(what: &str, text: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(text)
        .map_err(|_| Error::Usage(format!("the {what} has a character that HTTP headers cannot carry")))
}

impl Base {
    fn parse(url: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Error::Usage(format!("{url}: {why}"));
        let uri: http::Uri = url.parse().map_err(|_| wrong("not a URL of the form http://host:port"))?;
        let form = || wrong("not a URL of the form http://host:port");
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else { return Err(form()) };
        let default_port = match scheme.as_str() {
            "http" => 80,
            "https" if cfg!(feature = "tls") => 443,
            "https" => return Err(wrong("https is not built in (the feature `tls`)")),
            _ => return Err(form()),
        };
        if uri.query().is_some() || authority.as_str().contains('@') {
            return Err(wrong("a base URL has no query and no user name"));
        }
        let (host, port) = (authority.host(), authority.port_u16().unwrap_or(default_port));
        if host.is_empty() || (authority.port_u16().is_none() && authority.as_str() != host) {
            return Err(form());
        }
        Ok(Self {
            scheme: scheme.clone(),
            authority: format!("{host}:{port}"),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.inner;
        f.debug_struct("Client")
            .field("base", &inner.base)
            .field("settings", &inner.settings)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("url", &self.url)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_a_host_a_port_and_perhaps_a_prefix() {
        let read = |url: &str| Base::parse(url).map(|base| (base.authority, base.prefix));
        let base = |authority: &str, prefix: &str| (authority.to_owned(), prefix.to_owned());
        assert_eq!(read("http://127.0.0.1:8080").unwrap(), base("127.0.0.1:8080", ""));
        assert_eq!(read("http://[::1]:8080/").unwrap(), base("[::1]:8080", ""));
        assert_eq!(read("http://example.org/a/b/").unwrap(), base("example.org:80", "/a/b"));
        if cfg!(feature = "tls") {
            assert_eq!(read("https://example.org/a").unwrap(), base("example.org:443", "/a"));
        }
        for url in
            ["", "localhost:8080", "http://", "http://h:99999", "http://u@h", "http://h/?q=1", "ftp://h"]
        {
            assert!(matches!(read(url), Err(Error::Usage(_))), "{url}");
        }
    }
}
