//! What is kept weighs what it claims to weigh: a small payload keeps no large buffer alive.

use bytes::Bytes;
use poll_core::Payload;

/// The size of the buffer under a payload that is not shared.
fn buffer(payload: Payload) -> usize {
    let (Payload::Json(bytes) | Payload::Text(bytes) | Payload::Binary(bytes)) = payload;
    bytes.try_into_mut().expect("a buffer of its own").capacity()
}

#[test]
fn white_space_that_was_taken_out_of_json_is_not_kept_in_memory() {
    let spacious = format!("[{}1]", " ".repeat(60_000));
    assert!(buffer(Payload::json(spacious.as_bytes()).unwrap()) < 64);
}

#[test]
fn a_piece_of_a_large_buffer_does_not_keep_the_buffer() {
    let read = Bytes::from(vec![0xff; 60_000]);
    assert!(buffer(Payload::bytes(read.slice(100..110))) < 64);
    assert!(buffer(Payload::bytes(Bytes::from("a".repeat(60_000)).slice(..10))) < 64);
}

#[test]
fn a_text_keeps_no_room_to_grow() {
    let mut text = String::with_capacity(60_000);
    text.push_str("short");
    assert!(buffer(Payload::text(text)) < 64);
}
