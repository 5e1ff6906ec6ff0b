//! When an answer is given: at once, when something comes, again and again, by push.
//!
//! Each pattern is a file with the same members in the same order: `Request`, what is asked with nothing left to parse;
//! `answer(worker, request, client)`, which gives the answer or what will give it; then what that takes. A pattern never
//! uses another, and parses and refuses nothing that a dialect or the service could have.

pub(crate) mod long_poll;
pub(crate) mod message;
pub(crate) mod progress;
pub(crate) mod publish;
pub(crate) mod push;
pub(crate) mod short_poll;
pub(crate) mod stream;
