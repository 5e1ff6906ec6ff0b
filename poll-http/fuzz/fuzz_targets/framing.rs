//! Any bytes are chunked content that ends where everybody finds its end, or are refused, and never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| poll_http::fuzzing::framing(bytes));
