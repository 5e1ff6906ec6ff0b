//! A [`Service`] under a path of another server: hyper's, axum's, or any that accepts a `tower` service.
//!
//! That server accepts connections and has its own timeouts for heads, writes and idle peers. Here a prefix is removed from
//! a request's path, and added to paths in the response. Pushes and 103 need our own [`serve`](crate::serve), and are off.
//!
//! ```
//! use poll_core::{ChannelName, Payload, Publish, Retention, Store};
//! use poll_http::{Mount, Service};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let service = Service::builder(Store::in_memory(Retention::golongpoll())).build();
//! let orders = ChannelName::parse("orders")?;
//! service.publish(&orders, Publish::one(Payload::text("shipped"))).await?;
//!
//! // In hyper: `service_fn(move |request| async move { Ok::<_, Infallible>(mount.answer(request, peer).await) })`.
//! // In axum: `Router::new().route_service("/news/{*path}", mount)`.
//! let mount = Mount::new(service, "/news");
//! let request = http::Request::get("http://localhost/news/api/poll?channel=orders");
//! let answer = mount.answer(request.body(String::new())?, ([127, 0, 0, 1], 4711).into()).await;
//! assert_eq!(answer.status(), 200);
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Once};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri, Version};

use crate::message::body::Body;
use crate::message::connection_info::{ConnectionInfo, EarlyHints, Protocol, PushPolicy, Unread};
use crate::message::request::Request as Asked;
use crate::message::request_body::RequestBody;
use crate::service::answering::Answering;
use crate::service::handle::Service;
use crate::service::openapi::Prefix;
use crate::service::router::Target;

/// A service at a path of another server. A clone is the same mount.
///
/// It runs on any tokio runtime. [`Service::drive`] need not run beside it, unless a [`Drain`](crate::Drain) is to end what
/// waits: then spawn it once.
#[derive(Clone)]
pub struct Mount {
    service: Service,
    prefix: Arc<str>,
    paths: Paths,
    peer_of: Arc<PeerOf>,
}

type PeerOf = dyn Fn(&Parts) -> Option<SocketAddr> + Send + Sync;

/// The form of the paths that arrive here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paths {
    Whole,
    /// A router has removed the prefix.
    Cut,
}

impl Mount {
    /// The service at the paths below `prefix`, such as `/news`; with `/` or nothing, at all paths. A request for
    /// any other path is 404.
    #[must_use]
    pub fn new(service: Service, prefix: &str) -> Self {
        let bare = prefix.trim_matches('/');
        let prefix = if bare.is_empty() { String::new() } else { format!("/{bare}") };
        Self { service, prefix: prefix.into(), paths: Paths::Whole, peer_of: Arc::new(|_| None) }
    }

    /// The same after a router that removes the prefix itself, as axum's `nest_service` does: it is only added to paths
    /// in responses.
    #[must_use]
    pub fn nested(service: Service, prefix: &str) -> Self {
        Self { paths: Paths::Cut, ..Self::new(service, prefix) }
    }

    /// How to find the peer of a request, if the server calls this as its service: in axum
    /// `|head| head.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0)`. Without it all requests count
    /// as one address's, with that address's share of the limits.
    #[must_use]
    pub fn peer_of(self, peer_of: impl Fn(&Parts) -> Option<SocketAddr> + Send + Sync + 'static) -> Self {
        Self { peer_of: Arc::new(peer_of), ..self }
    }

