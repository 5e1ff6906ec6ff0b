//! From a request to its response: route, admit, parse, check, answer. And how a service is built and mounted.
//!
//! Uses every other module but `transport`, which passes it requests. Refusals become responses here (`finish`; 404 and
//! `/readyz`, which belong to no dialect, in `answering` and `resources`), and every response gets its common fields.
//! Nothing is parsed twice, and nothing waits for a message.

mod administration;
mod admit;
mod answering;
mod builder;
mod dispatch;
mod finish;
pub(crate) mod handle;
pub(crate) mod mount;
mod openapi;
mod parse;
mod program;
mod publish;
mod read_body;
pub(crate) mod redirect;
mod resources;
pub(crate) mod router;
pub(crate) mod site;
mod subscriptions;

pub use answering::Answering;
pub use builder::Builder;
pub use handle::Service;
pub use program::Ask;
