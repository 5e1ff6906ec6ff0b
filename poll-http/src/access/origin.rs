//! The `Host` check, cross-site requests, and CORS.
//!
//! A browser sends requests on behalf of any page. A POST from a page of another origin is refused unless the origin is
//! allowed, whatever its content type. A server on loopback accepts only hosts that mean loopback, against DNS rebinding.
//! Other programs are not affected.

use std::net::{IpAddr, Ipv6Addr};

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, VARY,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, StatusCode, Version};

use crate::message::connection_info::Scheme;
use crate::message::head::{Field, Head, Repeated, text};
use crate::message::refusal::Refusal;

/// The fields that pages of other origins may read and send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CrossOriginFields {
    /// `Access-Control-Expose-Headers`.
    pub(crate) exposed: &'static str,
    /// `Access-Control-Allow-Headers`.
    pub(crate) allowed: &'static str,
}

/// Those of most paths.
pub(crate) const USUAL_FIELDS: CrossOriginFields = CrossOriginFields { exposed: EXPOSED, allowed: ALLOWED };
const EXPOSED: &str = "ETag, Retry-After, Location, Poll-Missed, Push-Policy, X-Request-Id";
const ALLOWED: &str = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Prefer, \
                       X-Client-ID, X-Request-Id";

/// Which origins' pages may use the server (Fetch, section 3.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Cors {
    /// Only the server's own.
    #[default]
    Off,
    /// These as well, each written `scheme://host[:port]`.
    Origins(Vec<String>),
    /// All.
    Any,
}

/// Which hosts a server answers to. Others get 421, against DNS rebinding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HostCheck {
    /// Any: the server listens beyond loopback.
    #[default]
    Off,
    /// Names of loopback, and these, without port.
    Loopback(Vec<String>),
}

/// Checks the host that the request is for (RFC 9110, section 7.2).
///
/// # Errors
/// 400 if it is missing, repeated or malformed, 421 if it is another server's (RFC 9110, section 15.5.20).
pub(crate) fn check_host(head: Head<'_>, hosts: &HostCheck) -> Result<(), Refusal> {
    if head.authority().is_none() && is_plainly_ours(head, hosts) {
        return Ok(());
    }
    let authority = authority(head)?;
    let HostCheck::Loopback(named) = hosts else { return Ok(()) };
    let Some(authority) = authority else { return Ok(()) };
    let host = authority.host();
    let ours = is_loopback(host) || named.iter().any(|name| name.eq_ignore_ascii_case(host));
    let elsewhere = || {
        let detail =
            format!("`Host`: {host} is not this server, which listens on loopback, unless --host names it");
        Refusal::new(StatusCode::MISDIRECTED_REQUEST, detail)
    };
    if ours { Ok(()) } else { Err(elsewhere()) }
}

/// Whether there is one `Host` of a common form, which needs no parser, and it is ours.
fn is_plainly_ours(head: Head<'_>, hosts: &HostCheck) -> bool {
    let Ok(Some(host)) = head.single(Field::Host) else { return false };
    let digits = host.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (name, port) = host.split_at(host.len() - digits);
    let name = match name.strip_suffix(b":") {
        Some(name) if (1..=4).contains(&digits) || (digits == 5 && port <= b"65535".as_slice()) => name,
        _ => host,
    };
    let label = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    match hosts {
        HostCheck::Off => !name.is_empty() && name.iter().all(label),
        HostCheck::Loopback(_) => name == b"localhost" || name == b"127.0.0.1",
    }
}

/// The host that the request is for: its target's, else `Host`. Only HTTP/1.0 may have none.
///
/// # Errors
/// 400 if it is missing, repeated or malformed.
pub(crate) fn authority(head: Head<'_>) -> Result<Option<Authority>, Refusal> {
    let (version, target) = (head.version(), head.authority());
    let host = head.single(Field::Host);
    let host = host.map_err(|Repeated| Refusal::bad_request("`Host` is given more than once"))?;
    // Required in HTTP/1.1, whatever the target (RFC 9112, section 3.2), and in HTTP/2 without `:authority`.
    if host.is_none() && (version == Version::HTTP_11 || (version > Version::HTTP_11 && target.is_none())) {
        return Err(Refusal::bad_request("`Host` is missing"));
    }
    let named = match host {
        None => None,
        // Empty: the target's URI has no authority.
        Some([]) if version < Version::HTTP_11 || (version == Version::HTTP_11 && target.is_some()) => None,
        Some(host) => {
            let named = Authority::try_from(host).ok().filter(is_host);
            Some(named.ok_or_else(|| Refusal::bad_request("`Host` is not a host"))?)
        }
    };
    let Some(target) = target else { return Ok(named) };
    if !is_host(target) {
        return Err(Refusal::bad_request("the authority of the target is not a host"));
    }
    // HTTP/1.1 ignores `Host` (RFC 9112, section 3.2.2); in HTTP/2 both must agree (RFC 9113, section 8.3.1).
    if version > Version::HTTP_11 && named.is_some_and(|named| !is_same(&named, target, head.scheme())) {
        return Err(Refusal::bad_request("`Host` differs from `:authority`"));
    }
    Ok(Some(target.clone()))
}

