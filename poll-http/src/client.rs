//! Who asks: the name a client gives itself, and the address it comes from.
//!
//! An address is what the socket says, unless the peer is a trusted proxy; what a stranger writes into
//! forwarding fields is ignored.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ipnet::IpNet;

use crate::error::Refusal;
use crate::head::{Field, FieldSet, Head, text};

const FORWARDING: FieldSet = FieldSet::of([Field::XForwardedFor, Field::XRealIp]);
const SAID_OF_CLIENTS: FieldSet = FieldSet::of([Field::XClientId, Field::XForwardedFor, Field::XRealIp]);

/// One who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    /// `X-Client-ID`, where one is given.
    pub(crate) name: Option<Arc<str>>,
    /// The address that limits count: a whole /64 in IPv6, because one host has that many.
    pub(crate) address: IpAddr,
}

/// The proxies whose forwarding fields are believed.
#[derive(Debug, Default)]
pub(crate) struct Proxies {
    trusted: Vec<IpNet>,
    warned: AtomicBool,
}

impl Client {
    const MOST_NAME_BYTES: usize = 256;

    pub(crate) fn of(peer: IpAddr, head: Head<'_>, proxies: &Proxies) -> Result<Self, Refusal> {
        // Few requests have any of these.
        if !head.has_any(SAID_OF_CLIENTS) {
            return Ok(Self { name: None, address: counted(peer.to_canonical()) });
        }
        let name = match head.field(Field::XClientId).filter(|name| !name.is_empty()) {
            None => None,
            Some(name) => {
                let name = text(name).filter(|name| name.len() <= Self::MOST_NAME_BYTES);
                let malformed =
                    || Refusal::bad_request("`X-Client-ID` must be at most 256 visible characters");
                Some(name.ok_or_else(malformed)?.into())
            }
        };
        Ok(Self { name, address: counted(proxies.address(peer, head)) })
    }
}

impl Proxies {
    pub(crate) fn new(trusted: Vec<IpNet>) -> Self {
        Self { trusted, warned: AtomicBool::new(false) }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|net| net.contains(&address))
    }

    /// The last hop that is no trusted proxy.
    fn address(&self, peer: IpAddr, head: Head<'_>) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            let forwarded = head.has_any(FORWARDING);
            if forwarded && !self.warned.swap(true, Ordering::Relaxed) {
                tracing::warn!(%peer, "ignoring forwarding headers: the peer is not a --trusted-proxy");
            }
            return peer;
        }
        let fields: Vec<&str> = head.texts(Field::XForwardedFor).collect();
        let mut hops = fields.iter().rev().flat_map(|field| field.rsplit(','));
        // A hop that is no address was written by somebody who cannot be trusted to know the ones before it.
        let hop = hops.by_ref().map_while(|hop| address(hop.trim())).find(|hop| !self.trusts(*hop));
        let real = || text(head.field(Field::XRealIp)?).and_then(|real| address(real.trim()));
        hop.or_else(real).unwrap_or(peer)
    }
}

/// An address with or without a port, as proxies write them.
fn address(text: &str) -> Option<IpAddr> {
    let bare =
        text.strip_prefix('[').and_then(|text| text.split_once(']')).map_or(text, |(address, _)| address);
    let parsed = bare.parse().ok();
    let parsed = parsed.or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()));
    parsed.map(|address: IpAddr| address.to_canonical())
}

fn counted(address: IpAddr) -> IpAddr {
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

    fn at(peer: &str, fields: &[(&'static str, &str)]) -> String {
        let (mut head, ()) = http::Request::new(()).into_parts();
        for (name, value) in fields {
            head.headers.append(*name, value.parse().unwrap());
        }
        let proxies = Proxies::new(vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
        Client::of(peer.parse().unwrap(), (&head).into(), &proxies).unwrap().address.to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let forwarded = "x-forwarded-for";
        assert_eq!(at("1.2.3.4", &[(forwarded, "9.9.9.9")]), "1.2.3.4");
        assert_eq!(at("10.0.0.1", &[(forwarded, "6.6.6.6, 9.9.9.9, 10.0.0.2")]), "9.9.9.9");
        assert_eq!(at("10.0.0.1", &[(forwarded, "6.6.6.6"), (forwarded, "9.9.9.9:123")]), "9.9.9.9");
        assert_eq!(
            at("10.0.0.1", &[(forwarded, "6.6.6.6, junk, 10.0.0.2"), ("x-real-ip", "7.7.7.7")]),
            "7.7.7.7"
        );
        assert_eq!(at("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(at("::1", &[(forwarded, "[2001:db8:1:2:3::4]:80")]), "2001:db8:1:2::");
        assert_eq!(at("::ffff:1.2.3.4", &[]), "1.2.3.4");
    }
}
