//! Who may reach what is for operators: `/metrics` and `/admin`.
//!
//! Without a token and without a listener of their own, metrics are everyone's and there is no `/admin`. With a token they
//! want it, with a listener they are only there. Not here: what is at these paths.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;

use crate::access::tokens::{credentials, holds, token};
use crate::message::head::Head;
use crate::message::refusal::Refusal;

/// The tokens and the place of administration.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Administration {
    /// One of these is needed, if there is any.
    pub tokens: Vec<String>,
    /// Where it is.
    pub place: AdminPlace,
}

/// Where administration is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AdminPlace {
    /// On every listener.
    #[default]
    Everywhere,
    /// On the connections of [`Service::administration`](crate::Service::administration) alone.
    Apart,
}

/// What the connections of a listener serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    Public,
    /// Administration and health, and nothing else.
    Administration,
}

/// Whether a request is for operators alone: administration, and everything on a listener of its own.
pub(crate) fn is_operators(face: Face, path: &str) -> bool {
    face == Face::Administration || path == "/admin" || path.starts_with("/admin/")
}

/// Why a request is not answered.
#[derive(Debug)]
pub(crate) enum Shut {
    /// There is nothing at this path, on this listener.
    NotHere,
    /// A token is needed.
    Missing,
    /// The token is wrong. Counted against its sender's address.
    Wrong,
    Malformed(Refusal),
}

impl Administration {
    /// Whether there is any.
    pub(crate) fn is_on(&self) -> bool {
        !self.tokens.is_empty() || self.place == AdminPlace::Apart
    }

    /// Checks whether a path is served on a listener, and whether the request has the token that it needs.
    pub(crate) fn check(&self, face: Face, head: Head<'_>) -> Result<(), Shut> {
        let path = head.path();
        if path != "/metrics" && path != "/admin" && !path.starts_with("/admin/") {
            let is_here = face == Face::Public || matches!(path, "/healthz" | "/readyz");
            return if is_here { Ok(()) } else { Err(Shut::NotHere) };
        }
        if face == Face::Public && self.place == AdminPlace::Apart {
            return Err(Shut::NotHere);
        }
        if self.tokens.is_empty() {
            let is_here = path == "/metrics" || face == Face::Administration;
            return if is_here { Ok(()) } else { Err(Shut::NotHere) };
        }
        let given = match credentials(head, "basic").map_err(Shut::Malformed)?.map(password) {
            Some(password) => password.ok_or(Shut::Missing)?,
            None => token(head).map_err(Shut::Malformed)?.ok_or(Shut::Missing)?.into_owned(),
        };
        if holds(&self.tokens, &given) { Ok(()) } else { Err(Shut::Wrong) }
    }
}

/// The password in what `Authorization: Basic` carries (RFC 7617), of any user: so that a browser can ask for it.
fn password(credentials: &str) -> Option<String> {
    let credentials = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    Some(credentials.split_once(':')?.1.to_owned())
}

impl From<Shut> for Refusal {
    fn from(shut: Shut) -> Self {
        let unauthorized = |detail| Self::new(StatusCode::UNAUTHORIZED, detail);
        match shut {
            Shut::NotHere => Self::not_found(),
            Shut::Missing => unauthorized("the token of administration is needed")
                .challenge("Bearer\nBasic realm=\"poll\""),
            Shut::Wrong => unauthorized("the token is not that of administration")
                .challenge("Bearer error=\"invalid_token\"\nBasic realm=\"poll\""),
            Shut::Malformed(refusal) => refusal,
        }
    }
}

impl std::fmt::Debug for Administration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tokens = self.tokens.len();
        f.debug_struct("Administration").field("tokens", &tokens).field("place", &self.place).finish()
    }
}
