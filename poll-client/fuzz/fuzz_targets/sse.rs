//! Any bytes split anywhere give the same events as the whole, and never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use poll_client::sse::Parser;

fn read(pieces: &[&[u8]]) -> Vec<String> {
    let (mut reader, mut found) = (Parser::new(64), Vec::new());
    for piece in pieces {
        reader.feed(piece);
        while let Some(item) = reader.next_item().transpose() {
            found.push(format!("{item:?}"));
            if item.is_err() {
                return found;
            }
        }
    }
    found
}

fuzz_target!(|input: (usize, &[u8])| {
    let (head, tail) = input.1.split_at(input.0 % (input.1.len() + 1));
    assert_eq!(read(&[head, tail]), read(&[head, tail].concat().chunks(1).collect::<Vec<_>>()));
    assert_eq!(read(&[head, tail]), read(&[input.1]));
});
