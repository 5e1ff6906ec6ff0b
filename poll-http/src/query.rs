//! A query string, or a form, read by name. Knows how parameters are written, not what they mean.
//!
//! Percent-encoding and `+` are undone (WHATWG URL §5.1); what is not UTF-8 then is an error of the parameter
//! that holds it. Nothing is allocated for parameters nobody asks for.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::error::Refusal;

/// `name=value` pairs as they stand on the wire.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Query<'a>(&'a [u8]);

/// What a parameter that is given twice means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeats {
    Refused,
    FirstWins,
}

impl<'a> Query<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self(text)
    }

    /// The value of a parameter, if it is given. A name without `=` has the empty value.
    pub(crate) fn get(self, name: &str, repeats: Repeats) -> Result<Option<Cow<'a, str>>, Refusal> {
        let [value] = self.get_all([name], repeats)?;
        Ok(value)
    }

    /// The values of some parameters, in one pass.
    pub(crate) fn get_all<const N: usize>(
        self,
        names: [&str; N],
        repeats: Repeats,
    ) -> Result<[Option<Cow<'a, str>>; N], Refusal> {
        let mut found = [None; N];
        let mut rest = self.0;
        while !rest.is_empty() {
            let (pair, after) = cut(rest, b'&');
            rest = after;
            let (key, value) = cut(pair, b'=');
            let Some(index) = names.iter().position(|name| is(key, name)) else { continue };
            match (found[index], repeats) {
                (None, _) => found[index] = Some(value),
                (Some(_), Repeats::Refused) => {
                    let name = names[index];
                    return Err(Refusal::bad_request(format!("parameter `{name}` is given more than once")));
                }
                (Some(_), Repeats::FirstWins) => {}
            }
        }
        let mut values = [const { None }; N];
        for ((value, found), name) in values.iter_mut().zip(found).zip(names) {
            let not_text =
                || Refusal::bad_request(format!("parameter `{name}` is not percent-encoded UTF-8"));
            *value = found.map(|found| decode(found).ok_or_else(not_text)).transpose()?;
        }
        Ok(values)
    }
}

/// What stands before the first `mark` and behind it; all and nothing where there is none.
fn cut(text: &[u8], mark: u8) -> (&[u8], &[u8]) {
    // Too short for anything quicker than a loop.
    match text.iter().position(|&byte| byte == mark) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, b""),
    }
}

fn is(key: &[u8], name: &str) -> bool {
    key == name.as_bytes() || (key.contains(&b'%') && percent_decode(key).eq(name.bytes()))
}

/// Undoes `+` and percent-encoding; `None` where a `%` encodes nothing or the bytes are not UTF-8.
fn decode(value: &[u8]) -> Option<Cow<'_, str>> {
    if !value.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return std::str::from_utf8(value).ok().map(Cow::Borrowed);
    }
    if !is_encoded(value) {
        return None;
    }
    let spaced: Vec<u8> = value.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
    let bytes: Vec<u8> = percent_decode(&spaced).collect();
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// Whether two hexadecimal digits follow each `%`.
pub(crate) fn is_encoded(text: &[u8]) -> bool {
    text.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| {
        let digits = text.get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(query: &str, name: &str) -> Option<String> {
        Query::new(query.as_bytes()).get(name, Repeats::FirstWins).unwrap().map(Cow::into_owned)
    }

    #[test]
    fn values_are_decoded() {
        assert_eq!(get("a=1&b=x+y%2B%E2%98%83", "b").as_deref(), Some("x y+☃"));
        assert_eq!(get("%61=1", "a").as_deref(), Some("1"));
        assert_eq!(get("a", "a").as_deref(), Some(""));
        assert_eq!(get("a=b=c", "a").as_deref(), Some("b=c"));
        assert_eq!(get("ab=1&&", "a"), None);
    }

    #[test]
    fn repeats_are_refused_or_the_first_wins() {
        let query = Query::new(b"a=1&b=2&a=3");
        assert_eq!(query.get("a", Repeats::FirstWins).unwrap().unwrap(), "1");
        assert!(query.get("a", Repeats::Refused).is_err());
        assert!(query.get("b", Repeats::Refused).is_ok());
    }

    #[test]
    fn broken_encoding_is_refused() {
        for bad in ["a=%", "a=%4", "a=%zz", "a=%ff", "a=%+1"] {
            assert!(Query::new(bad.as_bytes()).get("a", Repeats::FirstWins).is_err(), "{bad}");
        }
    }
}
