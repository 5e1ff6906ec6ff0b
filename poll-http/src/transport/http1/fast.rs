//! Plain requests of HTTP/1.1, read and answered without hyper.

pub(crate) mod connection;
pub(crate) mod parse_request;
pub(crate) mod spare;
pub(crate) mod write_response;
