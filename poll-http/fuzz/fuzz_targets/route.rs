//! Any path is a target or a client error, and never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|path: &str| {
    if let Err(refusal) = poll_http::Target::of(path) {
        assert!(refusal.status().is_client_error());
    }
});
