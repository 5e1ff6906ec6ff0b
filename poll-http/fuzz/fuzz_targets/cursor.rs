//! Any text that parses as a cursor is the canonical form of that cursor.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(cursor) = text.parse::<poll_core::Cursor>() {
        assert_eq!(cursor.to_string(), text);
    }
});
