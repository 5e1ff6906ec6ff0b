//! The name of a stream in its path.

use percent_encoding::percent_decode_str;
use poll_core::ChannelName;

use crate::access::origin;
use crate::message::connection_info::Scheme;
use crate::message::head::Head;
use crate::message::percent_encoding::is_encoded;
use crate::message::refusal::Refusal;

/// What the path of every stream begins with.
pub(crate) const ROOT: &str = "/v1/stream/";
/// Names that begin with this are the protocol's own.
pub(crate) const RESERVED: &str = "__ds/";

/// The channel of a stream, from what follows the [root](ROOT) in its path; `/` belongs to the name.
///
/// # Errors
/// 400 if the name is malformed, 404 if it is the protocol's own.
pub(crate) fn name(path: &str) -> Result<ChannelName, Refusal> {
    let not_text = || Refusal::bad_request("the path is not percent-encoded UTF-8");
    if !is_encoded(path.as_bytes()) {
        return Err(not_text());
    }
    let name = percent_decode_str(path).decode_utf8().map_err(|_| not_text())?;
    if name.starts_with(RESERVED) {
        return Err(Refusal::not_found());
    }
    Ok(ChannelName::parse(&name)?)
}

/// The URL of the stream that a request names, as the request names it.
///
/// # Errors
/// 400 without a host.
pub(crate) fn location(head: Head<'_>, scheme: Scheme) -> Result<String, Refusal> {
    Ok(base(head, scheme)? + head.path())
}

/// The server's own address, as the request names it; nothing if it is of HTTP/1.0 and has no host.
///
/// # Errors
/// 400 if the host is malformed.
pub(crate) fn base(head: Head<'_>, scheme: Scheme) -> Result<String, Refusal> {
    let scheme = match scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    Ok(origin::authority(head)?.map_or_else(String::new, |authority| format!("{scheme}://{authority}")))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn a_name_is_the_rest_of_the_path() {
        let parsed =
            |path: &str| name(path).map(|name| name.as_str().to_owned()).map_err(|refusal| refusal.status());
        assert_eq!(parsed("a/b%20c%2Fd").as_deref(), Ok("a/b c/d"));
        assert_eq!(parsed("/").as_deref(), Ok("/"));
        for malformed in ["", "%", "%ff", "%00", "a%0Ab"] {
            assert_eq!(parsed(malformed), Err(StatusCode::BAD_REQUEST), "{malformed}");
        }
        assert_eq!(parsed("__ds/jwks.json"), Err(StatusCode::NOT_FOUND));
    }
}
