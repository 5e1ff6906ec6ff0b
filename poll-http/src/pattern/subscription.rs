//! Subscriptions: what keeps them, wakes their workers, and answers what is said about them.
//!
//! One task follows which channels have something new and tells it to the subscriptions that it concerns
//! (`hub.rs`); each subscription is a task of its own (`keeper.rs`), so that one that waits for the store holds up no
//! other. What they decide is the dialect's [`Subscription`](crate::dialect::durable_streams::subscriptions::Subscription);
//! what leaves the machine goes through a [`WebhookClient`]. A subscription is kept before anyone hears of it: in the store
//! of one server in a channel of its own (`cell.rs`), in a log that servers share in a register that they change by
//! compare-and-set (`register.rs`).

mod cell;
mod client;
mod hub;
mod keeper;
mod keys;
mod news;
mod outside;
mod place;
mod register;

pub use self::client::{Signer, Webhook, WebhookAnswer, WebhookClient};
pub(crate) use self::hub::{Hub, Reach};
pub(crate) use self::keeper::{Speech, What};
