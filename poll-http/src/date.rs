//! The `Date` of answers that no library dates: rendered once a second a worker.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;

/// Now, as RFC 9110, section 5.6.7 writes it.
pub(crate) fn date() -> HeaderValue {
    thread_local! {
        static DATE: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
    }
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    DATE.with_borrow_mut(|(rendered, value)| {
        if *rendered != second || value.is_empty() {
            *rendered = second;
            // A date has no byte that a header value may not have.
            if let Ok(fresh) = HeaderValue::try_from(httpdate::fmt_http_date(now)) {
                *value = fresh;
            }
        }
        value.clone()
    })
}
