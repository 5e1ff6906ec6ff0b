//! The steps of a job: how they are reported, stored and streamed.
//!
//! A job is a channel, and any publisher can put any message there. One that is not a valid step is left out of the
//! job's stream, whose readers would mistake its fields for a step's or for the stream's own; polls of the channel show
//! it. A final status is shown only on the message that ended the channel.

use poll_core::{Message, Payload, Publish};

use crate::dialect::object::{self, Fields};
use crate::dialect::stream_event::Finality;
use crate::message::json::{write_number, write_string, write_time};
use crate::message::refusal::Refusal;

/// One step of a job.
struct Step {
    step: u64,
    total: u64,
    message: Option<String>,
    status: Option<String>,
}

impl Step {
    /// Parses compact JSON; `null` counts as absent.
    fn of(json: &[u8]) -> Result<Self, Refusal> {
        let malformed = || {
            let keys = "a JSON object with whole numbers `step` and `total`, and texts `message` and `status` if any";
            Refusal::bad_request(format!("the body is not {keys}"))
        };
        let (mut step, mut total, mut message, mut status) = (None, None, None, None);
        for (name, value) in Fields::of(json) {
            let number = || std::str::from_utf8(value).ok().and_then(whole).ok_or_else(malformed);
            let text = || match value {
                b"null" => Ok(None),
                value => object::text(value).map(|text| Some(text.into_owned())).ok_or_else(malformed),
            };
            match object::text(name).as_deref() {
                Some("step") => step = Some(number()?),
                Some("total") => total = Some(number()?),
                Some("message") => message = text()?,
                Some("status") => status = text()?,
                _ => {}
            }
        }
        let (Some(step), Some(total)) = (step, total) else { return Err(malformed()) };
        if total == 0 {
            return Err(Refusal::bad_request("`total` must be at least 1"));
        }
        if step > total {
            return Err(Refusal::bad_request("`step` must not be above `total`"));
        }
        Ok(Self { step, total, message, status })
    }

    /// Whether its status ends the job.
    fn is_final(&self) -> bool {
        matches!(self.status.as_deref(), Some("done" | "failed"))
    }

