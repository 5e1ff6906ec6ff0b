//! Patterns of channel names in tokens.
//!
//! A name is segments with `/` or `.` between them, which match only themselves. In a pattern `*` is exactly one segment,
//! `**` one or more with whatever is between them; any other segment is itself, also one that contains a `*`.

use std::fmt;

use poll_core::ChannelName;

/// A pattern of channel names: `orders.*`, `tenant/7/**`.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern(Box<str>);

/// One segment, what is behind it (`None` at the end), and where the next one begins.
struct Segment<'a> {
    text: &'a str,
    separator: Option<u8>,
    next: usize,
}

impl Pattern {
    /// A pattern; every text is one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Its text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a channel's name matches.
    #[must_use]
    pub fn matches(&self, channel: &ChannelName) -> bool {
        let (pattern, name) = (&*self.0, channel.as_str());
        let (mut at, mut read) = (0, 0);
        // Where the last `**` stands, and how much of the name it has taken: what comes after it may need it to take more.
        let mut many = None;
        loop {
            match (segment(pattern, at), segment(name, read)) {
                (None, None) => return true,
                (Some(wanted), Some(_)) if wanted.text == "**" => {
                    let Some(next) = up_to(name, read, wanted.separator) else { return false };
                    many = Some((wanted.separator, wanted.next, next));
                    (at, read) = (wanted.next, next);
                    continue;
                }
                (Some(wanted), Some(found))
                    if (wanted.text == "*" || wanted.text == found.text)
                        && wanted.separator == found.separator =>
                {
                    (at, read) = (wanted.next, found.next);
                    continue;
                }
                _ => {}
            }
            let Some((separator, behind, taken)) = many else { return false };
            let Some(next) = up_to(name, taken, separator) else { return false };
            many = Some((separator, behind, next));
            (at, read) = (behind, next);
        }
    }
}

/// The segment of `text` that begins at an offset; the one behind the end does not exist.
fn segment(text: &str, at: usize) -> Option<Segment<'_>> {
    let rest = text.as_bytes().get(at..)?;
    let length = rest.iter().position(|byte| matches!(byte, b'/' | b'.')).unwrap_or(rest.len());
    Some(Segment {
        text: text.get(at..at + length)?,
        separator: rest.get(length).copied(),
        next: at + length + 1,
    })
}

/// Where the name goes on after the next segment that is followed by `separator`.
fn up_to(name: &str, mut read: usize, separator: Option<u8>) -> Option<usize> {
    loop {
        let found = segment(name, read)?;
        if found.separator == separator {
            return Some(found.next);
        }
        read = found.next;
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern).matches(&ChannelName::parse(name).unwrap())
    }

    #[test]
    fn one_star_is_one_segment_two_are_one_or_more() {
        let cases = [
            ("orders", "orders", true),
            ("orders", "orders.eu", false),
            ("orders.*", "orders.eu", true),
            ("orders.*", "orders", false),
            ("orders.*", "orders/eu", false),
            ("orders.*", "orders.eu.de", false),
            ("orders.*", "orders.", true),
            ("orders.**", "orders.eu", true),
            ("orders.**", "orders.eu/de.x", true),
            ("orders.**", "orders", false),
            ("orders.**", "orders/eu", false),
            ("**", "a", true),
            ("**", "a/b.c", true),
            ("**", "/", true),
            ("*", "a", true),
            ("*", "a.b", false),
            ("*", "a/b", false),
            ("*/*", "a/b", true),
            ("**.end", "a/b.end", true),
            ("**.end", "end", false),
            ("**/x", "a.x/y/x", true),
            ("a.**.z", "a.z", false),
            ("a.**.z", "a.b.z", true),
            ("a.**.z", "a.z.z", true),
            ("a.**.z", "a.b.z.c", false),
            ("a.**.b.**.c", "a.x.b.b.y.c", true),
            ("**.**", "a", false),
            ("**.**", "a.b", true),
            ("**.**", "a/b", false),
            ("ord*", "orders", false),
            ("ord*", "ord*", true),
            ("a*b.c", "a*b.c", true),
            ("", "a", false),
            ("a..b", "a..b", true),
            ("a.*.b", "a..b", true),
            ("☃.*", "☃.é", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    /// By definition, with every way to share the name out.
    fn plain(pattern: &[&str], name: &[&str]) -> bool {
        let Some((wanted, behind)) = pattern.split_first() else { return name.is_empty() };
        let fits = |count: usize| {
            let found = &name[count - 1];
            let separator = |text: &str| text.chars().last().filter(|last| "./".contains(*last));
            let bare = |text: &str| text.trim_end_matches(['.', '/']).to_owned();
            let text = count > 1 || ["*", "**"].contains(&&*bare(wanted)) || bare(wanted) == bare(found);
            text && separator(wanted) == separator(found) && plain(behind, &name[count..])
        };
        let most = if wanted.trim_end_matches(['.', '/']) == "**" { name.len() } else { name.len().min(1) };
        (1..=most).any(fits)
    }

    proptest! {
        #[test]
        fn it_matches_by_definition(
            pattern in "((\\*|\\*\\*|a|b)[./]){0,5}(\\*|\\*\\*|a|b)",
            name in "((a|b)[./]){0,6}(a|b)",
        ) {
            let pattern_parts: Vec<&str> = pattern.split_inclusive(['.', '/']).collect();
            let name_parts: Vec<&str> = name.split_inclusive(['.', '/']).collect();
            prop_assert_eq!(matches(&pattern, &name), plain(&pattern_parts, &name_parts));
        }
    }
}
