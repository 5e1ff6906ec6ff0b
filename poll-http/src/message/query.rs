//! A query string or form, read by parameter name (WHATWG URL, section 5.1). Knows the syntax, not the meaning.
//!
//! Only the parameters asked for are decoded, and one that is malformed is its own error, not the query's.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter};
use percent_encoding::{AsciiSet, percent_decode_str, percent_encode};

use crate::message::head::Head;
use crate::message::percent_encoding::decode;
use crate::message::refusal::Refusal;

/// `name=value` pairs, still encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a>(&'a str);

/// What to do with a parameter that is given more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeats {
    Refused,
    FirstWins,
}

/// As many values as a list mostly has.
const LISTED: usize = 16;

/// The values of some parameters.
type Values<'a, const N: usize> = [Option<Cow<'a, str>>; N];

fn repeated(name: &str) -> Refusal {
    Refusal::bad_request(format!("parameter `{name}` is given more than once: give it once"))
}

/// A parameter's value, decoded.
pub(crate) fn decoded<'a>(name: &str, value: &'a str) -> Result<Cow<'a, str>, Refusal> {
    decode(value).ok_or_else(|| not_text(name))
}

fn not_text(name: &str) -> Refusal {
    Refusal::bad_request(format!("parameter `{name}` is not percent-encoded UTF-8"))
}

/// A form's body as text: bytes that are not ASCII are percent-encoded, the rest stays as it is.
pub(crate) fn form(body: &[u8]) -> Cow<'_, str> {
    percent_encode(body, &AsciiSet::EMPTY).into()
}

impl<'a> Query<'a> {
    /// The query of a request's target.
    pub(crate) fn of(head: Head<'a>) -> Self {
        Self(head.query())
    }

    pub(crate) fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// The value of a parameter. A name without `=` has the empty value.
    pub(crate) fn get(self, name: &str, repeats: Repeats) -> Result<Option<Cow<'a, str>>, Refusal> {
        let [value] = self.get_all([name], repeats)?;
        Ok(value)
    }

    /// The values of several parameters, in one pass.
    pub(crate) fn get_all<const N: usize>(
        self,
        names: [&str; N],
        repeats: Repeats,
    ) -> Result<Values<'a, N>, Refusal> {
        self.find(names, |name, _, _| match repeats {
            Repeats::Refused => Err(repeated(name)),
            Repeats::FirstWins => Ok(()),
        })
    }

    /// The same, where the first may be given more than once: then all its values, still encoded.
    pub(crate) fn get_all_and_list<const N: usize>(
        self,
        names: [&str; N],
    ) -> Result<(Values<'a, N>, Vec<&'a str>), Refusal> {
        let mut all = Vec::new();
        let values = self.find(names, |name, first, value| {
            if name != names[0] {
                return Err(repeated(name));
            }
            if all.is_empty() {
                all.reserve(LISTED);
                all.push(first);
            }
            all.push(value);
            Ok(())
        })?;
        Ok((values, all))
    }

    /// `name=value` pairs, with nothing as the value of a name alone.
    fn pairs(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let text = self.0;
        let (mut start, mut ends) = (0, memchr_iter(b'&', text.as_bytes()).chain([text.len()]));
        std::iter::from_fn(move || {
            let end = ends.next()?;
            let pair = &text[start..end];
            start = end + 1;
            let equals = memchr(b'=', pair.as_bytes());
            Some(equals.map_or((pair, ""), |equals| (&pair[..equals], &pair[equals + 1..])))
        })
    }

    fn find<const N: usize>(
        self,
        names: [&str; N],
        mut again: impl FnMut(&str, &'a str, &'a str) -> Result<(), Refusal>,
    ) -> Result<Values<'a, N>, Refusal> {
        #[cfg(test)]
        names.iter().for_each(|name| crate::message::asked::note(name));
        let mut found = [None; N];
        for (key, value) in self.pairs() {
            let Some(index) = names.iter().position(|name| is(key, name)) else { continue };
            match found[index] {
                None => found[index] = Some(value),
                Some(first) => again(names[index], first, value)?,
            }
        }
        let mut values = [const { None }; N];
        for ((value, found), name) in values.iter_mut().zip(found).zip(names) {
            *value = found.map(|found| decoded(name, found)).transpose()?;
        }
        Ok(values)
    }

    /// Whether a parameter is given with a `=`, even if nothing follows it.
    pub(crate) fn assigns(self, name: &str) -> bool {
        self.0.split('&').filter_map(|pair| pair.split_once('=')).any(|(key, _)| is(key, name))
    }
}

/// Whether an encoded parameter name is `name`.
fn is(key: &str, name: &str) -> bool {
    key == name || (key.contains('%') && percent_decode_str(key).eq(name.bytes()))
}

/// A number of decimal digits only.
pub(crate) fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(query: &str, name: &str) -> Option<String> {
        Query::new(query).get(name, Repeats::FirstWins).unwrap().map(Cow::into_owned)
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
    fn a_form_that_is_no_text_has_what_is_text_in_it() {
        let text = form(b"a=\xff&\xe2\x98\x83=1&b=\xe2\x98\x83+%2b&c");
        let query = Query::new(&text);
        assert!(query.get("a", Repeats::Refused).is_err());
        assert_eq!(query.get("b", Repeats::Refused).unwrap().unwrap(), "☃ +");
        assert_eq!(query.get("c", Repeats::Refused).unwrap().unwrap(), "");
        assert!(matches!(form(b"a=%ff&b+c"), Cow::Borrowed("a=%ff&b+c")));
    }

    #[test]
    fn repeats_are_refused_or_the_first_wins() {
        let query = Query::new("a=1&b=2&a=3");
        assert_eq!(query.get("a", Repeats::FirstWins).unwrap().unwrap(), "1");
        assert!(query.get("a", Repeats::Refused).is_err());
        assert!(query.get("b", Repeats::Refused).is_ok());
    }

    #[test]
    fn a_list_has_all_values_of_its_name_and_of_no_other() {
        let query = Query::new("a=1&b=2&%61=3&a&ab=4&&a=%20");
        let ([a, b], more) = query.get_all_and_list(["a", "b"]).unwrap();
        assert_eq!((a.as_deref(), b.as_deref()), (Some("1"), Some("2")));
        assert_eq!(more, ["1", "3", "", "%20"]);
        assert!(query.get_all_and_list(["b", "ab"]).unwrap().1.is_empty());
        assert!(query.get_all_and_list(["b", "a"]).is_err());
    }

    #[test]
    fn a_name_alone_assigns_nothing() {
        for (query, assigned) in [("a", false), ("b=1&a&ab=1", false), ("a=", true), ("b&%61=1", true)] {
            assert_eq!(Query::new(query).assigns("a"), assigned, "{query}");
        }
    }

    #[test]
    fn broken_encoding_is_refused() {
        for bad in ["a=%", "a=%4", "a=%zz", "a=%ff", "a=%+1"] {
            assert!(Query::new(bad).get("a", Repeats::FirstWins).is_err(), "{bad}");
        }
    }
}
