//! Tokens: who may publish and who may read (RFC 6750).
//!
//! A right without tokens is everyone's. Tokens are compared in constant time, and never logged.

use http::StatusCode;
use subtle::ConstantTimeEq as _;

use crate::message::head::{Field, Head, text};
use crate::message::query::{Query, Repeats};
use crate::message::refusal::Refusal;

/// The tokens that grant each right.
#[derive(Clone, Default)]
pub struct Access {
    /// Tokens that may publish. Empty: everyone may.
    pub publish: Vec<String>,
    /// Tokens that may read. Empty: everyone may.
    pub subscribe: Vec<String>,
}

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    Publish,
    Subscribe,
}

/// Why a request does not have the right that it needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// It has no token.
    Missing,
    /// Its token is not known.
    Unknown,
    /// Its token grants only the other right.
    Other,
    /// Its token cannot be parsed.
    Malformed(Refusal),
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Missing => Self::new(StatusCode::UNAUTHORIZED, "a token is needed").challenge("Bearer"),
            Denied::Unknown => Self::new(StatusCode::UNAUTHORIZED, "the token is not known")
                .challenge("Bearer error=\"invalid_token\""),
            Denied::Other => Self::new(StatusCode::FORBIDDEN, "the token does not grant this")
                .challenge("Bearer error=\"insufficient_scope\""),
            Denied::Malformed(refusal) => refusal,
        }
    }
}

impl Access {
    /// Whether a request has a right.
    pub(crate) fn check(&self, right: Right, head: Head<'_>) -> Result<(), Denied> {
        let (needed, other) = match right {
            Right::Publish => (&self.publish, &self.subscribe),
            Right::Subscribe => (&self.subscribe, &self.publish),
        };
        if needed.is_empty() {
            return Ok(());
        }
        let token = token(head).map_err(Denied::Malformed)?.ok_or(Denied::Missing)?;
        // Always compares with both lists, so that the time taken reveals nothing.
        match (holds(needed, &token), holds(other, &token)) {
            (true, _) => Ok(()),
            (false, true) => Err(Denied::Other),
            (false, false) => Err(Denied::Unknown),
        }
    }
}

fn holds(tokens: &[String], token: &str) -> bool {
    let found = tokens
        .iter()
        .fold(subtle::Choice::from(0), |found, known| found | known.as_bytes().ct_eq(token.as_bytes()));
    found.into()
}

/// `Authorization: Bearer …`, or `access_token` for an EventSource, which cannot set fields, but not both (RFC 6750,
/// section 2).
fn token(head: Head<'_>) -> Result<Option<String>, Refusal> {
    let field = head.field(Field::Authorization).and_then(text);
    let bearer =
        field.and_then(|value| value.split_once(' ')).filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
    let parameter = Query::of(head).get("access_token", Repeats::FirstWins)?;
    match (bearer, parameter) {
        (Some(_), Some(_)) => {
            let both = "the token is given in `Authorization` and in `access_token`: give it once";
            Err(Refusal::bad_request(both))
        }
        (Some((_, token)), None) => Ok(Some(token.trim().to_owned())),
        (None, parameter) => Ok(parameter.map(std::borrow::Cow::into_owned)),
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (publish, subscribe) = (self.publish.len(), self.subscribe.len());
        f.debug_struct("Access").field("publish", &publish).field("subscribe", &subscribe).finish()
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn a_right_needs_one_of_its_tokens() {
        let access = Access { publish: vec!["p".into(), "q".into()], subscribe: vec!["s".into()] };
        let status = |right, target: &str, field: Option<&str>| {
            let request = field.into_iter().fold(Request::get(target), |request, field| {
                request.header(http::header::AUTHORIZATION, field)
            });
            let head = request.body(()).unwrap().into_parts().0;
            access.check(right, (&head).into()).err().map(|denied| Refusal::from(denied).status().as_u16())
        };
        assert_eq!(status(Right::Publish, "/", None), Some(401));
        assert_eq!(status(Right::Publish, "/", Some("Bearer q")), None);
        assert_eq!(status(Right::Publish, "/", Some("bearer  q ")), None);
        assert_eq!(status(Right::Publish, "/", Some("Bearer s")), Some(403));
        assert_eq!(status(Right::Publish, "/", Some("Bearer x")), Some(401));
        assert_eq!(status(Right::Publish, "/", Some("Basic q")), Some(401));
        assert_eq!(status(Right::Subscribe, "/?access_token=s", None), None);
        assert_eq!(status(Right::Subscribe, "/?access_token=s", Some("Basic x")), None);
        assert_eq!(status(Right::Subscribe, "/?access_token=s", Some("Bearer s")), Some(400));
        let open = Access::default();
        let head = Request::get("/").body(()).unwrap().into_parts().0;
        assert!(open.check(Right::Publish, (&head).into()).is_ok());
    }
}
