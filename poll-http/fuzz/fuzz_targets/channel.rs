//! The channel dialect parses or refuses any query and body, and never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &[u8])| poll_http::fuzzing::channel(input.0, input.1));
