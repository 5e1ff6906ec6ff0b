//! How `poll tail` prints an event: as text, as JSON, or by a template.

use std::io::{self, Write};

use poll_client::{Content, Event, Message};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

/// The form of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
    Template(Vec<Part>),
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Text(String),
    Field(Field),
}

/// What a message can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Channel,
    Id,
    Uuid,
    Time,
    Cursor,
    Content,
}

/// Whether lines name their channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    OneChannel,
    Several,
}

/// Where lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Screen {
    /// Others' control characters could move its cursor or change its title.
    Terminal,
    Pipe,
}

impl Field {
    const ALL: [(&str, Self); 6] = [
        ("channel", Self::Channel),
        ("id", Self::Id),
        ("uuid", Self::Uuid),
        ("time", Self::Time),
        ("cursor", Self::Cursor),
        ("content", Self::Content),
    ];

    fn parse(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, field)| *field).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|(name, _)| format!("{{{name}}}")).collect();
            format!("there is no {{{name}}}, only {}", names.join(", "))
        })
    }

    fn write(self, message: &Message, out: &mut Vec<u8>) {
        match self {
            Self::Channel => out.extend_from_slice(message.channel.as_str().as_bytes()),
            Self::Id => out.extend_from_slice(message.seq.to_string().as_bytes()),
            Self::Uuid => {
                out.extend_from_slice(message.id.map(|id| id.to_string()).unwrap_or_default().as_bytes());
            }
            Self::Time => out.extend_from_slice(message.at.to_string().as_bytes()),
            Self::Cursor => out.extend_from_slice(message.cursor.to_string().as_bytes()),
            Self::Content => out.extend_from_slice(&message.content.bytes()),
        }
    }
}

impl Format {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            template if template.contains(['{', '\\']) => parse_template(template).map(Self::Template),
            _ => Err("neither text, json nor a template like '{time} {content}'".to_owned()),
        }
    }

    /// A message as a line, with its end.
    pub(crate) fn message(
        &self,
        message: &Message,
        naming: Naming,
        screen: Screen,
    ) -> serde_json::Result<Vec<u8>> {
        let mut out = Vec::new();
        match self {
            Self::Json => out = message_json(message, naming)?.into_bytes(),
            Self::Text => {
                if naming == Naming::Several {
                    out.extend_from_slice(message.channel.as_str().as_bytes());
                    out.extend_from_slice(b": ");
                }
                Field::Content.write(message, &mut out);
            }
            Self::Template(parts) => parts.iter().for_each(|part| match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Field(field) => field.write(message, &mut out),
            }),
        }
        if screen == Screen::Terminal && *self != Self::Json {
            out = without_controls(&out);
        }
        out.push(b'\n');
        Ok(out)
    }

    /// Any other event, as a line of JSON or for people.
    pub(crate) fn other(&self, event: &Event, stdout: &mut impl Write) -> io::Result<()> {
        if *self == Self::Json {
            return other_json(event).map_or(Ok(()), |line| writeln!(stdout, "{line}"));
        }
        match event {
            Event::Missed { channel, count, reset } => {
                let count = count.map_or("some".to_owned(), |count| count.to_string());
                let why = if *reset { ", and the channel began anew" } else { "" };
                crate::notices::say(&format!(
                    "{count} messages of {channel} were gone before they could be read{why}"
                ));
            }
            Event::Refused { channel } => {
                crate::notices::say(&format!("{channel} may not be read with this token"));
            }
            Event::Message(_) | Event::Closed { .. } => {}
        }
        Ok(())
    }
}

fn parse_template(text: &str) -> Result<Vec<Part>, String> {
    let (mut parts, mut plain) = (Vec::new(), String::new());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('{', Some('{')) | ('}', Some('}')) | ('\\', Some('\\')) => {
                characters.next();
                plain.push(character);
            }
            ('\\', Some('n' | 't')) => plain.push(if characters.next() == Some('n') { '\n' } else { '\t' }),
            ('{', _) => {
                let mut name = String::new();
                loop {
                    match characters.next() {
                        Some('}') => break,
                        Some(character) => name.push(character),
                        None => return Err("a `{` without its `}`; two stand for one".to_owned()),
                    }
                }
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Field(Field::parse(&name)?));
            }
            ('}', _) => return Err("a single `}`; two stand for one".to_owned()),
            _ => plain.push(character),
        }
    }
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(parts)
}

