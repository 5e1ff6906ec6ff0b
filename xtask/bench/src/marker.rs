//! How a message's number travels in its payload, `#00000017#`, and how it is found again.
//!
//! No server escapes a marker, whatever it wraps the payload in (JSON, an event, a chunk), so one search fits all. A
//! marker may be split between two reads; what may be the beginning of one is left to the caller.

use memchr::memchr;

const MARK: u8 = b'#';
const DIGITS: usize = 8;
/// Of a whole marker.
const LENGTH: usize = DIGITS + 2;
/// Of a payload.
const PAYLOAD: usize = 100;

/// A payload that carries `number`: text that needs no escaping anywhere.
pub(crate) fn payload(number: u32) -> String {
    let mut text = format!("#{number:0DIGITS$}#");
    text.extend(('a'..='z').cycle().take(PAYLOAD - LENGTH));
    text
}

/// Passes every number in `bytes` to `each`, in order. Returns the offset from which on the bytes may be a split marker.
pub(crate) fn scan<E>(bytes: &[u8], mut each: impl FnMut(u32) -> Result<(), E>) -> Result<usize, E> {
    let mut at = 0;
    while let Some(found) = memchr(MARK, &bytes[at..]) {
        at += found;
        let digits = &bytes[at + 1..bytes.len().min(at + 1 + DIGITS)];
        let is_number = digits.iter().all(u8::is_ascii_digit);
        match bytes.get(at + LENGTH - 1) {
            None if is_number => return Ok(at),
            Some(&MARK) if is_number => {
                each(digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))?;
                at += LENGTH;
            }
            _ => at += 1,
        }
    }
    Ok(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(bytes: &[u8]) -> (Vec<u32>, usize) {
        let mut numbers = Vec::new();
        let rest = scan::<()>(bytes, |number| {
            numbers.push(number);
            Ok(())
        });
        (numbers, rest.unwrap())
    }

    #[test]
    fn what_only_looks_like_a_marker_is_none() {
        assert_eq!(numbers(b"# #1# #0000000a# #000000001# ##00000002#"), (vec![2], 40));
        assert_eq!(numbers(b""), (vec![], 0));
    }

    #[test]
    fn a_marker_is_found_once_wherever_it_is_split() {
        let text = format!("{{\"a\":\"{}\"}}\n{{\"b\":\"{}\"}}", payload(1), payload(99_999_999));
        let bytes = text.as_bytes();
        for cut in 0..=bytes.len() {
            let (mut found, rest) = numbers(&bytes[..cut]);
            found.extend(numbers(&bytes[rest..]).0);
            assert_eq!(found, [1, 99_999_999], "split at {cut}");
        }
    }
}
