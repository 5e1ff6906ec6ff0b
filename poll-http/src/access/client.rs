//! Client identity: the name that a client's certificate proves or that it gives itself, and its address.
//!
//! The address is the socket's, unless the peer is a trusted proxy. Forwarding fields from anyone else are ignored.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use poll_core::Timestamp;

use crate::access::authority::Grant;
use crate::message::access_log::Logged;
use crate::message::connection_info::{ConnectionInfo, Scheme};
use crate::message::connection_record::ConnectionRecord;
use crate::message::head::{Field, FieldSet, Head, text};
use crate::message::refusal::Refusal;

const FORWARDING: FieldSet = FieldSet::of([Field::XForwardedFor, Field::XRealIp]);
const CLIENT_FIELDS: FieldSet = FieldSet::of([Field::XClientId, Field::XForwardedFor, Field::XRealIp]);

/// A client.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// The subject of its token or of its certificate, or else `X-Client-ID`.
    pub(crate) name: Option<Arc<str>>,
    /// The address by which limits count, from [`rate_limit_address`].
    pub(crate) address: IpAddr,
    /// How long it may wait.
    pub(crate) expiry: Expiry,
    /// Its request in the access log.
    pub(crate) logged: Logged,
    /// Its connection, where operators see it.
    pub(crate) record: Option<ConnectionRecord>,
}

/// When a client's token ends: a whole second since the Unix epoch, so that it fits beside the address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Expiry(Option<NonZeroU32>);

impl Expiry {
    /// Never.
    pub(crate) const NEVER: Self = Self(None);

    /// At a time, which is rounded up.
    fn at(time: Timestamp) -> Self {
        let seconds = time.as_micros().div_ceil(1_000_000).max(1);
        Self(u32::try_from(seconds).ok().and_then(NonZeroU32::new))
    }

    /// How long that is from now, which is read only if it matters; `None` for ever.
    pub(crate) fn left(self, now: impl FnOnce() -> Timestamp) -> Option<Duration> {
        let seconds = u64::from(self.0?.get());
        Some(Timestamp::from_micros(seconds * 1_000_000).since(now()))
    }
}

/// The proxies whose forwarding fields are believed.
#[derive(Debug, Default)]
pub(crate) struct Proxies {
    trusted: Vec<IpNet>,
    warned: AtomicBool,
}

impl Client {
    const MOST_NAME_BYTES: usize = 256;

    pub(crate) fn from_request(
        connection: &ConnectionInfo,
        head: Head<'_>,
        proxies: &Proxies,
        logged: &Logged,
    ) -> Result<Self, Refusal> {
        let (logged, record) = (logged.clone(), connection.record.clone());
        let peer = connection.peer.ip();
        let proved = connection.secured.as_ref().and_then(|secured| secured.client.clone());
        // Few requests do.
        if !head.has_any(CLIENT_FIELDS) {
            let address = rate_limit_address(peer.to_canonical());
            return Ok(Self { name: proved, address, expiry: Expiry::NEVER, logged, record });
        }
        let claimed = match head.field(Field::XClientId).filter(|name| !name.is_empty()) {
            None => None,
            Some(name) => {
                let name = text(name).filter(|name| name.len() <= Self::MOST_NAME_BYTES);
                let malformed =
                    || Refusal::bad_request("`X-Client-ID` must be at most 256 visible characters");
                Some(name.ok_or_else(malformed)?.into())
            }
        };
        let address = rate_limit_address(proxies.address(peer, head));
        Ok(Self { name: proved.or(claimed), address, expiry: Expiry::NEVER, logged, record })
    }

    /// The same client, holding a token: under the token's name, and for as long as that lasts.
    pub(crate) fn holding(self, grant: &Grant) -> Self {
        let expiry = grant.expires.map_or(Expiry::NEVER, Expiry::at);
        Self { name: grant.subject.clone().or(self.name), expiry, ..self }.noted()
    }

    /// The same client, of which its connection's record says who it is.
    pub(crate) fn noted(self) -> Self {
        if let Some(record) = &self.record {
            record.client(self.name.as_ref(), self.address);
        }
        self
    }
}

