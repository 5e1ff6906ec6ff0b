//! Patterns over the names of streams: segments lie between `/`, `*` is exactly one of them, `**` any number.

use poll_core::ChannelName;

use crate::access::authority::Scope;

/// A pattern that some stream can match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob(Box<str>);

impl Glob {
    /// Most bytes of a pattern.
    const MOST_BYTES: usize = ChannelName::MAX_BYTES;

    /// Reads a pattern; slashes around it do not count. `None` if no stream can match it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches('/');
        let fits = !text.is_empty() && text.len() <= Self::MOST_BYTES && !text.chars().any(char::is_control);
        fits.then(|| Self(text.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// What the names of all that match begin with, if that is anything.
    pub(crate) fn prefix(&self) -> &str {
        // `**` may be nothing, and then the slash in front of it is not there.
        self.0.split('*').next().unwrap_or_default().trim_end_matches('/')
    }

    /// Whether a stream matches.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let (wanted, found): (Vec<&str>, Vec<&str>) =
            (self.0.split('/').collect(), name.split('/').collect());
        let (mut at, mut read) = (0, 0);
        // Behind the last `**`, and how much of the name that has taken.
        let mut many = None;
        loop {
            match (wanted.get(at), found.get(read)) {
                (None, None) => return true,
                (Some(&"**"), _) => {
                    many = Some((at + 1, read));
                    at += 1;
                    continue;
                }
                (Some(segment), Some(text)) if *segment == "*" || segment == text => {
                    (at, read) = (at + 1, read + 1);
                    continue;
                }
                _ => {}
            }
            let Some((behind, taken)) = many.filter(|(_, taken)| *taken < found.len()) else { return false };
            many = Some((behind, taken + 1));
            (at, read) = (behind, taken + 1);
        }
    }

    /// Whether a right extends to every stream that can match. A pattern of a token covers what begins with the text in
    /// front of its closing `/**`; what none of its patterns covers alone counts as not covered.
    pub(crate) fn is_within(&self, scope: &Scope) -> bool {
        let name = |text: &str| ChannelName::parse(text).ok();
        match scope {
            Scope::Nothing => false,
            Scope::All => true,
            _ if !self.0.contains('*') => name(&self.0).is_some_and(|name| scope.covers(&name)),
            Scope::Channel(_) => false,
            Scope::Patterns(patterns) => patterns.iter().any(|pattern| {
                let Some(before) = pattern.as_str().strip_suffix("**") else { return false };
                if before.is_empty() {
                    return true;
                }
                let Some(rest) = self.0.strip_prefix(before) else { return false };
                // `**` also matches nothing, and then what is in front of the slash is a stream.
                let alone = rest.split('/').all(|segment| segment == "**");
                before.ends_with('/')
                    && !before.contains('*')
                    && (!alone || name(before.trim_end_matches('/')).is_some_and(|name| scope.covers(&name)))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::access::pattern::Pattern;

    use super::*;

    #[test]
    fn one_star_is_a_segment_two_are_any_number() {
        for (glob, name, expected) in [
            ("events/*", "events/a", true),
            ("events/*", "events/a.b", true),
            ("events/*", "events", false),
            ("events/*", "events/a/b", false),
            ("/events/*/", "events/a", true),
            ("events/**", "events/a/b", true),
            ("events/**", "events", true),
            ("**", "a", true),
            ("**", "a/b/c", true),
            ("**/end", "end", true),
            ("**/end", "a/b/end", true),
            ("**/end", "a/b/end/c", false),
            ("a/**/z", "a/z", true),
            ("a/**/z/**/y", "a/z/z/y", true),
            ("a/**/z/*", "a/z/z/b", true),
            ("a/*/c", "a/b/c", true),
            ("a*", "ab", false),
            ("a", "a", true),
            ("a", "b", false),
        ] {
            assert_eq!(Glob::parse(glob).unwrap().matches(name), expected, "{glob} {name}");
        }
        for empty in ["", "/", "a\n", &"x".repeat(1025)] {
            assert_eq!(Glob::parse(empty), None, "{empty:?}");
        }
    }

    #[test]
    fn a_right_has_to_cover_every_stream_that_can_match() {
        let patterns =
            |texts: &[&str]| Scope::Patterns(texts.iter().map(|text| Pattern::new(text)).collect());
        for (scope, glob, expected) in [
            (Scope::All, "**", true),
            (Scope::Nothing, "a", false),
            (patterns(&["**"]), "events/**", true),
            (patterns(&["events/**"]), "events/*", true),
            (patterns(&["events/**"]), "events/a/**", true),
            (patterns(&["events/**"]), "events/**", false),
            (patterns(&["events/**", "events"]), "events/**", true),
            (patterns(&["events/*"]), "events/*", false),
            (patterns(&["events/*"]), "events/a", true),
            (patterns(&["events/**"]), "eventsx/*", false),
            (patterns(&["events/**"]), "*/a", false),
            (patterns(&["events.**"]), "events.*/a", false),
            (patterns(&["a/*/**"]), "a/*/b", false),
            (Scope::Channel(ChannelName::parse("a").unwrap()), "a", true),
            (Scope::Channel(ChannelName::parse("a").unwrap()), "*", false),
        ] {
            assert_eq!(Glob::parse(glob).unwrap().is_within(&scope), expected, "{scope:?} {glob}");
        }
    }
}
