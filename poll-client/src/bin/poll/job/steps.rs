//! Finds steps in a command's output: `3/10` or `30%` in a line.
//!
//! Lines also end with a carriage return, with which programs draw their progress over itself.

use poll_client::Step;

/// The longest message, in characters, and the longest line that is looked at, in bytes.
const MESSAGE: usize = 200;
const LINE: usize = 4096;

/// Takes pieces of output.
#[derive(Default)]
pub(super) struct Output {
    line: Vec<u8>,
}

impl Output {
    /// The last step in the lines that end in this piece.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Option<Step> {
        let mut found = None;
        for &byte in piece {
            if matches!(byte, b'\n' | b'\r') {
                found = step(&String::from_utf8_lossy(&self.line)).or(found);
                self.line.clear();
            } else if self.line.len() < LINE {
                self.line.push(byte);
            }
        }
        found
    }

    /// The step in a last line without an end.
    pub(super) fn finish(&mut self) -> Option<Step> {
        self.feed(b"\n")
    }
}

/// The first step in a line.
fn step(line: &str) -> Option<Step> {
    let line = plain(line);
    let starts = line.char_indices().filter(|(index, character)| {
        character.is_ascii_digit() && !line[..*index].ends_with(is_part_of_a_number)
    });
    let (step, total) = starts.map(|(index, _)| &line[index..]).find_map(numbers)?;
    let message: String = line.trim().chars().take(MESSAGE).collect();
    Some(Step { step, total, message: Some(message), status: None })
}

/// `3/10`, `3 / 10` and `3 of 10` are out of ten, `30%` and `30.5 %` out of a hundred.
fn numbers(text: &str) -> Option<(u64, u64)> {
    let (first, rest) = number(text)?;
    if let Some(rest) = rest.trim_start_matches(' ').strip_prefix('/') {
        let (total, rest) = number(rest.trim_start_matches(' '))?;
        let ends = !rest.starts_with(is_part_of_a_number)
            || rest.strip_prefix(['.', '-']).is_some_and(|rest| !rest.starts_with(is_part_of_a_number));
        return (ends && total > 0 && first <= total).then_some((first, total));
    }
    let rest = match rest.strip_prefix('.') {
        Some(decimals) => decimals.trim_start_matches(|digit: char| digit.is_ascii_digit()),
        None => rest,
    };
    (rest.trim_start_matches(' ').starts_with('%') && first <= 100).then_some((first, 100))
}

fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// Beside a number: it is then part of a path, a date, a version or a word.
fn is_part_of_a_number(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '/' | '.' | '-' | '_' | '\\')
}

/// Without escape sequences (ECMA-48, section 5.4) and control characters.
fn plain(line: &str) -> String {
    let mut plain = String::new();
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' && characters.next_if_eq(&'[').is_some() {
            let mut parameters = characters.by_ref().skip_while(|character| !('@'..='~').contains(character));
            parameters.next();
        } else if character == '\t' {
            plain.push(' ');
        } else if !character.is_control() {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fractions_and_percentages_are_steps() {
        for (line, expected) in [
            ("3/10", Some((3, 10))),
            ("[3/10] CC main.o", Some((3, 10))),
            ("Step 3/10 : RUN make", Some((3, 10))),
            ("(3 / 10)", Some((3, 10))),
            ("   Building [==>   ] 12/340: tokio", Some((12, 340))),
            ("tests/it.py ....   [ 30%]", Some((30, 100))),
            ("30%|###       | 3/10", Some((30, 100))),
            ("done 30.7 %", Some((30, 100))),
            ("\u{1b}[32m3/10\u{1b}[0m ok", Some((3, 10))),
            ("read 3/10.", Some((3, 10))),
            ("0/10", Some((0, 10))),
            ("see a/3/10", None),
            ("26/11/2026", None),
            ("11/26/2026", None),
            ("v1.3/10", None),
            ("12/10", None),
            ("3/0", None),
            ("130%", None),
            ("1/2x", None),
            ("99999999999999999999999/2", None),
            ("3 / x", None),
            ("nothing", None),
            ("", None),
        ] {
            assert_eq!(step(line).map(|step| (step.step, step.total)), expected, "{line}");
        }
    }

    #[test]
    fn a_message_is_the_line_without_what_steers_a_terminal() {
        let step = step("  \u{1b}[1;32m[3/10]\u{1b}[K\u{7} linking\tmain ").unwrap();
        assert_eq!(step.message.as_deref(), Some("[3/10] linking main"));
        let long = format!("1/2 {}", "é".repeat(1000));
        assert_eq!(super::step(&long).unwrap().message.unwrap().chars().count(), 200);
    }

    #[test]
    fn lines_come_in_pieces_and_end_with_either_return() {
        let mut output = Output::default();
        assert_eq!(output.feed(b"1/3 a\n2/"), Some(step("1/3 a").unwrap()));
        assert_eq!(output.feed(b"3 b"), None);
        assert_eq!(output.feed(b"\r"), Some(step("2/3 b").unwrap()));
        assert_eq!(output.feed(b"\r\nplain\n3/3"), None);
        assert_eq!(output.finish(), Some(step("3/3").unwrap()));
        assert_eq!(output.finish(), None);
    }

    proptest! {
        #[test]
        fn whatever_is_printed_a_step_is_within_its_total(line in "[0-9/%. \\[\\]a\u{1b}m-]{0,40}") {
            if let Some(step) = step(&line) {
                prop_assert!(step.total > 0 && step.step <= step.total);
            }
        }
    }
}
