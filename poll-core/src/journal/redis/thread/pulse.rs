//! What a session's pulse says: the time at the server, that it accepts writes, and that they become as safe as promised.

use redis::Value;

use super::link::Link;
use super::session::Session;
use crate::journal::redis::connect::durability::NotMet;
use crate::journal::{Fault, FaultKind};
use crate::types::Timestamp;

impl Link {
    /// A server answered the pulse that was sent at `asked`, by this server's clock.
    pub(crate) fn pulsed(
        &self,
        session: &Session,
        asked: Timestamp,
        answers: &[Value],
        waited: Result<(), NotMet>,
    ) {
        let [time, written, _] = answers else { return };
        self.change(|state, _| {
            let Some(line) = state.line(session.id) else { return };
            if *written == Value::Okay {
                line.signs.refusing = waited
                    .err()
                    .map(|NotMet(why)| Fault::new(FaultKind::Failing, format!("{}: {why}", session.address)));
            }
            line.ask_states();
            if let Some(there) = server_time(time) {
                line.behind = Some(self.clock().behind(line.behind, asked, there));
                // A message's time is then never in the future, whichever server of a cluster gave it.
                let behind = state.lines.iter().filter_map(|line| line.behind).max();
                self.clock().set(behind.unwrap_or_default());
            }
        });
        self.assess();
    }
}

/// From the answer to `TIME`: seconds and microseconds.
pub(crate) fn server_time(answer: &Value) -> Option<Timestamp> {
    let Value::Array(parts) = answer else { return None };
    let number = |value: &Value| match value {
        Value::BulkString(digits) => std::str::from_utf8(digits).ok()?.parse::<u64>().ok(),
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    };
    let [seconds, micros] = parts.as_slice() else { return None };
    Some(Timestamp::from_micros(number(seconds)?.checked_mul(1_000_000)?.checked_add(number(micros)?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_seconds_and_microseconds() {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let answer = Value::Array(vec![bulk("1700000000"), bulk("000042")]);
        assert_eq!(server_time(&answer), Some(Timestamp::from_micros(1_700_000_000_000_042)));
        assert_eq!(server_time(&Value::Okay), None);
        assert_eq!(server_time(&Value::Array(vec![bulk("18446744073709551615"), bulk("0")])), None);
    }
}
