//! Admits a request: not while the server drains, within the rate of its address, and with the right token.

use crate::access::client::Client;
use crate::access::tokens::{Denied, Right};
use crate::message::connection_info::ConnectionInfo;
use crate::message::head::Head;
use crate::message::refusal::{GOING_DOWN, Refusal};
use crate::service::finish::Finish;
use crate::worker::Worker;

/// Admits a request, and identifies its client.
///
/// # Errors
/// 503 while the server drains, 400 if the client's name is malformed, 429 beyond the rate, 401 or 403 without the right.
pub(super) fn admit(
    worker: &Worker,
    head: Head<'_>,
    right: Right,
    connection: &ConnectionInfo,
    finish: &mut Finish,
) -> Result<Client, Refusal> {
    if worker.drain().is_draining() {
        return Err(Refusal::unready(GOING_DOWN));
    }
    let client = Client::from_request(connection, head, &worker.server().proxies)?;
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
