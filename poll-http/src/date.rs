//! The `Date` of answers that no library dates: rendered once a second a worker.

use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;
use poll_core::Timestamp;

use crate::clock::Clock;

/// Now, as RFC 9110, section 5.6.7 writes it.
pub(crate) fn date() -> HeaderValue {
    with_date(None, Clone::clone)
}

/// Shows a time as [`date`] does; where there is none, that is now.
pub(crate) fn with_date<T>(at: Option<Timestamp>, show: impl FnOnce(&HeaderValue) -> T) -> T {
    thread_local! {
        static DATE: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
    }
    let second = at.unwrap_or_else(|| Clock::system().now()).as_micros() / 1_000_000;
    DATE.with_borrow_mut(|(rendered, value)| {
        if *rendered != second || value.is_empty() {
            *rendered = second;
            // A date has no byte that a header value may not have.
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
            if let Ok(fresh) = HeaderValue::try_from(date) {
                *value = fresh;
            }
        }
        show(value)
    })
}
