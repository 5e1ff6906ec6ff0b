//! Admits a request: not while the server drains, within the rate of its address, and with a token that grants what it
//! wants to do at all. For which channels is checked once they are known (`service::program`).

use std::pin::Pin;
use std::sync::Arc;

use crate::access::administration::{Face, Shut};
use crate::access::authority::{self, Denied, Grant, KeyFetch, Right, Scope};
use crate::access::client::{Client, rate_limit_address};
use crate::access::tokens;
use crate::message::connection_info::ConnectionInfo;
use crate::message::head::Head;
use crate::message::refusal::{GOING_DOWN, Refusal};
use crate::service::finish::Finish;
use crate::worker::Worker;

/// What a request's token is good for.
pub(super) enum Judged {
    Granted(Arc<Grant>),
    /// It has to be judged again once keys were fetched.
    After(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// Identifies a request's client and counts the request.
///
/// # Errors
/// 503 while the server drains, 400 if the client's name is malformed, 429 beyond the rate.
pub(super) fn admit(
    worker: &Worker,
    head: Head<'_>,
    connection: &ConnectionInfo,
    finish: &mut Finish,
) -> Result<Client, Refusal> {
    if worker.drain().is_draining() {
        return Err(Refusal::unready(GOING_DOWN));
    }
    let client = Client::from_request(connection, head, &worker.server().proxies, finish.logged())?;
    worker.admission().charge(client.address)?;
    finish.charged(client.address);
    Ok(client.noted())
}

/// Checks whether a path is served where the request came in, and the token of administration where it needs that.
///
/// # Errors
/// 404 if it is not, 401 without the token, 429 after too many wrong ones.
pub(super) fn check_administration(
    worker: &Worker,
    face: Face,
    head: Head<'_>,
    connection: &ConnectionInfo,
) -> Result<(), Refusal> {
    let Err(shut) = worker.administration().load().check(face, head) else { return Ok(()) };
    if matches!(shut, Shut::Wrong) {
        let address = worker.server().proxies.address(connection.peer.ip(), head);
        worker.admission().failed_token(rate_limit_address(address))?;
    }
    Err(shut.into())
}

/// Judges a request's token. A right that is everyone's needs none, so a bad one then does no harm.
///
/// # Errors
/// 400 for two tokens, 401 without a good one, 403 if it does not grant the right anywhere, 429 after too many wrong ones.
pub(super) fn judge(
    worker: &Worker,
    head: Head<'_>,
    right: Right,
    client: &Client,
) -> Result<Judged, Refusal> {
    let in_force = worker.authorities().load();
    let anyone = || Ok(Judged::Granted(in_force.anyone.clone()));
    if in_force.is_open() {
        return anyone();
    }
    let is_open = *in_force.anyone.scope(right) == Scope::All;
    let token = match tokens::token(head) {
        Ok(Some(token)) => token,
        Ok(None) | Err(_) if is_open => return anyone(),
        Ok(None) => return Err(authority::missing()),
        Err(refusal) => return Err(refusal),
    };
    let denied = match in_force.authority.judge(&token, worker.now()) {
        Ok(grant) if *grant.scope(right) == Scope::Nothing => return Err(authority::insufficient()),
        Ok(grant) => return Ok(Judged::Granted(grant)),
        Err(_) if is_open => return anyone(),
        Err(denied) => denied,
    };
    if denied == Denied::UnknownKey {
        match in_force.authority.fetch_keys() {
            KeyFetch::After(fetched) => return Ok(Judged::After(fetched)),
            KeyFetch::Busy => return Err(authority::busy()),
            KeyFetch::Nothing => {}
        }
    }
    if denied != Denied::Expired {
        worker.admission().failed_token(client.address)?;
    }
    Err(denied.into())
}

/// The refusal of a token whose key is not among those that were just fetched.
pub(super) fn unknown_key(worker: &Worker, client: &Client) -> Refusal {
    let counted = worker.admission().failed_token(client.address);
    counted.err().unwrap_or_else(|| Denied::UnknownKey.into())
}
