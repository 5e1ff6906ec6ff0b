//! How a question is read and its answer written. A dialect never waits: it parses, and it renders.

pub(crate) mod channel;
pub(crate) mod chat;
pub(crate) mod frame;
pub(crate) mod golongpoll;
pub(crate) mod list;
pub(crate) mod native;
pub(crate) mod object;
pub(crate) mod question;

use http::{HeaderName, HeaderValue};
use poll_core::{Form, ReadState};

use crate::message::reply::Reply;

const POLL_MISSED: HeaderName = HeaderName::from_static("poll-missed");

/// Says how many messages were missed, in dialects whose answers have no place for it.
pub(crate) fn add_missed(reply: &mut Reply, read_state: &ReadState) {
    if let Some(missed) = read_state.missed().filter(|missed| *missed > 0) {
        reply.headers_mut().insert(POLL_MISSED, HeaderValue::from(missed));
    }
}

/// Who renders what where in a batch. One place a rendering, so that each is made once.
pub(crate) mod form {
    use super::Form;

    pub(crate) const NATIVE_POLL: Form = Form::new(0);
    pub(crate) const NATIVE_LINES: Form = Form::new(1);
    pub(crate) const NATIVE_EVENTS: Form = Form::new(2);
    pub(crate) const PROGRESS_LINES: Form = Form::new(3);
    pub(crate) const PROGRESS_EVENTS: Form = Form::new(4);
    pub(crate) const EVENTS: Form = Form::new(5);
    pub(crate) const CHAT: Form = Form::new(6);
    pub(crate) const CHANNEL_ALL: Form = Form::new(7);
    pub(crate) const CHANNEL_ONE: Form = Form::new(8);
}
