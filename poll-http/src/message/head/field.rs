//! The request fields that the service knows, as numbers.
//!
//! A request has few of them and is asked for many, so names are compared once, when the head is read.

use http::HeaderName;

macro_rules! fields {
    ($($field:ident $name:literal)*) => {
        /// A known field.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Field { $($field),* }

        impl Field {
            const ALL: [Self; Self::COUNT] = [$(Self::$field),*];
        }

        /// In lower case.
        const TEXTS: &[&str] = &[$($name),*];
        static NAMES: [HeaderName; Field::COUNT] = [$(HeaderName::from_static($name)),*];
    };
}

fields! {
    Accept "accept"
    AcceptEncoding "accept-encoding"
    AccessControlRequestMethod "access-control-request-method"
    Authorization "authorization"
    Connection "connection"
    ContentLength "content-length"
    ContentType "content-type"
    Expect "expect"
    Host "host"
    IdempotencyKey "idempotency-key"
    IfNoneMatch "if-none-match"
    LastEventId "last-event-id"
    Origin "origin"
    Prefer "prefer"
    SecFetchSite "sec-fetch-site"
    Te "te"
    Traceparent "traceparent"
    Trailer "trailer"
    TransferEncoding "transfer-encoding"
    Upgrade "upgrade"
    XClientId "x-client-id"
    XForwardedFor "x-forwarded-for"
    XForwardedProto "x-forwarded-proto"
    XRealIp "x-real-ip"
    XRequestId "x-request-id"
}

/// Fields by length, first and last letter of their names, which tell all of them apart.
static SLOTS: [Option<Field>; 64] = {
    let mut slots = [None; 64];
    let mut at = 0;
    while at < Field::COUNT {
        let slot = slot(TEXTS[at].as_bytes());
        assert!(slots[slot].is_none(), "each name has a slot of its own");
        slots[slot] = Some(Field::ALL[at]);
        at += 1;
    }
    slots
};

const fn slot(name: &[u8]) -> usize {
    let ([first, ..], [.., last]) = (name, name) else { return 0 };
    let (first, last) = (first.to_ascii_lowercase() as usize, last.to_ascii_lowercase() as usize);
    ((name.len() + last) * 5 + first * 9) % 64
}

impl Field {
    pub(crate) const COUNT: usize = TEXTS.len();

    /// The field of this name, in any case (RFC 9110, section 5.1).
    pub(crate) fn of(name: &[u8]) -> Option<Self> {
        let field = SLOTS[slot(name)]?;
        name.eq_ignore_ascii_case(TEXTS[field as usize].as_bytes()).then_some(field)
    }

    pub(crate) fn name(self) -> &'static HeaderName {
        &NAMES[self as usize]
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A field that may occur only once is there more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Repeated;

/// The only value, if there is one.
pub(crate) fn single<T>(mut values: impl Iterator<Item = T>) -> Result<Option<T>, Repeated> {
    let value = values.next();
    if values.next().is_some() { Err(Repeated) } else { Ok(value) }
}

/// A set of fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FieldSet(u32);

impl FieldSet {
    pub(crate) const fn of<const N: usize>(fields: [Field; N]) -> Self {
        let (mut set, mut at) = (0, 0);
        while at < N {
            set |= fields[at].bit();
            at += 1;
        }
        Self(set)
    }

    pub(crate) fn insert(&mut self, field: Field) {
        self.0 |= field.bit();
    }

    pub(crate) fn has(self, field: Field) -> bool {
        self.0 & field.bit() != 0
    }

    /// Whether the two sets have a field in common.
    pub(crate) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_name_is_that_of_its_field() {
        for field in Field::ALL {
            let name = field.name().as_str();
            assert_eq!(Field::of(name.as_bytes()), Some(field), "{name}");
            assert_eq!(Field::of(name.to_uppercase().as_bytes()), Some(field), "{name}");
            for at in 0..name.len() {
                let [mut less, mut other, mut more] = [(); 3].map(|()| name.as_bytes().to_vec());
                less.remove(at);
                other[at] = if other[at] == b'!' { b'#' } else { b'!' };
                more.insert(at, b'~');
                assert!([less, other, more].iter().all(|name| Field::of(name) != Some(field)), "{name} {at}");
            }
        }
        assert_eq!(Field::of(b""), None);
    }

    proptest! {
        #[test]
        fn no_other_token_is_a_field(token in "[-!#$%&'*+.^_`|~0-9A-Za-z]{1,20}") {
            let same = |field: &Field| field.name().as_str().eq_ignore_ascii_case(&token);
            prop_assert_eq!(Field::of(token.as_bytes()), Field::ALL.into_iter().find(same));
        }
    }
}
