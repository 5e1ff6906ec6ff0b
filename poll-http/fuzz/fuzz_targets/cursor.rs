//! Any text is a cursor that is written just so, or none.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(cursor) = text.parse::<poll_core::Cursor>() {
        assert_eq!(cursor.to_string(), text);
    }
});
