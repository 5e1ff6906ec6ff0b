//! Builds a service.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwap;

use http::request::Parts;
use poll_core::environment::Environment;
use poll_core::{ChannelName, Published, Store};

use crate::access::admission::Admission;
use crate::access::authority::{Authorities, Authority};
use crate::access::client::Proxies;
use crate::message::access_log::{AccessLog, AccessRecord};
use crate::message::connection_record::Connections;
use crate::message::refusal::Refusal;
use crate::pattern::subscription::{Hub, WebhookClient};
use crate::presence::Presence;
use crate::service::handle::Service;
use crate::service::openapi;
use crate::service::program::{Ask, Check, MetricsText, Program, Ready, Reserved};
use crate::service::site::Site;
use crate::worker::drain::Drain;
use crate::worker::metrics::Metrics;
use crate::worker::settings::{DurableStreams, KeepPresence, ServiceSettings};
use crate::worker::shared::{Hook, Server};

/// Collects what a [`Service`] needs; everything but the store has a default.
///
/// The options of the golongpoll library:
///
/// | there | here |
/// | --- | --- |
/// | `MaxLongpollTimeoutSeconds` | [`ServiceSettings::golongpoll_most_seconds`] |
/// | `DeleteEventAfterFirstRetrieval` | [`ServiceSettings::golongpoll_after_delivery`]; under a [`Mount`](crate::Mount) an event counts as given once the other server has taken it |
/// | `MaxEventBufferSize`, `EventTimeToLiveSeconds` | [`Retention`](poll_core::Retention) of the store; its `golongpoll()` has that library's defaults |
/// | `LoggingEnabled` | a `tracing` subscriber of the program's that takes `poll_http=debug` |
/// | `manager.Publish` | [`Service::publish`] |
/// | a handler around `SubscriptionHandler` | [`check`](Self::check) |
#[must_use]
pub struct Builder {
    store: Store,
    settings: ServiceSettings,
    environment: Option<Environment>,
    drain: Drain,
    metrics: Metrics,
    metrics_text: MetricsText,
    ready: Ready,
    site: Site,
    check: Option<Check>,
    authority: Option<Arc<dyn Authority>>,
    hooks: Vec<Hook>,
    access_log: Option<AccessLog>,
    webhooks: Option<Arc<dyn WebhookClient>>,
}

impl Builder {
    fn new(store: Store) -> Self {
        Self {
            store,
            settings: ServiceSettings::default(),
            environment: None,
            drain: Drain::new(),
            metrics: Metrics::new(),
            metrics_text: Arc::new(String::new),
            ready: Arc::new(|| Ok(String::new())),
            site: Site::default(),
            check: None,
            authority: None,
            hooks: Vec::new(),
            access_log: None,
            webhooks: None,
        }
    }

    /// Bounds and switches.
    pub fn settings(self, settings: ServiceSettings) -> Self {
        Self { settings, ..self }
    }

    /// The source of time and randomness. Default: the store's environment.
    pub fn environment(self, environment: Environment) -> Self {
        Self { environment: Some(environment), ..self }
    }

    /// The handle by which the server announces that it shuts down.
    pub fn drain(self, drain: Drain) -> Self {
        Self { drain, ..self }
    }

