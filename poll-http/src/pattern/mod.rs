//! When an answer is given: at once, when something comes, again and again, by push.
//!
//! A pattern knows no dialect's syntax; it is handed a question and a way to write the answer.

pub(crate) mod long_poll;
pub(crate) mod progress;
pub(crate) mod publish;
pub(crate) mod push;
pub(crate) mod short_poll;
pub(crate) mod stream;
