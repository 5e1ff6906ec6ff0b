//! Chunked content is refused, or ends where another parser finds its end, and never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| poll_http::fuzzing::framing(bytes));
