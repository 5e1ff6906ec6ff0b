//! The `Date` of answers that no library dates: rendered once a second a worker, with what stands around it in nearly
//! every answer.

use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;
use poll_core::Timestamp;
use poll_core::environment::Environment;

use crate::message::json::write_number;

/// What was rendered last on this thread.
struct Rendered {
    second: u64,
    date: HeaderValue,
    /// In seconds.
    keep_alive: u64,
    usual: Usual,
}

/// What nearly all heads of HTTP/1.1 end with.
pub(crate) struct Usual {
    /// That nobody may guess what the body is, and how long the connection is kept.
    pub(crate) kept: Vec<u8>,
    /// The date, and the empty line.
    pub(crate) dated: Vec<u8>,
}

thread_local! {
    static RENDERED: RefCell<Rendered> = const {
        let date = HeaderValue::from_static("");
        RefCell::new(Rendered { second: 0, date, keep_alive: 0, usual: Usual { kept: Vec::new(), dated: Vec::new() } })
    };
}

/// Shows a time as RFC 9110, section 5.6.7 writes it. Where there is none, it is the operating system's: such an answer was
/// made by the transport, which has no environment.
pub(crate) fn with_date<T>(at: Option<Timestamp>, show: impl FnOnce(&HeaderValue) -> T) -> T {
    let second = second(at);
    RENDERED.with_borrow_mut(|rendered| {
        rendered.turn(second);
        show(&rendered.date)
    })
}

/// Shows what nearly all heads end with.
pub(crate) fn with_usual<T>(
    at: Option<Timestamp>,
    keep_alive: Duration,
    show: impl FnOnce(&Usual) -> T,
) -> T {
    let (second, keep_alive) = (second(at), keep_alive.as_secs());
    RENDERED.with_borrow_mut(|rendered| {
        rendered.turn(second);
        if rendered.usual.kept.is_empty() || rendered.keep_alive != keep_alive {
            rendered.keep_alive = keep_alive;
            rendered.usual.keep(keep_alive);
        }
        show(&rendered.usual)
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
        // A date has no byte that a header value may not have.
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        if let Ok(fresh) = HeaderValue::try_from(date) {
            self.date = fresh;
        }
        self.usual.date(self.date.as_bytes());
    }
}

impl Usual {
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
