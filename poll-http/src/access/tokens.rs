//! Tokens in requests (RFC 6750), and static ones: texts that are listed beforehand.
//!
//! A right without tokens is everyone's. Tokens are compared in constant time, and never logged.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use poll_core::Timestamp;
use subtle::ConstantTimeEq as _;

use crate::access::authority::{Authority, Denied, Grant, Scope};
use crate::message::head::{Field, Head, Repeated, text};
use crate::message::query::{Query, Repeats};
use crate::message::refusal::Refusal;

/// Static tokens that grant each right on every channel.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Tokens that may publish. Empty: everyone may.
    pub publish: Vec<String>,
    /// Tokens that may read. Empty: everyone may.
    pub subscribe: Vec<String>,
}

impl Access {
    /// Which of the lists hold a token: always compared with both, so that the time taken reveals nothing.
    pub(crate) fn holding(&self, token: &str) -> Held {
        Held { publish: holds(&self.publish, token), subscribe: holds(&self.subscribe, token) }
    }
}

/// Which rights a token is listed for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    publish: bool,
    subscribe: bool,
}

impl Held {
    pub(crate) fn any(self) -> bool {
        self.publish || self.subscribe
    }

    /// The grant of these rights.
    pub(crate) fn grant(self) -> Arc<Grant> {
        GRANTS[usize::from(self.publish)][usize::from(self.subscribe)].clone()
    }
}

/// The grants of static tokens: to neither publish nor read, to read, to publish, to do both.
static GRANTS: LazyLock<[[Arc<Grant>; 2]; 2]> = LazyLock::new(|| {
    let scopes = || [Scope::Nothing, Scope::All];
    let grant = |publish, subscribe| Arc::new(Grant { publish, subscribe, ..Grant::default() });
    scopes().map(|publish| scopes().map(|subscribe| grant(publish.clone(), subscribe)))
});

impl Authority for Access {
    fn anyone(&self) -> Arc<Grant> {
        Held { publish: self.publish.is_empty(), subscribe: self.subscribe.is_empty() }.grant()
    }

    fn judge(&self, token: &str, _: Timestamp) -> Result<Arc<Grant>, Denied> {
        let held = self.holding(token);
        if !held.any() {
            return Err(Denied::Wrong("the token is not known"));
        }
        let publish = held.publish || self.publish.is_empty();
        let subscribe = held.subscribe || self.subscribe.is_empty();
        Ok(Held { publish, subscribe }.grant())
    }
}

pub(crate) fn holds(tokens: &[String], token: &str) -> bool {
    let found = tokens
        .iter()
        .fold(subtle::Choice::from(0), |found, known| found | known.as_bytes().ct_eq(token.as_bytes()));
    found.into()
}

/// The one `Authorization` (RFC 9110, section 11.6.2), without its scheme if that is this one.
pub(crate) fn credentials<'a>(head: Head<'a>, scheme: &str) -> Result<Option<&'a str>, Refusal> {
    let field = head.single(Field::Authorization);
    let field = field.map_err(|Repeated| Refusal::bad_request("`Authorization` is given more than once"))?;
    let parts = field.and_then(text).and_then(|value| value.split_once(' '));
    Ok(parts.filter(|(given, _)| given.eq_ignore_ascii_case(scheme)).map(|(_, rest)| rest.trim()))
}

/// `Authorization: Bearer …`, or `access_token` for an EventSource, which cannot set fields, but not both (RFC 6750,
/// section 2), and neither more than once: of two tokens, something on the way may have looked at the other.
pub(crate) fn token(head: Head<'_>) -> Result<Option<Cow<'_, str>>, Refusal> {
    let bearer = credentials(head, "bearer")?;
    let parameter = Query::of(head).get("access_token", Repeats::Refused)?;
    match (bearer, parameter) {
        (Some(_), Some(_)) => {
            let both = "the token is given in `Authorization` and in `access_token`: give it once";
            Err(Refusal::bad_request(both))
        }
        (Some(token), None) => Ok(Some(token.into())),
        (None, parameter) => Ok(parameter),
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
    fn a_static_token_grants_the_rights_that_list_it_and_those_that_are_open() {
        let scopes = |publish: &[&str], subscribe: &[&str], token: &str| {
            let list = |tokens: &[&str]| tokens.iter().map(ToString::to_string).collect();
            let access = Access { publish: list(publish), subscribe: list(subscribe) };
            let all = |scope: &Scope| *scope == Scope::All;
            access.judge(token, Timestamp::ZERO).map(|grant| (all(&grant.publish), all(&grant.subscribe)))
        };
        let (p, s) = (&["p", "q"][..], &["s", "b"][..]);
        assert_eq!(scopes(p, s, "q"), Ok((true, false)));
        assert_eq!(scopes(p, s, "s"), Ok((false, true)));
        assert_eq!(scopes(p, &[], "p"), Ok((true, true)));
        assert_eq!(scopes(&["b"], s, "b"), Ok((true, true)));
        for wrong in ["", "x", "pq", "P"] {
            assert!(matches!(scopes(p, s, wrong), Err(Denied::Wrong(_))), "{wrong}");
        }
        assert_eq!(*Access::default().anyone(), Grant::all());
        assert_eq!(
            Access { publish: vec!["p".into()], ..Access::default() }.anyone().publish,
            Scope::Nothing
        );
    }

    #[test]
    fn a_token_is_in_one_of_two_places() {
        let of = |target: &str, fields: &[&str]| {
            let request = fields.iter().fold(Request::get(target), |request, field| {
                request.header(http::header::AUTHORIZATION, *field)
            });
            let head = request.body(()).unwrap().into_parts().0;
            let token = token((&head).into()).map(|token| token.map(Cow::into_owned));
            token.map_err(|refusal| refusal.status().as_u16())
        };
        let some = |token: &str| Ok(Some(token.to_owned()));
        assert_eq!(of("/", &[]), Ok(None));
        assert_eq!(of("/", &["Bearer q"]), some("q"));
        assert_eq!(of("/", &["bearer  q "]), some("q"));
        assert_eq!(of("/", &["Basic q"]), Ok(None));
        assert_eq!(of("/?access_token=s%2B", &[]), some("s+"));
        assert_eq!(of("/?access_token=s", &["Basic x"]), some("s"));
        assert_eq!(of("/?access_token=s", &["Bearer s"]), Err(400));
        assert_eq!(of("/?access_token=s&access_token=s", &[]), Err(400));
        assert_eq!(of("/", &["Bearer q", "Bearer q"]), Err(400));
        assert_eq!(of("/", &["Basic x", "Bearer q"]), Err(400));
    }
}
