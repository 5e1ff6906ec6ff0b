//! A query string, or a form, read by name. Knows how parameters are written, not what they mean.
//!
//! Percent-encoding and `+` are undone (WHATWG URL §5.1); what is not UTF-8 then is an error of the parameter
//! that holds it. Nothing is allocated for parameters nobody asks for.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::error::Refusal;
use crate::head::Head;

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
    /// Of a request's target.
    pub(crate) fn of(head: Head<'a>) -> Self {
        Self(head.query().as_bytes())
    }

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
            let (pair, after) = Pair::first(rest);
            rest = after;
            let Some(index) = names.iter().position(|name| pair.is(name)) else { continue };
            match (found[index], repeats) {
                (None, _) => found[index] = Some(pair),
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
            *value = found.map(|pair| pair.value().ok_or_else(not_text)).transpose()?;
        }
        Ok(values)
    }
}

/// One pair, still encoded.
#[derive(Clone, Copy)]
struct Pair<'a> {
    key: &'a [u8],
    value: &'a [u8],
    coding: Coding,
}

/// Whether anything in a pair stands for something else.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    Encoded,
    Plain,
}

impl<'a> Pair<'a> {
    /// The pair that `text` begins with, and what comes behind its `&`.
    fn first(text: &'a [u8]) -> (Self, &'a [u8]) {
        let (mut mark, mut end, mut coding) = (None, text.len(), Coding::Plain);
        for (at, &byte) in text.iter().enumerate() {
            match byte {
                b'&' => {
                    end = at;
                    break;
                }
                b'=' if mark.is_none() => mark = Some(at),
                b'%' | b'+' => coding = Coding::Encoded,
                _ => {}
            }
        }
        let (key, value) = (&text[..mark.unwrap_or(end)], mark.map_or(&[][..], |mark| &text[mark + 1..end]));
        (Self { key, value, coding }, text.get(end + 1..).unwrap_or_default())
    }

    fn is(&self, name: &str) -> bool {
        self.key == name.as_bytes()
            || (self.coding == Coding::Encoded
                && self.key.contains(&b'%')
                && percent_decode(self.key).eq(name.bytes()))
    }

    /// `None` where it is not percent-encoded UTF-8.
    fn value(&self) -> Option<Cow<'a, str>> {
        match self.coding {
            Coding::Plain => std::str::from_utf8(self.value).ok().map(Cow::Borrowed),
            Coding::Encoded => decode(self.value),
        }
    }
}

/// Undoes `+` and percent-encoding; `None` where a `%` encodes nothing or the bytes are not UTF-8.
fn decode(value: &[u8]) -> Option<Cow<'_, str>> {
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