/// Whether an authority is a host with an optional port (RFC 9110, section 7.2): no user information (section 4.2.4), and
/// nothing else that [`Authority`] accepts.
fn is_host(authority: &Authority) -> bool {
    let (text, host) = (authority.as_str(), authority.host());
    let port =
        text.strip_prefix(host).and_then(|rest| rest.strip_prefix(':').or(rest.is_empty().then_some(rest)));
    let is_port = |port: &str| port.is_empty() || port.parse::<u16>().is_ok() && !port.starts_with('+');
    let name = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(literal) => literal.parse::<Ipv6Addr>().is_ok() || literal.starts_with(['v', 'V']),
        None => !host.is_empty() && !host.contains(['[', ']']),
    };
    name && port.is_some_and(is_port)
}

/// Whether two authorities of one scheme are equal (RFC 3986, section 6.2).
fn is_same(one: &Authority, other: &Authority, scheme: Option<&str>) -> bool {
    let usual = match scheme {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    };
    let port = |authority: &Authority| authority.port_u16().or(usual);
    one.host().eq_ignore_ascii_case(other.host()) && port(one) == port(other)
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase();
    let address = bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    address || name == "localhost" || name.ends_with(".localhost")
}

/// Refuses a write by a page of another origin that is not allowed. `Sec-Fetch-Site` takes precedence: the browser knows
/// what it requested, while a proxy may have rewritten the `Host` that an origin is compared with.
pub(crate) fn check_site(head: Head<'_>, scheme: Scheme, cors: &Cors) -> Result<(), Refusal> {
    if *cors == Cors::Any {
        return Ok(());
    }
    let origin = head.field(Field::Origin);
    let named = origin.is_some_and(|origin| cors.names(origin));
    let same_origin = match head.field(Field::SecFetchSite) {
        Some(site) => matches!(site, b"same-origin" | b"none"),
        None => origin.is_none_or(|origin| is_own(origin, head, scheme)),
    };
    if named || same_origin {
        return Ok(());
    }
    let detail = "`Origin`: pages of another origin may not write here unless --cors-origin names it; \
                  behind a proxy that rewrites `Host`, name the site's own or pass `Host` on";
    Err(Refusal::new(StatusCode::FORBIDDEN, detail))
}

/// Whether an origin is the request's own. It is not expected to be `http` where the connection is: a proxy may have
/// terminated TLS. Over TLS a page that came without it has another origin, as anyone on the way may have written it.
fn is_own(origin: &[u8], head: Head<'_>, scheme: Scheme) -> bool {
    let origin = text(origin).and_then(|origin| origin.split_once("://"));
    let own = authority(head).ok().flatten();
    let (Some((origin_scheme, origin)), Some(own)) = (origin, own) else { return false };
    let fits = scheme == Scheme::Http || origin_scheme.eq_ignore_ascii_case("https");
    fits && origin.eq_ignore_ascii_case(own.as_str())
}

impl Cors {
    fn names(&self, origin: &[u8]) -> bool {
        match self {
            Self::Off => false,
            Self::Any => true,
            Self::Origins(named) => named.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(origin)),
        }
    }

    /// The CORS fields of the answer; `None` if CORS is off.
    pub(crate) fn grant(&self, request: Head<'_>) -> Option<AllowedOrigin> {
        let allowed = match self {
            Self::Off => return None,
            Self::Any => request.field(Field::Origin).map(|_| HeaderValue::from_static("*")),
            // Copied: a clone would keep the whole head in memory while the request waits.
            Self::Origins(_) => request
                .field(Field::Origin)
                .filter(|origin| self.names(origin))
                .and_then(|origin| HeaderValue::from_bytes(origin).ok()),
        };
        Some(AllowedOrigin(allowed))
    }
}

