//! Markers: how a message's number travels in its payload, `#00000017#`, and how it is found again.
//!
//! Whatever a server wraps a payload in (JSON, an event, a chunk), the marker comes through as it is, so one way of
//! looking does for all. A marker may be cut between two reads; what may be the beginning of one is given back.

use memchr::memchr;

const MARK: u8 = b'#';
const DIGITS: usize = 8;
/// Of a whole marker.
const LENGTH: usize = DIGITS + 2;

/// A payload of `size` bytes that carries `number`: text that needs no escape in any wrapping.
pub(crate) fn payload(number: u32, size: usize) -> String {
    let mut text = format!("#{number:0DIGITS$}#");
    text.extend(('a'..='z').cycle().take(size.saturating_sub(LENGTH)));
    text
}

/// Gives every number in `bytes` to `each`, in order. Returns from where on the bytes may be a marker that is cut off:
/// to be shown again in front of what comes next.
pub(crate) fn scan<E>(bytes: &[u8], mut each: impl FnMut(u32) -> Result<(), E>) -> Result<usize, E> {
    let mut at = 0;
    while let Some(found) = memchr(MARK, &bytes[at..]) {
        at += found;
        match marker_at(&bytes[at..]) {
            Found::Number(number) => {
                each(number)?;
                at += LENGTH;
            }
            Found::CutOff => return Ok(at),
            Found::Other => at += 1,
        }
    }
    Ok(bytes.len())
}

enum Found {
    Number(u32),
    CutOff,
    Other,
}

fn marker_at(bytes: &[u8]) -> Found {
    let digits = &bytes[1..bytes.len().min(1 + DIGITS)];
    if !digits.iter().all(u8::is_ascii_digit) {
        return Found::Other;
    }
    match bytes.get(LENGTH - 1) {
        None => Found::CutOff,
        Some(&MARK) => {
            Found::Number(digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
        }
        Some(_) => Found::Other,
    }
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
    fn a_payload_has_its_size_and_its_number() {
        let text = payload(17, 100);
        assert_eq!(text.len(), 100);
        assert_eq!(numbers(text.as_bytes()), (vec![17], 100));
    }

    #[test]
    fn what_only_looks_like_a_marker_is_none() {
        assert_eq!(numbers(b"# #1# #0000000a# #000000001# ##00000002#"), (vec![2], 40));
        assert_eq!(numbers(b""), (vec![], 0));
    }

    #[test]
    fn a_marker_is_found_once_wherever_it_is_cut() {
        let text = format!("{{\"a\":\"{}\"}}\n{{\"b\":\"{}\"}}", payload(1, 12), payload(99_999_999, 12));
        let bytes = text.as_bytes();
        for cut in 0..=bytes.len() {
            let (mut found, rest) = numbers(&bytes[..cut]);
            found.extend(numbers(&bytes[rest..]).0);
            assert_eq!(found, [1, 99_999_999], "cut at {cut}");
        }
    }
}