impl Proxies {
    pub(crate) fn new(trusted: Vec<IpNet>) -> Self {
        Self { trusted, warned: AtomicBool::new(false) }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|net| net.contains(&address))
    }

    /// The scheme by which the client reached the server. A trusted proxy says it; of several, the first one.
    pub(crate) fn scheme(&self, connection: &ConnectionInfo, head: Head<'_>) -> Scheme {
        let said = head.field(Field::XForwardedProto);
        let said = said.filter(|_| self.trusts(connection.peer.ip().to_canonical()));
        match said.and_then(|said| said.split(|byte| *byte == b',').next()).map(<[u8]>::trim_ascii) {
            Some(said) if said.eq_ignore_ascii_case(b"https") => Scheme::Https,
            Some(said) if said.eq_ignore_ascii_case(b"http") => Scheme::Http,
            _ => connection.scheme(),
        }
    }

    /// The address of the last hop that is not a trusted proxy.
    pub(crate) fn address(&self, peer: IpAddr, head: Head<'_>) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            let forwarded = head.has_any(FORWARDING);
            if forwarded && !self.warned.swap(true, Ordering::Relaxed) {
                tracing::warn!(%peer, "ignoring forwarding headers: the peer is not a --trusted-proxy");
            }
            return peer;
        }
        if head.field(Field::XForwardedFor).is_some() {
            // Each proxy appends the address it received the request from. What precedes an untrusted hop cannot be
            // relied on; if that hop is not an address, the peer's has to do.
            let hops = head.fields(Field::XForwardedFor).flat_map(|line| line.split(|byte| *byte == b','));
            let hops = hops.map(<[u8]>::trim_ascii).filter(|hop| !hop.is_empty());
            let last = hops.map(address).filter(|hop| hop.is_none_or(|hop| !self.trusts(hop))).last();
            return last.flatten().unwrap_or(peer);
        }
        head.field(Field::XRealIp).map(<[u8]>::trim_ascii).and_then(address).unwrap_or(peer)
    }
}

/// An address with or without a port, as proxies write them.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?;
    let bare = hop.strip_prefix('[').and_then(|hop| hop.split_once(']')).map_or(hop, |(address, _)| address);
    let parsed = bare.parse().ok();
    let parsed = parsed.or_else(|| hop.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()));
    parsed.map(|address: IpAddr| address.to_canonical())
}

