//! Any bytes are a complete plain HTTP/1.1 request or left to hyper, and never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| poll_http::fuzzing::plain(bytes));
