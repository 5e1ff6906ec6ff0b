//! HTTP messages: request heads, bodies, responses, errors.
//!
//! Also what requests and their connection share: the protocol's properties (`connection_info`), transfer codings, and a
//! socket that a broadcast may write to (`shared_writer`). Uses no other module.

pub(crate) mod accept;
pub(crate) mod access_log;
pub(crate) mod allowance;
#[cfg(test)]
pub(crate) mod asked;
pub(crate) mod body;
pub(crate) mod body_charge;
pub(crate) mod chunk;
pub(crate) mod coding;
pub(crate) mod connection_info;
pub(crate) mod connection_record;
pub(crate) mod early_hints;
pub(crate) mod gzip;
pub(crate) mod head;
pub(crate) mod json;
pub(crate) mod outcome;
pub(crate) mod percent_encoding;
pub(crate) mod query;
pub(crate) mod refusal;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod request_body;
pub(crate) mod request_id;
pub(crate) mod respond;
pub(crate) mod shared_writer;
pub(crate) mod trace_context;
pub(crate) mod transfer_coding;
pub(crate) mod unchanged;
