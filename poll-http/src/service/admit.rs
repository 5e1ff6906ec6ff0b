//! Whether a request is let in: not while the server drains, within its address's rate, and with the token it needs.

use std::time::Duration;

use http::StatusCode;

use crate::access::client::Client;
use crate::access::tokens::{Denied, Right};
use crate::message::connection_info::ConnectionInfo;
use crate::message::head::Head;
use crate::message::refusal::Refusal;
use crate::service::finish::Finish;
use crate::worker::Worker;

/// How long a client that is turned away by a draining server should stay away: until another one has taken over.
const AWAY_WHILE_DRAINING: Duration = Duration::from_secs(1);

/// Lets a request in, and says whose it is.
///
/// # Errors
/// 503 while the server drains, 400 where it is not clear whose it is, 429 beyond the rate, 401 or 403 without the right.
pub(super) fn admit(
    worker: &Worker,
    head: Head<'_>,
    right: Right,
    connection: &ConnectionInfo,
    finish: &mut Finish,
) -> Result<Client, Refusal> {
    if worker.drain().is_draining() {
        return Err(going_down("the server is going down"));
    }
    let client = Client::of(connection.peer.ip(), head, &worker.server().proxies)?;
    worker.admission().charge(client.address)?;
    finish.charged(client.address);
    match worker.settings().access.check(right, head) {
        Ok(()) => Ok(client),
        Err(denied) => {
            if denied == Denied::Unknown {
                worker.admission().failed_token(client.address)?;
            }
            Err(denied.into())
        }
    }
}

/// The refusal of a server that cannot serve for now.
pub(super) fn going_down(why: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why).retry_after(AWAY_WHILE_DRAINING)
}
