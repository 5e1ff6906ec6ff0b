//! What a single argument may be, and what is said of one that it may not be.

use jiff::{Span, SpanRelativeTo, Timestamp as Time};
use poll_client::administration::Bound;
use poll_client::{ChannelName, IdempotencyKey, StartAt, Timestamp};

use crate::format::Format;

/// The port of a server of which only the host is given; `poll-server` listens there.
const PORT: u16 = 8080;

/// The time from which messages are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Since(pub(crate) Timestamp);

pub(super) fn channel(text: &str) -> Result<ChannelName, String> {
    ChannelName::parse(text).map_err(|error| error.to_string())
}

pub(super) fn key(text: &str) -> Result<IdempotencyKey, String> {
    IdempotencyKey::parse(text).map_err(|error| error.to_string())
}

pub(super) fn bound(text: &str) -> Result<Bound, String> {
    match (text, text.parse()) {
        ("server", _) => Ok(Bound::Server),
        (_, Ok(0)) => Ok(Bound::Unlimited),
        (_, Ok(most)) => Ok(Bound::Most(most)),
        (_, Err(_)) => Err("neither a whole number nor server".to_owned()),
    }
}

pub(super) fn format(text: &str) -> Result<Format, String> {
    Format::parse(text)
}

pub(super) fn start(text: &str) -> Result<StartAt, String> {
    match text {
        "start" => Ok(StartAt::Oldest),
        "now" => Ok(StartAt::Now),
        cursor => {
            cursor.parse().map(StartAt::After).map_err(|_| "neither start, now nor a cursor".to_owned())
        }
    }
}

pub(super) fn since(text: &str) -> Result<Since, String> {
    since_at(text, Time::now())
}

fn since_at(text: &str, now: Time) -> Result<Since, String> {
    let form = "neither a time like 2026-11-26T20:00:00Z nor a span like 10m, 1h30m or 2d";
    if let Ok(time) = text.parse::<Time>() {
        return micros(time);
    }
    let span: Span = text.parse().map_err(|_| form.to_owned())?;
    let span = span.abs().to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| form.to_owned())?;
    micros(now.checked_sub(span).map_err(|_| "before the calendar begins".to_owned())?)
}

fn micros(time: Time) -> Result<Since, String> {
    // Nothing was published before 1970.
    Ok(Since(Timestamp::from_micros(u64::try_from(time.as_microsecond()).unwrap_or(0))))
}

/// Completes what was left out of a URL.
pub(super) fn server(text: &str) -> Result<String, String> {
    if text.contains("://") {
        return Ok(text.to_owned());
    }
    let (host, path) =
        text.split_once('/').map_or((text, String::new()), |(host, path)| (host, format!("/{path}")));
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let authority = match host.rsplit_once(':') {
        Some(("", port)) if is_port(port) => format!("localhost:{port}"),
        Some((name, port)) if is_port(port) && !name.ends_with(':') => host.to_owned(),
        _ if host.is_empty() || host.ends_with(':') => {
            return Err("not host:port, :port or http://host:port".to_owned());
        }
        _ => format!("{host}:{PORT}"),
    };
    Ok(format!("http://{authority}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_word_or_a_cursor() {
        assert_eq!(start("start"), Ok(StartAt::Oldest));
        assert_eq!(start("now"), Ok(StartAt::Now));
        let cursor = "00000000000000010000000000000002";
        assert_eq!(start(cursor), Ok(StartAt::After(cursor.parse().unwrap())));
        assert!(start("yesterday").is_err());
    }

    #[test]
    fn a_server_may_be_short() {
        for (text, url) in [
            ("localhost:8080", "http://localhost:8080"),
            (":8080", "http://localhost:8080"),
            ("example.org", "http://example.org:8080"),
            ("example.org/poll", "http://example.org:8080/poll"),
            ("example.org:81/poll/", "http://example.org:81/poll/"),
            ("127.0.0.1:1", "http://127.0.0.1:1"),
            ("[::1]:8080", "http://[::1]:8080"),
            ("[::1]", "http://[::1]:8080"),
            ("http://h", "http://h"),
            ("https://h", "https://h"),
        ] {
            assert_eq!(server(text).as_deref(), Ok(url));
            assert!(poll_client::Client::new(&server(text).unwrap()).is_ok(), "{text}");
        }
        for text in ["", ":", "h:", "/x"] {
            assert!(server(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bound_is_a_number_or_the_servers() {
        assert_eq!(bound("server"), Ok(Bound::Server));
        assert_eq!(bound("0"), Ok(Bound::Unlimited));
        assert_eq!(bound("7"), Ok(Bound::Most(7)));
        for text in ["", "-1", "1.5", "none"] {
            assert!(bound(text).is_err(), "{text}");
        }
    }

    #[test]
    fn since_is_a_span_or_a_time() {
        let now: Time = "2026-11-26T20:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("10m", "2026-11-26T19:50:00Z"),
            ("1h", "2026-11-26T19:00:00Z"),
            ("1h30m", "2026-11-26T18:30:00Z"),
            ("90s", "2026-11-26T19:58:30Z"),
            ("2d", "2026-11-24T20:00:00Z"),
            ("10 minutes", "2026-11-26T19:50:00Z"),
            ("2026-11-26T21:30:00+02:00", "2026-11-26T19:30:00Z"),
            ("2026-11-26T19:30:00.5Z", "2026-11-26T19:30:00.5Z"),
        ] {
            let Since(at) = since_at(text, now).unwrap();
            let expected: Time = expected.parse().unwrap();
            assert_eq!(at.as_micros(), u64::try_from(expected.as_microsecond()).unwrap(), "{text}");
        }
        for text in ["", "10", "m", "soon", "1mo", "2026-11-26"] {
            assert!(since_at(text, now).is_err(), "{text}");
        }
    }
}
