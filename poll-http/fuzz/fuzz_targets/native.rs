//! Any query and any body are a question, a publish or a refusal of the native dialect, and never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &[u8])| poll_http::fuzzing::native(input.0, input.1));
