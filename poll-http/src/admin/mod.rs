//! Administration: what operators ask of channels and connections, below `/admin/`.
//!
//! Each file has its requests, fully parsed, and `answer(worker, request)`. Who may ask is decided before
//! (`access::administration`), and nothing here waits for a message or counts as a use of a channel. Errors are problem
//! details. Not here: paths and methods, which are the router's.

pub(crate) mod channels;
pub(crate) mod connections;
mod page;
pub(crate) mod presence;
pub(crate) mod settings;
