//! Lines for people: a sentence, and behind it what the sentence does not say.
//!
//! What: writes an event's message, and behind it its fields as `name=value`, unless the message was made of them: it is, if it
//! holds the value of one.
//! Why: every event carries its values as fields, which `--log json` needs; repeated behind the sentence they would only make it
//! longer.
//! Not here: time, level and colour (tracing-subscriber).

use std::borrow::Cow;
use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// The format of a text line's message and fields.
pub(super) struct TextFields;

impl<'writer> FormatFields<'writer> for TextFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut line = Line::default();
        fields.record(&mut line);
        let Line { message, rest } = line;
        write_escaped(&mut writer, &message)?;
        if rest.iter().any(|(_, value)| says(&message, &value.bare)) {
            return Ok(());
        }
        let mut gap = if message.is_empty() { "" } else { " " };
        for (name, Value { shown, .. }) in rest {
            write!(writer, "{gap}{name}=")?;
            write_escaped(&mut writer, &shown)?;
            gap = " ";
        }
        Ok(())
    }
}

/// An event's message and its other fields.
#[derive(Default)]
struct Line {
    message: String,
    rest: Vec<(&'static str, Value)>,
}

struct Value {
    /// As it is written: in quotes where it would not end at a space.
    shown: String,
    /// As it would stand in a sentence.
    bare: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, text: &str) {
        if field.name() == "message" {
            text.clone_into(&mut self.message);
            return;
        }
        let shown = in_one_word(text).into_owned();
        self.rest.push((field.name(), Value { shown, bare: text.to_owned() }));
    }

    fn record_f64(&mut self, field: &Field, number: f64) {
        // Without the decimal point of `Debug` where there are no decimals.
        self.record_debug(field, &format_args!("{number}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let shown = format!("{value:?}");
        if field.name() == "message" {
            self.message = shown;
        } else {
            self.rest.push((field.name(), Value { bare: shown.clone(), shown }));
        }
    }
}

/// Whether the value stands in the message as a word of its own, or as a number, which may have a unit behind it.
fn says(message: &str, value: &str) -> bool {
    let number = value.parse::<f64>().is_ok();
    let part_of_it =
        |c: Option<char>| c.is_some_and(|c| if number { c.is_ascii_digit() } else { c.is_alphanumeric() });
    !value.is_empty()
        && message.match_indices(value).any(|(at, _)| {
            let (before, after) = (&message[..at], &message[at + value.len()..]);
            !part_of_it(before.chars().next_back()) && !part_of_it(after.chars().next())
        })
}

/// A value as it is written: in quotes if it could not be told from its neighbours otherwise.
pub(super) fn in_one_word(text: &str) -> Cow<'_, str> {
    let is_one_word = !text.is_empty() && !text.bytes().any(|byte| matches!(byte, b' ' | b'"' | b'='));
    if is_one_word { text.into() } else { format!("{text:?}").into() }
}

/// Control characters and Unicode's line separators are escaped: some of a line comes from peers, and must neither forge a line
/// nor move a cursor.
pub(super) fn write_escaped(writer: &mut impl fmt::Write, text: &str) -> fmt::Result {
    for character in text.chars() {
        match character {
            character if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') => {
                write!(writer, "{}", character.escape_default())?;
            }
            character => writer.write_char(character)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::lines_of;

    #[test]
    fn a_sentence_made_of_fields_is_not_followed_by_them() {
        let lines = lines_of(|| {
            let address = "127.0.0.1:80";
            tracing::info!(address, workers = 2, "listening on http://{address}");
            tracing::info!(seconds = 5.0, "taken for another 5s");
            tracing::info!(channel = "a b", "closed");
            tracing::info!(messages = 1, "the store has 12 messages");
            tracing::info!(only = "this", again = 3);
        });
        let said: Vec<&str> = lines.iter().map(|line| line.split_once("INFO ").unwrap().1).collect();
        assert_eq!(
            said,
            [
                "listening on http://127.0.0.1:80",
                "taken for another 5s",
                "closed channel=\"a b\"",
                "the store has 12 messages messages=1",
                "only=this again=3"
            ]
        );
    }

    #[test]
    fn no_value_forges_a_line() {
        let lines = lines_of(|| tracing::warn!(name = %"x\n2026 INFO fake\u{1b}[2J", "closed by {}", "a\rb"));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].ends_with("closed by a\\rb name=x\\n2026 INFO fake\\u{1b}[2J"), "{lines:?}");
    }
}
