//! Any text that parses as a cursor or a token is the canonical form of it, but that a compound token may have its channels in
//! another order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use poll_core::{Cursor, Token};

fuzz_target!(|text: &str| {
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string(), text);
    }
    match text.parse::<Token>() {
        Ok(Token::Cursor(cursor)) => assert_eq!(cursor.to_string(), text),
        Ok(Token::Set(set)) => {
            let written = set.to_string();
            assert_eq!(written.len(), text.len());
            assert_eq!(written.parse(), Ok(Token::Set(set)));
        }
        Err(_) => {}
    }
});
