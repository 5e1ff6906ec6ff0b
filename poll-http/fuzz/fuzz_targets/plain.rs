//! Any bytes are a plain HTTP/1.1 request, of which nothing is left over, or left to the engine, and never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| poll_http::fuzzing::plain(bytes));
