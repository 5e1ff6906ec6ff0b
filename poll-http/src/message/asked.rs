//! What requests were asked for, in tests: the OpenAPI document has to name the same.

use std::cell::RefCell;
use std::collections::BTreeSet;

thread_local! {
    static ASKED: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// Notes the name of a query parameter or of a field.
pub(crate) fn note(name: &str) {
    ASKED.with_borrow_mut(|asked| asked.insert(name.to_owned()));
}

/// All names since the last call on this thread.
pub(crate) fn take() -> BTreeSet<String> {
    ASKED.take()
}
