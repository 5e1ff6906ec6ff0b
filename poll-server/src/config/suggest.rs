//! What was probably meant by a word that does not exist.
//!
//! What: the nearest of the words that do, as the end of a fault: `, did you mean --listen?`
//! Why one place: flags, variables, keys, commands, stores and values are all mistyped in the same ways.
//! Not here: what the words are.

/// How alike two words have to be, from 0 to 1: one letter wrong, missing, doubled or swapped in a word of four.
const ALIKE: f64 = 0.78;

/// The nearest of `candidates`, if one is near.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let likeness = |candidate: &str| strsim::jaro_winkler(&word, &candidate.to_lowercase());
    let near = candidates.into_iter().map(|candidate| (likeness(candidate), candidate));
    let near = near.filter(|(likeness, _)| *likeness >= ALIKE);
    near.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, candidate)| candidate)
}

/// The end of a sentence on a word that does not exist: empty if no other is near.
pub(crate) fn did_you_mean(word: Option<&str>) -> String {
    word.map(|word| format!(", did you mean {word}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_a_finger_finds_the_word_and_another_word_does_not() {
        let words = ["commit", "interval=MS", "export", "import", "listen"];
        for (typed, meant) in [
            ("comit", "commit"),
            ("COMMIT", "commit"),
            ("interval", "interval=MS"),
            ("exprot", "export"),
            ("imprt", "import"),
            ("lisen", "listen"),
            ("listne", "listen"),
        ] {
            assert_eq!(nearest(typed, words), Some(meant), "{typed}");
        }
        for typed in ["", "xyz", "postgres", "retain"] {
            assert_eq!(nearest(typed, words), None, "{typed}");
        }
    }
}
