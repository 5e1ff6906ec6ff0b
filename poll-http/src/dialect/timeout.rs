//! The `timeout` parameter of long polls, and the wait that follows from it.

use std::time::Duration;

use crate::message::query::number;
use crate::message::refusal::Refusal;

const DEFAULT_WAIT: Duration = Duration::from_secs(30);

/// How long a long poll waits: `timeout`, else what the client prefers, at most `most`. A thirtieth of it, at most a
/// second, is left for the answer to travel: a proxy with a timeout of the same length would cut it off.
pub(crate) fn wait(
    timeout: Option<&str>,
    preferred: impl FnOnce() -> Option<Duration>,
    most: Duration,
) -> Result<Duration, Refusal> {
    let asked = match timeout {
        Some(text) => seconds(text, most)?,
        None => preferred().unwrap_or(DEFAULT_WAIT),
    };
    let asked = asked.min(most);
    Ok(asked - (asked / 30).min(Duration::from_secs(1)))
}

/// A decimal number of seconds; `most` if it does not fit a [`Duration`].
fn seconds(text: &str, most: Duration) -> Result<Duration, Refusal> {
    if let Some(whole) = number(text) {
        return Ok(Duration::from_secs(whole));
    }
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    let Some(number) = number else {
        return Err(Refusal::bad_request("`timeout` must be a number of seconds"));
    };
    Ok(Duration::try_from_secs_f64(number.max(0.0)).unwrap_or(most))
}
