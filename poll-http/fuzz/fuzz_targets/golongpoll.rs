//! Any query and any body are a question, a publish or a refusal of the golongpoll dialect, and never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &[u8])| poll_http::fuzzing::golongpoll(input.0, input.1));
