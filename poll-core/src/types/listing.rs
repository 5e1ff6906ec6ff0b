//! Which channels a listing is to have, and how pages of parts become one page.
//!
//! Names are ordered by their bytes. A page takes work in proportion to its limit and not to the number of channels, so a
//! page may have fewer channels than its limit allows, and only the page without a `next` is the last.

use std::ops::Bound;

use super::channel_name::ChannelName;
use super::stored::Loaded;

/// Which channels to list: those whose names begin with a prefix, after a name, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// What their names begin with; `None` for all.
    pub prefix: Option<ChannelName>,
    /// The name that the last page ended with; `None` for the first page.
    pub after: Option<ChannelName>,
    /// The most channels, at least one.
    pub limit: usize,
}

impl Selection {
    /// One channel.
    #[must_use]
    pub fn only(channel: &ChannelName) -> Self {
        Self { prefix: Some(channel.clone()), after: None, limit: 1 }
    }

    /// Where the page begins.
    #[must_use]
    pub fn start(&self) -> Bound<&ChannelName> {
        match (&self.prefix, &self.after) {
            (Some(prefix), after) if after.as_ref().is_none_or(|after| after < prefix) => {
                Bound::Included(prefix)
            }
            (_, Some(after)) => Bound::Excluded(after),
            (_, None) => Bound::Unbounded,
        }
    }

    /// Whether a name that is not before the start is selected; those after one that is not are not either.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        self.prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix.as_str()))
    }

    /// How many names each of `parts` gives to a page, if names are spread over them evenly.
    pub(crate) fn share(&self, parts: usize) -> usize {
        self.limit.min(16 + 4 * self.limit / parts)
    }
}

/// A page of what is stored.
#[derive(Debug, Default)]
pub struct Listing {
    /// Channels in the order of their names.
    pub channels: Vec<ListedChannel>,
    /// The name after which the next page begins; `None` if this is the last.
    pub next: Option<ChannelName>,
}

/// A channel of a [`Listing`].
#[derive(Debug)]
pub struct ListedChannel {
    /// Its name.
    pub name: ChannelName,
    /// The channel as it was kept, without messages.
    pub loaded: Loaded,
    /// What its messages weigh, in bytes.
    pub bytes: u64,
}

/// The selected names of a part of all channels, in order.
#[derive(Debug)]
pub(crate) struct NamePart<T> {
    pub(crate) names: Vec<(ChannelName, T)>,
    /// Whether there are more after them.
    pub(crate) more: More,
}

/// Whether a part ends with what it gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum More {
    Yes,
    No,
}

/// One page of several parts, and the name after which the next one begins. After the end of a part that has more nothing
/// is known of it.
pub(crate) fn merge<T>(
    parts: impl IntoIterator<Item = NamePart<T>>,
    limit: usize,
) -> (Vec<(ChannelName, T)>, Option<ChannelName>) {
    let (mut names, mut known) = (Vec::new(), None::<ChannelName>);
    for part in parts {
        let last = part.names.last().filter(|_| part.more == More::Yes).map(|(name, _)| name);
        if let Some(last) = last
            && known.as_ref().is_none_or(|known| last < known)
        {
            known = Some(last.clone());
        }
        names.extend(part.names);
    }
    if let Some(known) = &known {
        names.retain(|(name, _)| name <= known);
    }
    names.sort_by(|(one, _), (other, _)| one.cmp(other));
    // Parts may overlap.
    names.dedup_by(|(one, _), (other, _)| one == other);
    let is_full = names.len() > limit;
    names.truncate(limit);
    let next = names.last().filter(|_| is_full || known.is_some()).map(|(name, _)| name.clone());
    (names, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ChannelName {
        ChannelName::parse(text).unwrap()
    }

    fn part(names: &[&str], more: More) -> NamePart<()> {
        NamePart { names: names.iter().map(|text| (name(text), ())).collect(), more }
    }

    #[test]
    fn a_page_begins_after_the_last_one_and_not_before_its_prefix() {
        let selection = |prefix: Option<&str>, after: Option<&str>| Selection {
            prefix: prefix.map(name),
            after: after.map(name),
            limit: 9,
        };
        assert_eq!(selection(None, None).start(), Bound::Unbounded);
        assert_eq!(selection(Some("b"), None).start(), Bound::Included(&name("b")));
        assert_eq!(selection(Some("b"), Some("a")).start(), Bound::Included(&name("b")));
        assert_eq!(selection(Some("b"), Some("b")).start(), Bound::Excluded(&name("b")));
        assert_eq!(selection(Some("b"), Some("c")).start(), Bound::Excluded(&name("c")));
        assert!(selection(Some("b"), None).covers("bc") && !selection(Some("b"), None).covers("c"));
    }

    #[test]
    fn a_merged_page_has_no_name_that_a_part_may_have_one_before() {
        let texts = |limit, parts: Vec<NamePart<()>>| {
            let (names, next) = merge(parts, limit);
            let names: Vec<String> = names.iter().map(|(name, ())| name.to_string()).collect();
            (names.join(" "), next.map(|next| next.to_string()))
        };
        let page = |text: &str, next: Option<&str>| (text.to_owned(), next.map(str::to_owned));
        let whole = || vec![part(&["a", "d"], More::No), part(&["b", "c"], More::No)];
        assert_eq!(texts(9, whole()), page("a b c d", None));
        assert_eq!(texts(4, whole()), page("a b c d", None));
        assert_eq!(texts(3, whole()), page("a b c", Some("c")));
        let overlap = vec![part(&["a", "b"], More::No), part(&["b", "c"], More::No)];
        assert_eq!(texts(3, overlap), page("a b c", None));
        let cut = vec![part(&["a", "d"], More::No), part(&["b", "c"], More::Yes)];
        assert_eq!(texts(9, cut), page("a b c", Some("c")));
        assert_eq!(texts(9, vec![part(&[], More::No)]), page("", None));
    }
}
