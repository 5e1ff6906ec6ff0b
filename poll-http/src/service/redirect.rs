//! Redirects every request to the same target over https.
//!
//! For a listener without TLS beside one that has it. It reads nothing of a request but whom it is for, and its id.

use http::StatusCode;

use crate::access::origin;
use crate::message::body::Body;
use crate::message::head::Head;
use crate::message::refusal::{ErrorFormat, Refusal};
use crate::message::reply::{Reply, Sniffing};
use crate::message::request::Request;
use crate::message::transfer_coding;
use crate::service::handle::Service;

/// The port that `https` URLs need not name (RFC 9110, section 4.2.2).
const USUAL: u16 = 443;

/// Answers every request with 308 (RFC 9110, section 15.4.9) to `https`, the host that the request is for, and its target
/// as it came; 400 where it is for no host.
#[derive(Clone, Debug)]
pub struct Redirect {
    service: Service,
    port: u16,
}

impl Redirect {
    /// To the same service, which speaks TLS on this port. Connections to it belong on the service's worker.
    #[must_use]
    pub fn to_https(service: Service, port: u16) -> Self {
        Self { service, port }
    }

    pub(crate) fn answer(&self, request: &Request<'_>) -> Reply {
        let reply = match location(self.port, request.head) {
            Ok(location) => Reply {
                location: Some(location.into_bytes().into()),
                ..Reply::new(StatusCode::PERMANENT_REDIRECT, Body::empty())
            },
            Err(refusal) => refusal.into_reply(ErrorFormat::ProblemJson),
        };
        Reply { sniffing: Sniffing::Forbidden, id: Some(self.service.identify(request.head)), ..reply }
    }
}

fn location(port: u16, head: Head<'_>) -> Result<String, Refusal> {
    transfer_coding::check(head)?;
    let authority = origin::authority(head)?;
    let authority = authority.ok_or_else(|| Refusal::bad_request("`Host` is missing"))?;
    // A host that was parsed, and a target that was: nothing in them ends a line.
    let mut location = format!("https://{}", authority.host());
    if port != USUAL {
        location.push_str(&format!(":{port}"));
    }
    head.with_parts(|parts| match parts.uri.path_and_query() {
        // The server as a whole has no path (RFC 9112, section 3.2.4).
        Some(target) if target != "*" => location.push_str(target.as_str()),
        _ => {}
    });
    Ok(location)
}

#[cfg(test)]
mod tests {
    use http::Version;

    use super::*;

    fn redirected(port: u16, version: Version, target: &str, fields: &[(&str, &str)]) -> Option<String> {
        let request = http::Request::get(target).version(version);
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        location(port, (&parts).into()).ok()
    }

    #[test]
    fn the_target_is_kept_as_it_came_and_the_port_is_ours() {
        let eleven =
            |port, target: &str, host: &str| redirected(port, Version::HTTP_11, target, &[("host", host)]);
        for (port, target, host, expected) in [
            (443, "/", "poll.test", Some("https://poll.test/")),
            (8443, "/", "poll.test", Some("https://poll.test:8443/")),
            (443, "/a%2Fb?c=%0d%0a&d", "poll.test:8080", Some("https://poll.test/a%2Fb?c=%0d%0a&d")),
            (443, "/a?", "poll.test", Some("https://poll.test/a?")),
            (443, "//evil.test/", "poll.test", Some("https://poll.test//evil.test/")),
            (443, "/../x", "POLL.test.", Some("https://POLL.test./../x")),
            (8443, "/", "[::1]:80", Some("https://[::1]:8443/")),
            (8443, "http://other.test:80/a?b", "poll.test", Some("https://other.test:8443/a?b")),
            (443, "http://other.test", "poll.test", Some("https://other.test/")),
            (443, "*", "poll.test", Some("https://poll.test")),
            (443, "/", "", None),
            (443, "/", "a@b", None),
            (443, "/", "a/b", None),
            (443, "/", "a b", None),
            (443, "/", "a:b", None),
            (443, "/", "a:99999", None),
            (443, "/", "[::1", None),
            (443, "/", "a?b", None),
            (443, "/", "a#b", None),
            (443, "/", "http://a", None),
        ] {
            assert_eq!(eleven(port, target, host).as_deref(), expected, "{target} of {host:?}");
        }
    }

    #[test]
    fn without_a_host_there_is_nowhere_to_go() {
        assert_eq!(redirected(443, Version::HTTP_11, "/", &[]), None);
        assert_eq!(redirected(443, Version::HTTP_10, "/", &[]), None);
        assert_eq!(redirected(443, Version::HTTP_11, "/", &[("host", "a"), ("host", "b")]), None);
        let old = redirected(443, Version::HTTP_10, "/", &[("host", "a")]);
        assert_eq!(old.as_deref(), Some("https://a/"));
        let two = redirected(443, Version::HTTP_2, "http://a/b", &[]);
        assert_eq!(two.as_deref(), Some("https://a/b"));
    }
}
