//! Subscriptions of the Durable Streams protocol: a cursor in each of some streams, and a wake whenever one of them has more.
//!
//! What is said and what follows from it: addresses, bodies, answers, and [`Subscription`], which decides everything and
//! does nothing. It knows neither clock nor store nor network: `pattern::subscription` brings those.

mod address;
mod answer;
mod fault;
mod glob;
mod record;
mod request;
mod state;
#[cfg(test)]
mod tests;
mod wake;
mod webhook_url;

pub(crate) use self::address::ROOT;
pub use self::address::{SubscriptionId, SubscriptionPath};
pub(crate) use self::answer::{claimed, created, delivery, done, key_set, refuse, turned, wake_event};
pub(crate) use self::fault::Fault;
pub(crate) use self::record::Keeping;
pub(crate) use self::request::{Claim, Configuration, Delivery, MOST_BYTES, MOST_STREAMS, Turn, streams};
pub(crate) use self::state::{From, Seen, Subscription};
pub(crate) use self::wake::{Attempt, AttemptId, Sent};
pub use self::webhook_url::{Loopback, WebhookUrl, WebhookUrlError};