/// Line ends and tabs stay; other control characters (Unicode category Cc) are shown as escapes.
fn without_controls(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() && !matches!(character, '\n' | '\t') {
                out.extend(character.escape_default().map(|escaped| escaped as u8));
            } else {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        out.extend(chunk.invalid().escape_ascii());
    }
    out
}

fn other_json(event: &Event) -> Option<String> {
    match event {
        Event::Message(_) => None,
        Event::Missed { channel, count, reset } => Some(
            json!({"type": "missed", "channel": channel.as_str(), "count": count, "reset": reset})
                .to_string(),
        ),
        Event::Refused { channel } => {
            Some(json!({"type": "refused", "channel": channel.as_str()}).to_string())
        }
        Event::Closed { .. } => Some(json!({"type": "closed", "reason": "ended"}).to_string()),
    }
}

fn message_json(message: &Message, naming: Naming) -> serde_json::Result<String> {
    /// A struct, so that the fields keep their order and the content its spelling.
    #[derive(serde::Serialize)]
    struct Line<'a> {
        r#type: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        channel: Option<&'a str>,
        id: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        uuid: Option<String>,
        content: &'a RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        encoding: Option<&'static str>,
        cursor: String,
        timestamp: String,
    }
    let (content, encoding) = match &message.content {
        Content::Json(value) => (value.clone(), None),
        Content::Binary(bytes) => (to_raw_value(&base64(bytes))?, Some("base64")),
    };
    serde_json::to_string(&Line {
        r#type: "message",
        channel: (naming == Naming::Several).then_some(message.channel.as_str()),
        id: message.seq.get(),
        uuid: message.id.map(|id| id.to_string()),
        content: &content,
        encoding,
        cursor: message.cursor.to_string(),
        timestamp: message.at.to_string(),
    })
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use poll_client::{ChannelName, Seq, Timestamp};

    use super::*;

    fn message(json: &str) -> Message {
        Message {
            channel: ChannelName::parse("news").unwrap(),
            seq: Seq::new(7),
            id: None,
            cursor: "00000000000000010000000000000007".parse().unwrap(),
            at: Timestamp::from_micros(1_500_000),
            content: Content::Json(RawValue::from_string(json.to_owned()).unwrap()),
        }
    }

    fn line(format: &str, json: &str, naming: Naming, screen: Screen) -> String {
        let format = Format::parse(format).unwrap();
        String::from_utf8(format.message(&message(json), naming, screen).unwrap()).unwrap()
    }

    #[test]
    fn a_template_stands_for_what_a_message_has() {
        for (template, expected) in [
            ("{channel} {id}: {content}", "news 7: hi\n"),
            ("{time}\\t{cursor}", "1970-01-01T00:00:01.500000Z\t00000000000000010000000000000007\n"),
            ("{{{id}}} \\\\n", "{7} \\n\n"),
            ("{uuid}|\\n", "|\n\n"),
        ] {
            assert_eq!(line(template, "\"hi\"", Naming::OneChannel, Screen::Pipe), expected, "{template}");
        }
        for template in ["plain", "{name}", "{", "{id", "{id}}", ""] {
            assert!(Format::parse(template).is_err(), "{template}");
        }
        assert!(Format::parse("{x}").unwrap_err().contains("{channel}, {id}"));
    }

    #[test]
    fn several_channels_are_named_and_one_is_not() {
        for (format, naming, expected) in [
            ("text", Naming::OneChannel, "{\"a\":1}\n"),
            ("text", Naming::Several, "news: {\"a\":1}\n"),
            (
                "json",
                Naming::Several,
                concat!(
                    r#"{"type":"message","channel":"news","id":7,"content":{"a":1},"#,
                    r#""cursor":"00000000000000010000000000000007","timestamp":"1970-01-01T00:00:01.500000Z"}"#,
                    "\n"
                ),
            ),
        ] {
            assert_eq!(line(format, r#"{"a":1}"#, naming, Screen::Pipe), expected);
        }
    }

    #[test]
    fn what_others_publish_does_not_steer_a_terminal() {
        let json = r#""a\u001b[2J\tb\nc\u009bd\u007f""#;
        assert_eq!(
            line("text", json, Naming::OneChannel, Screen::Terminal),
            "a\\u{1b}[2J\tb\nc\\u{9b}d\\u{7f}\n"
        );
        assert_eq!(line("text", json, Naming::OneChannel, Screen::Pipe), "a\u{1b}[2J\tb\nc\u{9b}d\u{7f}\n");
    }
}
