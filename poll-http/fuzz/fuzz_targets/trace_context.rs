//! Any `traceparent` that is read is written in version 00, and read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use poll_http::TraceContext;

fuzz_target!(|value: &[u8]| {
    if let Some(context) = TraceContext::parse(value) {
        assert_eq!(TraceContext::parse(context.to_string().as_bytes()), Some(context));
    }
});