/// The address by which limits count: in IPv6 the /64 prefix, because a host has that many addresses.
#[must_use]
pub fn rate_limit_address(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::connection_info::{EarlyHints, Protocol, PushPolicy, Secured, Unread};

    fn by(peer: &str) -> ConnectionInfo {
        ConnectionInfo {
            peer: (peer.parse::<IpAddr>().unwrap(), 1).into(),
            secured: None,
            protocol: Protocol::Http11,
            push: PushPolicy::Off,
            early_hints: EarlyHints::None,
            unread: Unread::Little,
            record: None,
        }
    }

    #[test]
    fn only_a_trusted_proxy_says_by_which_scheme_a_client_came() {
        for (peer, said, expected) in [
            ("10.0.0.1", None, Scheme::Http),
            ("10.0.0.1", Some("https"), Scheme::Https),
            ("::ffff:10.0.0.1", Some("HTTPS"), Scheme::Https),
            ("10.0.0.1", Some("https, http"), Scheme::Https),
            ("10.0.0.1", Some(" http ,https"), Scheme::Http),
            ("10.0.0.1", Some("wss"), Scheme::Http),
            ("10.0.0.1", Some(""), Scheme::Http),
            ("9.9.9.9", Some("https"), Scheme::Http),
        ] {
            let (mut head, ()) = http::Request::new(()).into_parts();
            if let Some(said) = said {
                head.headers.append("x-forwarded-proto", http::HeaderValue::from_static(said));
            }
            let proxies = Proxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
            assert_eq!(proxies.scheme(&by(peer), (&head).into()), expected, "{peer} {said:?}");
        }
    }

    fn at<V: AsRef<[u8]> + ?Sized>(peer: &str, fields: &[(&'static str, &V)]) -> String {
        let (mut head, ()) = http::Request::new(()).into_parts();
        for (name, value) in fields {
            head.headers.append(*name, http::HeaderValue::from_bytes((*value).as_ref()).unwrap());
        }
        let proxies = Proxies::new(vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
        Client::from_request(&by(peer), (&head).into(), &proxies, &Logged::default())
            .unwrap()
            .address
            .to_string()
    }

    const FORWARDED: &str = "x-forwarded-for";

    #[test]
    fn a_certificate_names_the_client_whatever_the_client_calls_itself() {
        let name = |subject: Option<&str>, claimed: Option<&'static str>| {
            let (mut head, ()) = http::Request::new(()).into_parts();
            head.headers.extend(claimed.map(|name| {
                (http::HeaderName::from_static("x-client-id"), http::HeaderValue::from_static(name))
            }));
            let secured = Some(Arc::new(Secured { client: subject.map(Into::into) }));
            let connection = ConnectionInfo { secured, ..by("192.0.2.1") };
            let client =
                Client::from_request(&connection, (&head).into(), &Proxies::default(), &Logged::default());
            client.unwrap().name.map(|name| name.to_string())
        };
        assert_eq!(name(None, None), None);
        assert_eq!(name(None, Some("me")).as_deref(), Some("me"));
        assert_eq!(name(Some("CN=a"), None).as_deref(), Some("CN=a"));
        assert_eq!(name(Some("CN=a"), Some("me")).as_deref(), Some("CN=a"));
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(at("1.2.3.4", &[(FORWARDED, "9.9.9.9")]), "1.2.3.4");
        assert_eq!(at("1.2.3.4", &[("x-real-ip", "9.9.9.9")]), "1.2.3.4");
        assert_eq!(at("10.0.0.1", &[(FORWARDED, "6.6.6.6, 9.9.9.9, 10.0.0.2")]), "9.9.9.9");
        assert_eq!(at("10.0.0.1", &[(FORWARDED, "10.0.0.3, 10.0.0.2")]), "10.0.0.1");
        assert_eq!(at::<str>("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(at("::1", &[(FORWARDED, "[2001:db8:1:2:3::4]:80")]), "2001:db8:1:2::");
        assert_eq!(at::<str>("::ffff:1.2.3.4", &[]), "1.2.3.4");
    }

    #[test]
    fn lines_of_one_field_are_one_list() {
        assert_eq!(at("10.0.0.1", &[(FORWARDED, "6.6.6.6"), (FORWARDED, "9.9.9.9:123")]), "9.9.9.9");
        assert_eq!(at("10.0.0.1", &[(FORWARDED, "9.9.9.9"), (FORWARDED, "10.0.0.2")]), "9.9.9.9");
        assert_eq!(at("10.0.0.1", &[(FORWARDED, "9.9.9.9"), (FORWARDED, "")]), "9.9.9.9");
    }

    /// What a client sends stands in front of what the proxy adds, often in the same line.
    #[test]
    fn a_hop_is_judged_by_itself_whatever_stands_in_the_others() {
        for odd in [&b"\xe9"[..], b"\xff\xff", b"a\tb", b"unknown", b"6.6.6.6, \x80", b"\"", b"", b","] {
            let line = [odd, b", 9.9.9.9"].concat();
            assert_eq!(at("10.0.0.1", &[(FORWARDED, &line)]), "9.9.9.9", "{odd:?}");
            let line = [&line[..], b", 10.0.0.2"].concat();
            assert_eq!(at("10.0.0.1", &[(FORWARDED, &line)]), "9.9.9.9", "{odd:?}");
            assert_eq!(at("10.0.0.1", &[(FORWARDED, odd), (FORWARDED, b"9.9.9.9")]), "9.9.9.9", "{odd:?}");
        }
        // A proxy that does not say whom it speaks for is all that is known.
        for hops in ["6.6.6.6, unknown", "6.6.6.6, unknown, 10.0.0.2"] {
            assert_eq!(at("10.0.0.1", &[(FORWARDED, hops)]), "10.0.0.1", "{hops}");
        }
    }

    #[test]
    fn x_real_ip_counts_only_where_no_hops_are_told() {
        let real = ("x-real-ip", &b"7.7.7.7"[..]);
        assert_eq!(at("10.0.0.1", &[real]), "7.7.7.7");
        for hops in [&b"9.9.9.9"[..], b"\xe9, 9.9.9.9"] {
            assert_eq!(at("10.0.0.1", &[real, (FORWARDED, hops)]), "9.9.9.9", "{hops:?}");
        }
        for hops in [&b""[..], b",", b"\xe9", b"unknown", b"10.0.0.2", b"9.9.9.9, unknown"] {
            assert_eq!(at("10.0.0.1", &[real, (FORWARDED, hops)]), "10.0.0.1", "{hops:?}");
        }
    }
}
