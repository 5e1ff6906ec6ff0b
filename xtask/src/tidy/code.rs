//! Rust source with its comments and the insides of its literals blanked, line by line as it was.
//!
//! So that a rule against a call does not strike a comment that explains it or a table that lists it. Not a parser:
//! it knows just enough of the language to tell code from text.

/// What the scanner is inside of.
#[derive(Clone, Copy)]
enum State {
    Code,
    LineComment,
    /// Nested as deep as this.
    BlockComment(u32),
    Text,
    /// Ends at a quote followed by so many `#`.
    RawText(usize),
}

/// The code in `source`: same lines, same columns, but spaces where comments and literals' insides were.
pub(super) fn code_of(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut state = State::Code;
    let mut at = 0;
    while at < chars.len() {
        let (next, taken) = step(state, &chars, at);
        for &c in &chars[at..at + taken] {
            let shown = c == '\n' || matches!((state, next), (State::Code, State::Code));
            code.push(if shown { c } else { ' ' });
        }
        (state, at) = (next, at + taken);
    }
    code
}

/// The state after the next token, and how many characters that token takes.
fn step(state: State, chars: &[char], at: usize) -> (State, usize) {
    let here = chars[at];
    let next = chars.get(at + 1).copied();
    match state {
        State::Code => step_code(chars, at),
        State::LineComment if here == '\n' => (State::Code, 1),
        State::BlockComment(depth) if here == '/' && next == Some('*') => (State::BlockComment(depth + 1), 2),
        State::BlockComment(depth) if here == '*' && next == Some('/') => {
            (if depth == 1 { State::Code } else { State::BlockComment(depth - 1) }, 2)
        }
        State::Text if here == '\\' && next.is_some() => (State::Text, 2),
        State::Text if here == '"' => (State::Code, 1),
        State::RawText(hashes) if here == '"' && count(chars, at + 1, '#') >= hashes => {
            (State::Code, 1 + hashes)
        }
        inside => (inside, 1),
    }
}

fn step_code(chars: &[char], at: usize) -> (State, usize) {
    let next = chars.get(at + 1).copied();
    let after_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match chars[at] {
        '/' if next == Some('/') => (State::LineComment, 2),
        '/' if next == Some('*') => (State::BlockComment(1), 2),
        '"' => (State::Text, 1),
        // `r"`, `br#"`; not the end of a longer word, nor a raw name such as `r#type`.
        'r' if !after_word || (at > 0 && chars[at - 1] == 'b') => {
            let hashes = count(chars, at + 1, '#');
            if chars.get(at + 1 + hashes) == Some(&'"') {
                (State::RawText(hashes), 2 + hashes)
            } else {
                (State::Code, 1)
            }
        }
        // A character literal; anything else behind a quote is a lifetime.
        '\'' if next == Some('\\') => {
            let end = (at + 3..chars.len()).find(|&i| chars[i] == '\'').unwrap_or(chars.len() - 1);
            (State::Code, end + 1 - at)
        }
        '\'' if chars.get(at + 2) == Some(&'\'') => (State::Code, 3),
        _ => (State::Code, 1),
    }
}

fn count(chars: &[char], from: usize, wanted: char) -> usize {
    chars.get(from..).unwrap_or_default().iter().take_while(|&&c| c == wanted).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_code_stays_in_place() {
        let source = "let a = \"todo!()\"; // todo!()\nlet b = r#\"x \" y\"#; /* a /* b */ c */ f('\"', '\\'', b'x');\n";
        let code = code_of(source);
        assert_eq!(code.lines().count(), source.lines().count());
        assert!(!code.contains("todo"));
        assert!(code.contains("let b = "));
        assert!(code.contains("f('\"', '\\'', b'x');"));
        assert_eq!(code.find("let b"), source.find("let b"));
    }

    #[test]
    fn lifetimes_and_raw_names_are_code() {
        let source = "fn f<'a>(r#type: &'a str, for_: u8) -> &'a str { r#type }";
        assert_eq!(code_of(source), source);
    }

    #[test]
    fn text_over_several_lines_keeps_its_line_breaks() {
        let code = code_of("let a = \"one\n todo!()\n\";\nlet b = 1;\n");
        assert_eq!(code.lines().nth(3), Some("let b = 1;"));
        assert!(!code.contains("todo"));
    }
}
