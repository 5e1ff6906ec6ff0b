//! A Rust file as a flat list of tokens, so that a rule about code is not triggered by comments or text.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// A word, a literal, `::`, or one character of punctuation.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) text: String,
    /// From 1.
    pub(super) line: usize,
}

/// The tokens of a file; what does not lex is the compiler's to report, and has none. A doc comment is an attribute.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let mut all = Vec::new();
    flatten(source.parse().unwrap_or_default(), &mut all);
    all
}

/// Whether the tokens that begin at `at` read so.
pub(super) fn reads(tokens: &[Token], at: usize, wanted: &[&str]) -> bool {
    let there = tokens.get(at..).unwrap_or_default();
    there.len() >= wanted.len() && there.iter().zip(wanted).all(|(token, wanted)| token.text == *wanted)
}

/// The same for a pattern of tokens with spaces between them.
pub(super) fn reads_all(tokens: &[Token], at: usize, wanted: &str) -> bool {
    reads(tokens, at, &wanted.split(' ').collect::<Vec<_>>())
}

fn flatten(stream: TokenStream, all: &mut Vec<Token>) {
    let mut is_joint = false;
    for tree in stream {
        let was_joint = std::mem::take(&mut is_joint);
        let line = tree.span().start().line;
        let mut push = |text: String, line| all.push(Token { text, line });
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                push(open.to_owned(), line);
                flatten(group.stream(), all);
                all.push(Token { text: close.to_owned(), line: group.span_close().start().line });
            }
            TokenTree::Ident(word) => push(word.to_string(), line),
            TokenTree::Punct(mark) if was_joint && mark.as_char() == ':' => {
                if let Some(colon) = all.last_mut() {
                    colon.text.push(':');
                }
            }
            TokenTree::Punct(mark) => {
                is_joint = mark.as_char() == ':' && mark.spacing() == Spacing::Joint;
                push(mark.as_char().to_string(), line);
            }
            TokenTree::Literal(literal) => push(literal.to_string(), line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_not_code() {
        let source = "// todo!()\nlet a = \"todo!()\"; /* todo!() */\nf('\"', r#\"}\"#);";
        let tokens = tokens(source);
        assert!((0..tokens.len()).all(|at| !reads(&tokens, at, &["todo"])));
        let at = tokens.iter().position(|token| token.text == "f").unwrap();
        assert!(reads(&tokens, at, &["f", "(", "'\"'", ",", "r#\"}\"#", ")", ";"]));
        assert_eq!(tokens[at].line, 3);
    }
}