    /// The counters.
    pub fn metrics(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// The text of `/metrics`, in the Prometheus text format.
    pub fn metrics_text(self, text: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self { metrics_text: Arc::new(text), ..self }
    }

    /// The readiness check behind `/readyz`; its text becomes a line of the response, such as a warning.
    pub fn ready(self, ready: impl Fn() -> Result<String, String> + Send + Sync + 'static) -> Self {
        Self { ready: Arc::new(ready), ..self }
    }

    /// The page at `/`.
    pub fn site(self, site: Site) -> Self {
        Self { site, ..self }
    }

    /// Who judges tokens, in place of the [static ones](ServiceSettings::access). It may be
    /// [replaced](Service::replace_authority) while the service runs.
    pub fn authority(self, authority: impl Authority) -> Self {
        Self { authority: Some(Arc::new(authority)), ..self }
    }

    /// The program's access check: called after tokens and limits, before anything is read, waited for or published. A
    /// refusal is written in the format of the dialect. Called on the worker's thread, so it must not block: authenticate
    /// users beforehand, and pass them on in the request's extensions.
    ///
    /// Not called for resources without a channel: `/healthz`, `/readyz`, `/metrics` and the files of the site.
    pub fn check(
        self,
        check: impl Fn(&Parts, Ask<'_>) -> Result<(), Refusal> + Send + Sync + 'static,
    ) -> Self {
        Self { check: Some(Arc::new(check)), ..self }
    }

    /// Calls a hook for each publish through this service, [the program's own](Service::publish) and others', once all
    /// readers can see it; not for a repetition under an idempotency key. Called without any lock, before the publisher
    /// is answered, so it must not block. Publishes that overlap may come in either order: their stamps show which was
    /// first. Several hooks may be set.
    pub fn on_publish(mut self, hook: impl Fn(&ChannelName, &Published) + Send + Sync + 'static) -> Self {
        self.hooks.push(Arc::new(hook));
        self
    }

    /// Calls a hook for each request once its answer has ended, however it ended. Without one, nothing is recorded.
    pub fn access_log(self, log: impl Fn(&AccessRecord<'_>) + Send + Sync + 'static) -> Self {
        Self { access_log: Some(Arc::new(log)), ..self }
    }

    /// Offers subscriptions to streams, whose webhooks this sends. They work while
    /// [`run_subscriptions`](Service::run_subscriptions) does. Servers whose stores follow one log share them.
    pub fn subscriptions(self, webhooks: impl WebhookClient) -> Self {
        Self { webhooks: Some(Arc::new(webhooks)), ..self }
    }

    /// Builds the service. A server with several threads makes one for each of them with [`Service::for_worker`].
    #[must_use]
    pub fn build(self) -> Service {
        let authority = self.authority.unwrap_or_else(|| Arc::new(self.settings.access.clone()));
        let environment = self.environment.unwrap_or_else(|| self.store.environment().clone());
        let presence = (self.settings.presence == KeepPresence::On).then(|| {
            let gauges = self.metrics.presence.clone();
            Presence::new(self.store.clone(), environment.clone(), gauges)
        });
        let reserved = if presence.is_some() { Reserved::Presence } else { Reserved::Nothing };
        let hub = |webhooks| Hub::new(self.store.clone(), environment.clone(), webhooks);
        let spoken = self.settings.durable_streams == DurableStreams::On;
        let subscriptions = self.webhooks.filter(|_| spoken).map(hub);
        let connections = Arc::new(Connections::new(environment.random()));
        let server = Server {
            authorities: Authorities::new(authority),
            administration: ArcSwap::from_pointee(self.settings.administration.clone()),
            admission: Admission::new(self.settings.limits, self.store.memory().clone()),
            proxies: Proxies::new(self.settings.trusted_proxies.clone()),
            environment,
            presence,
            store: self.store,
            settings: self.settings,
            drain: self.drain,
            metrics: self.metrics,
            hooks: self.hooks,
            access_log: self.access_log,
            connections,
            demo_jobs: Arc::default(),
            workers: AtomicUsize::new(0),
        };
        let Self { check, ready, metrics_text, site, .. } = self;
        Service::new(
            Arc::new(server),
            Program {
                check,
                ready,
                metrics_text,
                site,
                reserved,
                openapi: openapi::Shared::default(),
                subscriptions,
            },
        )
    }
}

impl Service {
    /// Begins a service on top of `store`.
    pub fn builder(store: Store) -> Builder {
        Builder::new(store)
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("settings", &self.settings).finish_non_exhaustive()
    }
}
