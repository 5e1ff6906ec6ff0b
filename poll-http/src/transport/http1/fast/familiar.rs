//! The fields of heads that a worker has read before.
//!
//! Who polls asks again and again with the same fields, and so do many of a kind. So the last ones are kept, read, and
//! what repeats them byte for byte is not read once more: it is compared, which takes a tenth of it.

use std::cell::RefCell;
use std::hash::BuildHasher as _;
use std::rc::Rc;

use foldhash::quality::RandomState;
use memchr::memmem;

use crate::transport::http1::fast::parse_request::Known;

/// Where fields are kept. Nothing but a hint: others may have taken the place since.
#[derive(Debug, Default)]
pub(crate) struct Slot(u8);

/// So many heads are kept by a worker…
const SLOTS: usize = 256;
/// … whose fields have no more bytes. Browsers send about half of it.
const LONGEST: usize = 1024;

pub(crate) const EMPTY_LINE: &[u8] = b"\r\n\r\n";

thread_local! {
    static FAMILIAR: RefCell<Familiar> = RefCell::new(Familiar::default());
}

struct Familiar {
    /// By what is read. Which ones share a place is not for clients to know.
    slots: [Option<Rc<Known>>; SLOTS],
    /// To read the next ones into: what last lost its place.
    spare: Option<Known>,
    hash: RandomState,
}

impl Default for Familiar {
    fn default() -> Self {
        Self { slots: [const { None }; SLOTS], spare: None, hash: RandomState::default() }
    }
}

/// The fields that `bytes` begin with, if they are those of a plain head. `usual` is where to look first.
pub(crate) fn read(bytes: &[u8], usual: &mut Slot) -> Option<Rc<Known>> {
    FAMILIAR.with_borrow_mut(|familiar| match &familiar.slots[usize::from(usual.0)] {
        Some(known) if repeats(bytes, known) => Some(Rc::clone(known)),
        _ => familiar.search(bytes, usual),
    })
}

/// Whether `bytes` begin with these fields. Looks at all of them in any case: they may hold what only their sender is
/// to know.
fn repeats(bytes: &[u8], known: &Known) -> bool {
    let text = known.fields.text();
    debug_assert!(text.ends_with(EMPTY_LINE), "what is kept is whole");
    let pairs = bytes.iter().zip(text);
    bytes.len() >= text.len() && pairs.fold(0, |all, (one, other)| all | (one ^ other)) == 0
}

impl Familiar {
    fn search(&mut self, bytes: &[u8], usual: &mut Slot) -> Option<Rc<Known>> {
        let end = memmem::find(bytes, EMPTY_LINE)? + EMPTY_LINE.len();
        let text = &bytes[..end];
        if text.len() > LONGEST {
            let mut known = Known::default();
            known.read(text)?;
            return Some(Rc::new(known));
        }
        // As many low bits as it takes to number the slots.
        *usual = Slot(self.hash.hash_one(text) as u8);
        let slot = &mut self.slots[usize::from(usual.0)];
        if let Some(known) = slot
            && repeats(text, known)
        {
            return Some(Rc::clone(known));
        }
        let mut known = self.spare.take().unwrap_or_default();
        if known.read(text).is_none() {
            self.spare = Some(known);
            return None;
        }
        let known = Rc::new(known);
        // Unless a request is still in it.
        self.spare = slot.replace(Rc::clone(&known)).and_then(Rc::into_inner);
        Some(known)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "Host: h\r\nContent-Length: 2\r\n\r\n";

    /// What a head says: its fields, and the length of its content.
    fn said(known: &Known) -> (Vec<(String, String)>, usize) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (known.fields.iter().map(|(name, value)| (text(name), text(value))).collect(), known.length)
    }

    #[test]
    fn what_is_repeated_is_read_once() {
        let mut usual = Slot::default();
        let first = read(format!("{HEAD}hi").as_bytes(), &mut usual).unwrap();
        let again = read(format!("{HEAD}GET").as_bytes(), &mut usual).unwrap();
        let elsewhere = read(HEAD.as_bytes(), &mut Slot::default()).unwrap();
        assert!(Rc::ptr_eq(&first, &again) && Rc::ptr_eq(&first, &elsewhere));
        assert_eq!(first.length, 2);
    }

    #[test]
    fn long_heads_are_read_and_not_kept() {
        let head = format!("X: {}\r\n{HEAD}", "x".repeat(LONGEST));
        let mut usual = Slot::default();
        let [first, again] = [(); 2].map(|()| read(head.as_bytes(), &mut usual).unwrap());
        assert!(!Rc::ptr_eq(&first, &again));
        assert_eq!(said(&first), said(&again));
    }

    #[test]
    fn what_is_not_plain_takes_no_place() {
        let mut usual = Slot::default();
        let first = read(HEAD.as_bytes(), &mut usual).unwrap();
        for number in 0..10 * SLOTS {
            let head = format!("Number: {number}\r\nConnection: close\r\n\r\n");
            assert!(read(head.as_bytes(), &mut Slot::default()).is_none());
        }
        assert!(Rc::ptr_eq(&first, &read(HEAD.as_bytes(), &mut usual).unwrap()));
    }

    #[test]
    fn what_is_in_use_is_not_written_over() {
        let head = |number: usize| format!("Number: {number}\r\n{HEAD}");
        let kept: Vec<_> = (0..2 * SLOTS).map(|number| (number, head(number))).collect();
        let kept: Vec<_> = kept
            .iter()
            .map(|(number, head)| (number, read(head.as_bytes(), &mut Slot::default()).unwrap()))
            .collect();
        for (number, known) in kept {
            assert_eq!(said(&known).0[0], ("Number".to_owned(), number.to_string()));
        }
    }

    proptest! {
        /// Whatever came before, and whoever took a place meanwhile.
        #[test]
        fn heads_say_what_they_say(
            heads in prop::collection::vec(("(a|b|Host|Te|Content-Length)(: | :|:)[0-2]{0,2}(\r\n|\n)", 0..300u16, 0..4usize), 1..60),
        ) {
            let mut slots = [(); 4].map(|()| Slot::default());
            for (field, number, slot) in heads {
                let head = format!("{field}number: {number}\r\n\r\n");
                let mut fresh = Known::default();
                let expected = fresh.read(head.as_bytes()).map(|()| said(&fresh));
                let got = read(format!("{head}behind").as_bytes(), &mut slots[slot]);
                prop_assert_eq!(got.map(|known| said(&known)), expected, "{:?}", head);
            }
        }
    }
}