    /// Answers one request. Whatever needs no waiting is done in the call: a publish whose content has arrived, to a store
    /// in memory, has happened when it returns. Dropping the response, or its body, frees everything that it holds.
    pub fn answer<B>(&self, request: Request<B>, peer: SocketAddr) -> Mounted
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (mut head, body) = request.into_parts();
        if self.paths == Paths::Whole && !self.prefix.is_empty() {
            let Some(uri) = below(&self.prefix, &head.uri) else {
                let answering = self.service.not_found((&head).into());
                return Mounted { answering, prefix: Arc::clone(&self.prefix) };
            };
            head.uri = uri;
        }
        if !self.prefix.is_empty() && Target::of(head.uri.path()) == Ok(Target::OpenApi) {
            head.extensions.insert(Prefix::new(&self.prefix));
        }
        // Whether a target needs a Host besides its own authority was that server's to check.
        if let Some(authority) = head.uri.authority()
            && !head.headers.contains_key(HOST)
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            head.headers.insert(HOST, host);
        }
        let connection = ConnectionInfo {
            peer,
            // What that server does is not known here.
            secured: None,
            protocol: match head.version {
                Version::HTTP_09 | Version::HTTP_10 => Protocol::Http10,
                Version::HTTP_11 => Protocol::Http11,
                // HTTP/3 has the same semantics.
                _ => Protocol::Http2,
            },
            push: PushPolicy::Off,
            early_hints: EarlyHints::None,
            unread: Unread::Little,
            record: None,
        };
        let answering = self.service.dispatch(Asked::new(&head, RequestBody::stream(body)), &connection);
        Mounted { answering, prefix: Arc::clone(&self.prefix) }
    }

    fn call<B>(&self, request: Request<B>) -> Mounted
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let peer = (self.peer_of)(&head).unwrap_or_else(unknown_peer);
        self.answer(Request::from_parts(head, body), peer)
    }
}

/// The target without the prefix; `None` if it does not have it.
fn below(prefix: &str, uri: &Uri) -> Option<Uri> {
    let rest = uri.path().strip_prefix(prefix)?;
    let path = if rest.is_empty() { "/" } else { rest };
    if !path.starts_with('/') {
        return None;
    }
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

/// Where the path of a URL begins, or of a reference that is a path alone.
fn path_at(location: &[u8]) -> usize {
    let scheme = location.windows(3).position(|part| part == b"://");
    let host = scheme.filter(|at| !location[..*at].contains(&b'/')).map_or(0, |at| at + 3);
    location[host..].iter().position(|byte| *byte == b'/').map_or(location.len(), |at| host + at)
}

fn unknown_peer() -> SocketAddr {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        tracing::warn!(
            "requests come without a peer address (Mount::peer_of): they share one address's limits"
        );
    });
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
}

/// The response of a [`Mount`], now or later.
#[must_use = "an answer is given by awaiting it"]
pub struct Mounted {
    answering: Answering,
    prefix: Arc<str>,
}

impl Future for Mounted {
    type Output = Response<Body>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<Body>> {
        let mut reply = std::task::ready!(Pin::new(&mut self.answering).poll(cx));
        if let Some(location) = &mut reply.location {
            let at = path_at(location);
            *location = [&location[..at], self.prefix.as_bytes(), &location[at..]].concat().into();
        }
        Poll::Ready(reply.into_response().map(Body::written_when_taken))
    }
}

/// [`Mounted`] as `tower` services return it; it never fails.
#[must_use = "an answer is given by awaiting it"]
pub struct Called(Mounted);

impl Future for Called {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(Ok)
    }
}

impl<B> hyper::service::Service<Request<B>> for Mount
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Called;

    fn call(&self, request: Request<B>) -> Called {
        Called(self.call(request))
    }
}

impl<B> tower_service::Service<Request<B>> for Mount
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Called;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Called {
        Called(Self::call(self, request))
    }
}

impl std::fmt::Debug for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mount")
            .field("prefix", &self.prefix)
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_location_is_found() {
        for (location, path) in
            [("/a/b", "/a/b"), ("http://h:1/a", "/a"), ("https://h/a://b", "/a://b"), ("/a://b", "/a://b")]
        {
            assert_eq!(&location[path_at(location.as_bytes())..], path);
        }
    }

    #[test]
    fn only_whole_segments_are_a_prefix() {
        let cut = |target: &str| below("/news", &target.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(cut("/news").as_deref(), Some("/"));
        assert_eq!(cut("/news?a=%2F").as_deref(), Some("/?a=%2F"));
        assert_eq!(cut("/news/api/poll?a=b").as_deref(), Some("/api/poll?a=b"));
        assert_eq!(cut("http://h:1/news/x").as_deref(), Some("http://h:1/x"));
        for outside in ["/newsletter", "/", "/a/news", "/NEWS/x"] {
            assert_eq!(cut(outside), None, "{outside}");
        }
    }
}
