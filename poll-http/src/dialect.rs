//! How a question is read and its answer written. A dialect never waits: it parses, and it renders.

pub(crate) mod native;

use poll_core::Form;

/// Who renders what where in a batch. One place a rendering, so that each is made once.
pub(crate) mod form {
    use super::Form;

    pub(crate) const NATIVE_POLL: Form = Form::new(0);
    pub(crate) const NATIVE_LINES: Form = Form::new(1);
    pub(crate) const NATIVE_EVENTS: Form = Form::new(2);
    pub(crate) const PROGRESS_LINES: Form = Form::new(3);
    pub(crate) const PROGRESS_EVENTS: Form = Form::new(4);
}
