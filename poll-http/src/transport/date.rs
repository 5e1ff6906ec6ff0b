//! `Date`, for responses that no library dates: rendered once a second per worker, with the fields that nearly every
//! response ends with.

use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;
use poll_core::Timestamp;
use poll_core::environment::Environment;

use crate::message::json::write_number;

/// The last rendering on this thread.
struct Rendered {
    second: u64,
    date: HeaderValue,
    /// In seconds.
    keep_alive: u64,
    common: CommonFields,
}

/// The fields that nearly all HTTP/1.1 heads end with.
pub(crate) struct CommonFields {
    /// `X-Content-Type-Options` and `Keep-Alive`.
    pub(crate) kept: Vec<u8>,
    /// `Date`, and the empty line.
    pub(crate) dated: Vec<u8>,
}

thread_local! {
    static RENDERED: RefCell<Rendered> = const {
        let date = HeaderValue::from_static("");
        RefCell::new(Rendered { second: 0, date, keep_alive: 0, common: CommonFields { kept: Vec::new(), dated: Vec::new() } })
    };
}

/// Passes on a time as an HTTP date (RFC 9110, section 5.6.7). Without one it is the operating system's: such a response was
/// made by the transport, which has no environment.
pub(crate) fn with_date<T>(at: Option<Timestamp>, show: impl FnOnce(&HeaderValue) -> T) -> T {
    let second = second(at);
    RENDERED.with_borrow_mut(|rendered| {
        rendered.turn(second);
        show(&rendered.date)
    })
}

/// Passes on the fields that nearly all heads end with.
pub(crate) fn with_common_fields<T>(
    at: Option<Timestamp>,
    keep_alive: Duration,
    show: impl FnOnce(&CommonFields) -> T,
) -> T {
    let (second, keep_alive) = (second(at), keep_alive.as_secs());
    RENDERED.with_borrow_mut(|rendered| {
        rendered.turn(second);
        if rendered.common.kept.is_empty() || rendered.keep_alive != keep_alive {
            rendered.keep_alive = keep_alive;
            rendered.common.keep(keep_alive);
        }
        show(&rendered.common)
    })
}

fn second(at: Option<Timestamp>) -> u64 {
    at.unwrap_or_else(|| Environment::system().now()).as_micros() / 1_000_000
}

impl Rendered {
    fn turn(&mut self, second: u64) {
        if self.second == second && !self.date.is_empty() {
            return;
        }
        self.second = second;
        // A date is a valid field value.
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        if let Ok(fresh) = HeaderValue::try_from(date) {
            self.date = fresh;
        }
        self.common.date(self.date.as_bytes());
    }
}

impl CommonFields {
    fn keep(&mut self, seconds: u64) {
        self.kept.clear();
        self.kept.extend_from_slice(b"x-content-type-options: nosniff\r\nkeep-alive: timeout=");
        write_number(&mut self.kept, seconds);
        self.kept.extend_from_slice(b"\r\n");
    }

    fn date(&mut self, date: &[u8]) {
        self.dated.clear();
        self.dated.extend_from_slice(b"date: ");
        self.dated.extend_from_slice(date);
        self.dated.extend_from_slice(b"\r\n\r\n");
    }
}
