//! The parsers against simple models: splitting the input anywhere changes nothing.

use poll_client::ndjson::{LineTooLong, Lines};
use poll_client::sse::{Event, EventTooLong, Item, Parser};
use proptest::prelude::*;

/// `input` cut at the given places, which are taken modulo what is left.
fn pieces<'a>(input: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let (mut rest, mut pieces) = (input, Vec::new());
    for cut in cuts {
        let (piece, after) = rest.split_at(cut % (rest.len() + 1));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

fn read_lines(pieces: &[&[u8]], limit: usize) -> (Vec<Vec<u8>>, Result<(), LineTooLong>) {
    let (mut lines, mut found) = (Lines::new(limit), Vec::new());
    for piece in pieces {
        lines.feed(piece);
        loop {
            match lines.next_line() {
                Ok(Some(line)) => found.push(line.to_vec()),
                Ok(None) => break,
                Err(error) => return (found, Err(error)),
            }
        }
    }
    (found, Ok(()))
}

fn lines_model(input: &[u8], limit: usize) -> (Vec<Vec<u8>>, Result<(), LineTooLong>) {
    let mut lines: Vec<&[u8]> = input.split(|&byte| byte == b'\n').collect();
    let unfinished = lines.pop().unwrap();
    let mut found = Vec::new();
    for line in lines {
        if line.len() > limit {
            return (found, Err(LineTooLong { limit }));
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.is_empty() {
            found.push(line.to_vec());
        }
    }
    let end = if unfinished.len() > limit { Err(LineTooLong { limit }) } else { Ok(()) };
    (found, end)
}

fn read_items(pieces: &[&[u8]], limit: usize) -> (Vec<Item>, Result<(), EventTooLong>) {
    let (mut parser, mut found) = (Parser::new(limit), Vec::new());
    for piece in pieces {
        parser.feed(piece);
        loop {
            match parser.next_item() {
                Ok(Some(item)) => found.push(item),
                Ok(None) => break,
                Err(error) => return (found, Err(error)),
            }
        }
    }
    (found, Ok(()))
}

/// The specification's algorithm on the whole text at once, without a bound.
fn sse_model(input: &[u8]) -> Vec<Item> {
    let input = input.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input);
    if b"\xef\xbb\xbf".starts_with(input) {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(input).replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop();
    let (mut found, mut id) = (Vec::new(), String::new());
    let (mut kind, mut data): (String, Vec<&str>) = (String::new(), Vec::new());
    for line in lines {
        if line.is_empty() {
            if !data.is_empty() {
                let kind = if kind.is_empty() { "message".to_owned() } else { kind.clone() };
                found.push(Item::Event(Event { kind, id: id.clone(), data: data.join("\n") }));
            }
            kind.clear();
            data.clear();
            continue;
        }
        let (name, value) = match line.find(':') {
            None => (line, ""),
            Some(at) => (&line[..at], line[at + 1..].strip_prefix(' ').unwrap_or(&line[at + 1..])),
        };
        match name {
            "" => found.push(Item::Comment),
            "data" => data.push(value),
            "event" => kind = value.to_owned(),
            "id" if !value.contains('\0') => id = value.to_owned(),
            "retry" if !value.is_empty() && value.chars().all(|digit| digit.is_ascii_digit()) => {
                found.push(Item::Retry(value.parse().unwrap_or(u64::MAX)));
            }
            _ => {}
        }
    }
    found
}

/// Bytes that parsers trip over more often than chance would have it.
fn tricky() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        &b"\n"[..],
        b"\r",
        b"\r\n",
        b"\n\n",
        b"\r\n\r\n",
        b":",
        b": ",
        b"data",
        b"data:",
        b"data: x",
        b"event: ",
        b"id: 1",
        b"id: \0",
        b"id",
        b"retry: 12",
        b"retry: 1x",
        b"retry:",
        b"retry: 99999999999999999999",
        b":\n\n",
        b"\xef\xbb\xbf",
        b"\xef",
        b"\xbb",
        "é".as_bytes(),
        "💡".as_bytes(),
        b"\xf0\x9f",
        b"\xff",
        b" ",
        b"abcdefgh",
    ]);
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn lines_cut_anywhere_are_the_models(input in tricky(), cuts in prop::collection::vec(0usize..40, 0..20), limit in 0usize..60) {
        let model = lines_model(&input, limit);
        prop_assert_eq!(read_lines(&pieces(&input, &cuts), limit), model.clone());
        let bytes: Vec<_> = input.chunks(1).collect();
        prop_assert_eq!(read_lines(&bytes, limit), model);
    }

    #[test]
    fn events_cut_anywhere_are_the_models(input in tricky(), cuts in prop::collection::vec(0usize..40, 0..20)) {
        let model = (sse_model(&input), Ok(()));
        prop_assert_eq!(read_items(&pieces(&input, &cuts), 100_000), model.clone());
        let bytes: Vec<_> = input.chunks(1).collect();
        prop_assert_eq!(read_items(&bytes, 100_000), model);
    }

    #[test]
    fn a_bounded_parser_fails_at_the_same_place_however_the_input_is_cut(input in tricky(), cuts in prop::collection::vec(0usize..40, 0..20), limit in 0usize..60) {
        let whole = read_items(&[&input], limit);
        prop_assert_eq!(read_items(&pieces(&input, &cuts), limit), whole.clone());
        // Up to its failure it gives what the unbounded one gives.
        prop_assert!(sse_model(&input).starts_with(&whole.0));
    }
}

#[test]
fn an_event_that_never_ends_is_bounded_and_comments_that_never_end_are_fine() {
    let data: Vec<_> = std::iter::repeat_n(&b"data: 12345678\n"[..], 100).collect();
    assert_eq!(read_items(&data, 100).1, Err(EventTooLong { limit: 100 }));
    let comments: Vec<_> = std::iter::repeat_n(&b": still here\n"[..], 100).collect();
    assert_eq!(read_items(&comments, 100), (vec![Item::Comment; 100], Ok(())));
}

#[test]
fn the_specifications_examples() {
    let events = |input: &str| -> Vec<(String, String)> {
        let (items, _) = read_items(&[input.as_bytes()], 1000);
        let events = items.into_iter().filter_map(|item| match item {
            Item::Event(event) => Some((event.data, event.id)),
            _ => None,
        });
        events.collect()
    };
    let one = |data: &str, id: &str| (data.to_owned(), id.to_owned());
    assert_eq!(events("data: YHOO\ndata: +2\ndata: 10\n\n"), [one("YHOO\n+2\n10", "")]);
    let three =
        ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n";
    assert_eq!(events(three), [one("first event", "1"), one("second event", ""), one(" third event", "")]);
    assert_eq!(events("data\n\ndata\ndata\n\ndata:"), [one("", ""), one("\n", "")]);
    assert_eq!(events("data:test\n\ndata: test\n\n"), [one("test", ""), one("test", "")]);
}