/// The CORS fields of an answer (Fetch, section 3.3.3).
#[derive(Debug, Clone, Default)]
pub(crate) struct AllowedOrigin(Option<HeaderValue>);

impl AllowedOrigin {
    pub(crate) fn add_to(self, headers: &mut HeaderMap, fields: CrossOriginFields) {
        let origin = match headers.get(VARY).map(HeaderValue::as_bytes) {
            Some(others) => HeaderValue::try_from([others, b", Origin"].concat()),
            None => Ok(HeaderValue::from_static("Origin")),
        };
        // Two valid values make a valid one.
        origin.into_iter().for_each(|vary| drop(headers.insert(VARY, vary)));
        let Some(origin) = self.0 else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(fields.exposed));
    }

    /// Whether the request's origin is allowed.
    pub(crate) fn is_allowed(&self) -> bool {
        self.0.is_some()
    }
}

/// Adds the fields of a preflight's answer, if the request is one.
pub(crate) fn answer_preflight(
    request: Head<'_>,
    allow: &'static str,
    fields: CrossOriginFields,
    headers: &mut HeaderMap,
) {
    if request.field(Field::AccessControlRequestMethod).is_none() {
        return;
    }
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(allow));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(fields.allowed));
    // Ten minutes: long enough to save requests, short enough to remove an origin.
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::request::Parts;

    use super::*;

    fn head(fields: &[(&str, &str)]) -> Parts {
        let request =
            fields.iter().fold(Request::post("/"), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_loopback_names_reach_a_loopback_server() {
        let hosts = HostCheck::Loopback(vec!["poll.test".to_owned()]);
        let fine = [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:80",
            "127.9.9.9",
            "[::1]:8080",
            "a.localhost",
            "poll.test:1",
        ];
        for host in fine {
            assert_eq!(check_host((&head(&[("host", host)])).into(), &hosts), Ok(()), "{host}");
        }
        for host in ["example.com", "127.0.0.1.example.com", "10.0.0.1", "[::2]", "localhost.example"] {
            let refusal = check_host((&head(&[("host", host)])).into(), &hosts).unwrap_err();
            assert_eq!(refusal.status(), StatusCode::MISDIRECTED_REQUEST, "{host}");
        }
        for fields in [&[][..], &[("host", "a"), ("host", "b")], &[("host", "a b")]] {
            assert_eq!(
                check_host((&head(fields)).into(), &hosts).unwrap_err().status(),
                StatusCode::BAD_REQUEST
            );
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        let check = |host: &str| check_host((&head(&[("host", host)])).into(), &HostCheck::Off);
        for host in [
            "a",
            "A.b-c",
            "a_b",
            "a:",
            "a:0",
            "a:080",
            "a:65535",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:",
            "[::1]:8",
        ] {
            assert_eq!(check(host), Ok(()), "{host}");
        }
        let others = [
            "", ":80", "@a", "u@a", "u:p@a:1", "a@", "a@b@c", "a:x", "a:+1", "a:-1", "a:65536", "a:99999",
            "a:100000", "a:1:2", "a b", "a/b", "a?b", "a#b", "a\\b", "::1", "[::1", "::1]", "[::1]x",
            "[::1]:x", "[zz]", "[]", "a[b]", "[::1]@a",
        ];
        for host in others {
            assert_eq!(
                check(host).map_err(|refusal| refusal.status()),
                Err(StatusCode::BAD_REQUEST),
                "{host}"
            );
        }
    }

    #[test]
    fn a_target_with_an_authority_has_a_host_beside_it() {
        let check = |version, target: &str, hosts: &[&str]| {
            let request = Request::get(target).version(version);
            let request = hosts.iter().fold(request, |request, host| request.header("host", *host));
            check_host((&request.body(()).unwrap().into_parts().0).into(), &HostCheck::Off).is_ok()
        };
        let (old, one, two) = (Version::HTTP_10, Version::HTTP_11, Version::HTTP_2);
        let cases: [(_, _, &[&str], _); 26] = [
            (old, "http://a/", &[], true),
            (old, "/", &[], true),
            (old, "http://u@a/", &[], false),
            (old, "/", &["u@a"], false),
            (one, "http://a/", &[], false),
            (one, "http://a/", &["a"], true),
            // Ignored, yet it has to be one.
            (one, "http://a/", &["b"], true),
            (one, "http://a/", &[""], true),
            (one, "http://a/", &["b c"], false),
            (one, "http://a/", &["u@b"], false),
            (one, "http://a/", &["a", "a"], false),
            (one, "http://u@a/", &["a"], false),
            (one, "/", &[""], false),
            (two, "http://a/", &[], true),
            (two, "http://u@a/", &[], false),
            (two, "/", &[], false),
            (two, "/", &["a"], true),
            (two, "http://a:1/", &["A:1"], true),
            (two, "http://a/", &["a:80"], true),
            (two, "https://a:443/", &["a"], true),
            (two, "https://a/", &["a:80"], false),
            (two, "http://a/", &["b"], false),
            (two, "http://a:1/", &["a"], false),
            (two, "http://a/", &["a:1"], false),
            (two, "http://a/", &[""], false),
            (two, "http://a/", &["a", "a"], false),
        ];
        for (version, target, hosts, fine) in cases {
            assert_eq!(check(version, target, hosts), fine, "{version:?} {target} {hosts:?}");
        }
    }

    #[test]
    fn a_grant_keeps_nothing_of_the_head() {
        let bytes = bytes::Bytes::from(b"origin: https://app.test".to_vec());
        let mut head = head(&[]);
        head.headers.insert(http::header::ORIGIN, HeaderValue::from_maybe_shared(bytes.slice(8..)).unwrap());
        let grant = Cors::Origins(vec!["https://app.test".to_owned()]).grant((&head).into()).unwrap();
        drop(head);
        assert!(bytes.is_unique());
        assert_eq!(grant.0.unwrap(), "https://app.test");
    }

    #[test]
    fn a_page_elsewhere_may_not_write() {
        type Fields<'a> = &'a [(&'a str, &'a str)];
        let named = Cors::Origins(vec!["https://app.test".to_owned()]);
        let own = ("host", "poll.test:8080");
        let page = ("origin", "https://page.test");
        let cases: [(Fields<'_>, &Cors, bool); 15] = [
            (&[own], &Cors::Off, true),
            (&[own, ("origin", "http://poll.test:8080")], &Cors::Off, true),
            (
                &[own, ("origin", "http://poll.test:8080"), ("sec-fetch-site", "cross-site")],
                &Cors::Off,
                false,
            ),
            (&[own, ("origin", "http://poll.test")], &Cors::Off, false),
            (&[own, ("origin", "null")], &Cors::Off, false),
            (&[own, ("sec-fetch-site", "same-site")], &Cors::Off, false),
            (&[own, ("sec-fetch-site", "none")], &Cors::Off, true),
            (&[own, ("origin", "https://app.test"), ("sec-fetch-site", "cross-site")], &named, true),
            (&[own, ("origin", "https://evil.test")], &named, false),
            (&[own, ("origin", "null")], &Cors::Any, true),
            // Behind a proxy that rewrites `Host`.
            (&[own, page], &Cors::Off, false),
            (&[own, page, ("sec-fetch-site", "same-origin")], &Cors::Off, true),
            (&[own, ("origin", "null"), ("sec-fetch-site", "same-origin")], &Cors::Off, true),
            (&[own, page, ("sec-fetch-site", "cross-site")], &Cors::Off, false),
            (&[own, page, ("sec-fetch-site", "near")], &Cors::Off, false),
        ];
        for (fields, cors, fine) in cases {
            assert_eq!(
                check_site((&head(fields)).into(), Scheme::Http, cors).is_ok(),
                fine,
                "{fields:?} {cors:?}"
            );
        }
    }

    #[test]
    fn over_tls_a_page_that_came_without_it_may_not_write() {
        let cases = [
            (Scheme::Http, "http://poll.test", true),
            (Scheme::Http, "https://poll.test", true),
            (Scheme::Https, "https://poll.test", true),
            (Scheme::Https, "HTTPS://poll.test", true),
            (Scheme::Https, "http://poll.test", false),
        ];
        for (scheme, origin, fine) in cases {
            let head = head(&[("host", "poll.test"), ("origin", origin)]);
            let checked = check_site((&head).into(), scheme, &Cors::Off);
            assert_eq!(checked.is_ok(), fine, "{origin} over {scheme:?}");
        }
    }
}
