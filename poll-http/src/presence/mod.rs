//! Presence: which named clients wait on which channels, on any server of the log.
//!
//! What: a client is present on a channel from its first wait until [`LINGER`](attendance::LINGER) after its last. `attendance` knows the
//! clients of this server, and `ledger` those of all servers, from the records that each writes to one channel of the
//! log, [`RECORDS`](channels::RECORDS). Records have one order, so all servers agree on who came and who left; one of them, the teller,
//! publishes that. A server that stops writing loses its lease, and another records that its clients are gone. `keeper`
//! does all of this, in one task a server.
//! Why a log of its own: renewals are no messages to readers of a channel, and a restart finds there who was present.
//! Not here: who may ask (`service`), and the query (`dialect::native`).

mod attendance;
mod channels;
mod handle;
mod keeper;
mod leases;
mod ledger;
mod present;
mod record;
#[cfg(test)]
mod tests;

pub(crate) use self::channels::{is_records, is_reserved};
pub(crate) use self::handle::{Gauges, Presence};