    /// Writes a JSON object without its closing brace.
    fn write(&self, out: &mut Vec<u8>) {
        let Self { step, total, message, status } = self;
        out.extend_from_slice(br#"{"step":"#);
        write_number(out, *step);
        out.extend_from_slice(br#","total":"#);
        write_number(out, *total);
        out.extend_from_slice(br#","percentage":"#);
        let percentage = u128::from(*step) * 100 / u128::from((*total).max(1));
        write_number(out, u64::try_from(percentage).unwrap_or(u64::MAX));
        out.extend_from_slice(br#","message":"#);
        match message {
            Some(message) => write_string(out, message),
            None => write_string(out, &format!("Processing step {step} of {total}")),
        }
        if let Some(status) = status {
            out.extend_from_slice(br#","status":"#);
            write_string(out, status);
        }
    }

    fn into_publish(self, most_payload: usize) -> Result<Publish, Refusal> {
        let mut out = Vec::new();
        self.write(&mut out);
        out.push(b'}');
        if out.len() > most_payload {
            return Err(Refusal::too_large("the step", most_payload));
        }
        let payload = json(&out)?;
        let publish = Publish::one(payload);
        Ok(if self.is_final() { publish.closing() } else { publish })
    }
}

/// A whole number as JSON may write it: `2.0` and `2e0` are 2 as well.
fn whole(text: &str) -> Option<u64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let number = text.parse::<f64>().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "whole, not negative, and below 2^64"
    )]
    (number.fract() == 0.0 && (0.0..u64::MAX as f64).contains(&number)).then_some(number as u64)
}

fn json(text: &[u8]) -> Result<Payload, Refusal> {
    Payload::json(text).map_err(|error| Refusal::bad_request(format!("the body: {error}")))
}

/// Parses the report of a step. One with a final status ends the job's channel.
pub(crate) fn progress_report(body: &[u8], most_payload: usize) -> Result<Publish, Refusal> {
    Step::of(json(body)?.as_bytes())?.into_publish(most_payload)
}

/// A step reported by the server itself.
pub(crate) fn step(
    step: u64,
    total: u64,
    message: Option<String>,
    status: Option<&str>,
) -> Result<Publish, Refusal> {
    Step { step, total, message, status: status.map(str::to_owned) }.into_publish(usize::MAX)
}

/// Writes a message of a job's channel as readers of the job see it: a step with its time. `None` if it is not a step.
pub(super) fn write_step(out: &mut Vec<u8>, message: &Message, finality: Finality) -> Option<()> {
    let Payload::Json(json) = &message.payload else { return None };
    let mut step = Step::of(json).ok()?;
    if step.is_final() && finality == Finality::MoreMayFollow {
        step.status = None;
    }
    step.write(out);
    out.extend_from_slice(br#","timestamp":"#);
    write_time(out, message.at);
    out.push(b'}');
    Some(())
}

#[cfg(test)]
mod tests {
    use poll_core::{Ending, Seq, Timestamp};

    use super::*;

    #[test]
    fn a_step_has_a_percentage_and_a_status_ends_the_job() {
        let publish = progress_report(br#"{"step":1,"total":3,"message":"x"}"#, 64).unwrap();
        let expected = br#"{"step":1,"total":3,"percentage":33,"message":"x"}"#;
        assert_eq!(publish, Publish::one(Payload::json(expected).unwrap()));
        for (status, ending) in [("done", Ending::Close), ("failed", Ending::Close), ("busy", Ending::Open)] {
            let body = format!(r#"{{"step":3,"total":3,"status":"{status}"}}"#);
            assert_eq!(progress_report(body.as_bytes(), 128).unwrap().ending, ending);
        }
        let longer = progress_report(br#"{"step":1,"total":3,"message":"x"}"#, 49).unwrap_err();
        assert_eq!(longer.status().as_u16(), 413);
        let same = progress_report(br#"{"step":1e0,"total":3.0,"message":"x"}"#, 64).unwrap();
        assert_eq!(same, Publish::one(Payload::json(expected).unwrap()));
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"step":-1,"total":2}"#,
            r#"{"step":1.5,"total":2}"#,
            r#"{"step":1,"total":2e19}"#,
            r#"{"step":3,"total":2}"#,
            r#"{"step":0,"total":0}"#,
        ] {
            assert!(progress_report(bad.as_bytes(), 128).is_err(), "{bad}");
        }
    }

    #[test]
    fn followers_are_shown_steps_and_only_the_channels_end_as_final() {
        let shown = |payload: Payload, finality: Finality| {
            let at = Timestamp::from_micros(1_500_000);
            let message = Message { seq: Seq::new(1), id: uuid::Uuid::nil(), at, payload };
            let mut out = Vec::new();
            let frame = write_step(&mut out, &message, finality);
            assert_eq!(frame.is_none(), out.is_empty());
            String::from_utf8(out).unwrap().replace(r#","timestamp":"1970-01-01T00:00:01.500000Z""#, "")
        };
        let json = |text: &str| Payload::json(text.as_bytes()).unwrap();
        for foreign in [
            Payload::text(r#"{"step":1,"total":2}"#),
            Payload::bytes(b"\xff"),
            json("1"),
            json(r#"{"status":"done"}"#),
            json(r#"{"type":"closed","reason":"draining"}"#),
            json(r#"{"step":1,"total":2,"status":5}"#),
            json(r#"{"step":1,"total":0}"#),
        ] {
            assert_eq!(shown(foreign, Finality::Last), "");
        }
        let spoof = r#"{"type":"closed","step":2,"total":2,"percentage":7,"timestamp":"x","status":"done"}"#;
        let plain = r#"{"step":2,"total":2,"percentage":100,"message":"Processing step 2 of 2""#;
        assert_eq!(shown(json(spoof), Finality::MoreMayFollow), format!("{plain}}}"));
        assert_eq!(shown(json(spoof), Finality::Last), format!(r#"{plain},"status":"done"}}"#));
        let busy = json(r#"{"step":2,"total":2,"status":"busy"}"#);
        assert_eq!(shown(busy, Finality::MoreMayFollow), format!(r#"{plain},"status":"busy"}}"#));
    }
}
