//! HTTP messages: a request's head, query and content, an answer and its body, and the refusal that errors become.
//!
//! Knows neither clients nor connections. Uses no other wing.

pub(crate) mod accept;
pub(crate) mod allowance;
pub(crate) mod body;
pub(crate) mod body_charge;
pub(crate) mod chunk;
pub(crate) mod connection_info;
pub(crate) mod early_hints;
pub(crate) mod head;
pub(crate) mod json;
pub(crate) mod outcome;
pub(crate) mod percent_encoding;
pub(crate) mod query;
pub(crate) mod refusal;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod request_body;
pub(crate) mod respond;
pub(crate) mod shared_writer;
pub(crate) mod transfer_coding;
