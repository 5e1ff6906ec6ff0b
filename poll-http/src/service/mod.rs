//! From a request to its answer: route, admit, parse, check, answer. And how a service is built and mounted.
//!
//! Uses every other wing but `transport`, which hands it requests. It is the only place where a refusal becomes a
//! response, and where what every answer carries is added. Nothing is parsed twice here, and nothing waits for a
//! message.

mod admit;
mod answering;
mod builder;
mod dispatch;
mod finish;
pub(crate) mod handle;
pub(crate) mod mount;
mod parse;
mod program;
mod publish;
mod read_body;
mod resources;
pub(crate) mod router;
pub(crate) mod site;

pub use answering::Answering;
pub use builder::Builder;
pub use handle::Service;
pub use program::Ask;
