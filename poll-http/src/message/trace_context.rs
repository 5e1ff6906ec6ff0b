//! `traceparent`: the trace that a request belongs to (W3C Trace Context, <https://www.w3.org/TR/trace-context/>).
//!
//! A pure function of the field's value. Whatever breaks the grammar is as if it were not there, as section 2.2.2 demands.
//! Not here: `tracestate`, which is for vendors' own systems, and what becomes of the context.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

use crate::message::head::{Field, Head};

/// Where a request stands in a trace: its caller's span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace: the same for all requests that one thing led to.
    pub trace_id: NonZeroU128,
    /// The span that the request belongs to at its sender.
    pub parent_id: NonZeroU64,
    /// Whether the caller may record the trace.
    pub sampled: Sampled,
}

/// The flag `sampled` (section 3.2.3.5). All others are unknown to version 00, and not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Sampled {
    Yes,
    No,
}

/// The length of version 00: `00-` trace `-` parent `-` flags.
const LENGTH: usize = 55;

impl TraceContext {
    /// A request's. Of several values none counts (section 3.2).
    pub(crate) fn of(head: Head<'_>) -> Option<Self> {
        head.single(Field::Traceparent).ok()?.and_then(Self::parse)
    }

    /// Reads the value of `traceparent`. A higher version is read as far as this one goes (section 3.2.4).
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (known, rest) = value.split_at_checked(LENGTH)?;
        let [v0, v1, b'-', known @ ..] = known else { return None };
        let version = hexadecimal(&[*v0, *v1])?;
        let is_whole = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.first().is_none_or(|&next| next == b'-'),
        };
        let (trace, known) = known.split_at_checked(32)?;
        let (b'-', known) = known.split_first()? else { return None };
        let (parent, known) = known.split_at_checked(16)?;
        let (b'-', flags) = known.split_first()? else { return None };
        let parent = u64::try_from(hexadecimal(parent)?).ok()?;
        let sampled = if hexadecimal(flags)? & 1 == 1 { Sampled::Yes } else { Sampled::No };
        let (trace_id, parent_id) = (NonZeroU128::new(hexadecimal(trace)?)?, NonZeroU64::new(parent)?);
        is_whole.then_some(Self { trace_id, parent_id, sampled })
    }
}

/// The value of lower-case hexadecimal digits, which are at most 32.
fn hexadecimal(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

/// As `traceparent` has it, in version 00.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace_id, parent_id, sampled } = self;
        let flags = if *sampled == Sampled::Yes { "01" } else { "00" };
        write!(f, "00-{trace_id:032x}-{parent_id:016x}-{flags}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "b7ad6b7169203331";

    fn parse(text: &str) -> Option<TraceContext> {
        TraceContext::parse(text.as_bytes())
    }

    #[test]
    fn what_the_standard_allows_is_read() {
        let context = |sampled| TraceContext {
            trace_id: NonZeroU128::new(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c).unwrap(),
            parent_id: NonZeroU64::new(0xb7ad_6b71_6920_3331).unwrap(),
            sampled,
        };
        for (version, flags, rest, sampled) in [
            ("00", "01", "", Sampled::Yes),
            ("00", "00", "", Sampled::No),
            ("00", "03", "", Sampled::Yes),
            ("00", "fe", "", Sampled::No),
            ("01", "01", "", Sampled::Yes),
            ("cc", "01", "-what-the-future-will-be-like", Sampled::Yes),
            ("cc", "01", "-", Sampled::Yes),
            ("fe", "00", "-a.b", Sampled::No),
        ] {
            let text = format!("{version}-{TRACE}-{PARENT}-{flags}{rest}");
            assert_eq!(parse(&text), Some(context(sampled)), "{text}");
        }
    }

    #[test]
    fn what_breaks_the_grammar_is_none() {
        let zeros = ("0".repeat(32), "0".repeat(16));
        for text in [
            String::new(),
            "00".to_owned(),
            format!("00-{TRACE}-{PARENT}"),
            format!("00-{TRACE}-{PARENT}-"),
            format!("00-{TRACE}-{PARENT}-1"),
            format!("00-{TRACE}-{PARENT}-01-"),
            format!("00-{TRACE}-{PARENT}-01-what"),
            format!("00-{TRACE}-{PARENT}-01 "),
            format!(" 00-{TRACE}-{PARENT}-01"),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("0-{TRACE}-{PARENT}-01"),
            format!("000-{TRACE}-{PARENT}-01"),
            format!("qq-{TRACE}-{PARENT}-01"),
            format!("CC-{TRACE}-{PARENT}-01"),
            format!("cc-{TRACE}-{PARENT}-01.what"),
            format!("cc-{TRACE}-{PARENT}-012"),
            format!("00-{}-{PARENT}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{}-01", PARENT.to_uppercase()),
            format!("00-{TRACE}-{PARENT}-0A"),
            format!("00-{}-{PARENT}-01", zeros.0),
            format!("00-{TRACE}-{}-01", zeros.1),
            format!("00-{}-{PARENT}-01", &TRACE[1..]),
            format!("00-{TRACE}-0{PARENT}-01"),
            format!("00_{TRACE}-{PARENT}-01"),
            format!("00-{TRACE}_{PARENT}-01"),
            format!("00-{TRACE}-{PARENT}_01"),
        ] {
            assert_eq!(parse(&text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace in 1u128.., parent in 1u64.., sampled: bool) {
            let context = TraceContext {
                trace_id: NonZeroU128::new(trace).unwrap(),
                parent_id: NonZeroU64::new(parent).unwrap(),
                sampled: if sampled { Sampled::Yes } else { Sampled::No },
            };
            prop_assert_eq!(parse(&context.to_string()), Some(context));
        }

        #[test]
        fn whatever_is_read_of_this_version_is_written_the_same_but_for_flags(
            text in "(00|01|ff)-[0-9a-g]{32}-[0-9a-f]{16}-[0-9a-f]{2}",
        ) {
            if let Some(context) = parse(&text) {
                let written = context.to_string();
                prop_assert_eq!(&written[2..53], &text[2..53]);
            }
        }

        #[test]
        fn bytes_never_make_it_panic(bytes: Vec<u8>, text in "\\PC{50,60}") {
            let _ = TraceContext::parse(&bytes);
            let _ = TraceContext::parse(text.as_bytes());
        }
    }
}
