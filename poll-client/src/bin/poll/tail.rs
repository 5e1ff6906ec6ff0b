//! `poll tail`: prints a line for each message of one channel or several.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use futures_util::TryStreamExt;
use poll_client::{
    ChannelName, Channels, ChunkedStream, Client, Event, EventSource, LongPoll, Push, ShortPoll, StartAt,
    Subscription,
};

use crate::arguments::{Pattern, Server, Since, Tail};
use crate::format::{Naming, Screen};
use crate::outcome::Done;

/// How long nothing comes before the hint on commas.
const SILENCE: Duration = Duration::from_secs(2);

pub(crate) async fn run(server: &Server, tail: &Tail) -> Done {
    let client = server.client(tail.retries)?;
    let channels = Channels::from(&tail.channels);
    let naming = if channels.len() == 1 { Naming::OneChannel } else { Naming::Several };
    let mut events = subscribe(tail, &client, channels);
    let mut stdout = io::stdout().lock();
    let screen = if stdout.is_terminal() { Screen::Terminal } else { Screen::Pipe };
    let mut wanted = tail.since.map(Wanted::new);
    let mut left = tail.count.unwrap_or(u64::MAX);
    let mut hint = comma_hint(&tail.channels);
    let silence = tokio::time::sleep(SILENCE);
    tokio::pin!(silence);
    while left > 0 {
        let event = tokio::select! {
            event = events.try_next() => event?,
            () = crate::reader::gone() => None,
            () = &mut silence, if hint.is_some() => {
                hint.take().into_iter().for_each(|hint| crate::notices::say(&hint));
                continue;
            }
        };
        let Some(event) = event else { break };
        hint = None;
        let events = match &mut wanted {
            Some(wanted) => wanted.sift(event),
            None => vec![event],
        };
        for event in events {
            match &event {
                Event::Message(message) => {
                    stdout.write_all(&tail.format().message(message, naming, screen)?)?;
                    left -= 1;
                }
                Event::Missed { .. } | Event::Refused { .. } | Event::Closed { .. } => {
                    tail.format().other(&event, &mut stdout)?;
                }
            }
        }
        stdout.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A name may contain commas, but one that does and on which nothing happens was probably meant as several.
fn comma_hint(channels: &[ChannelName]) -> Option<String> {
    let name = channels.iter().map(ChannelName::as_str).find(|name| name.contains(','))?;
    let names: Vec<&str> = name.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let several =
        if names.len() > 1 { format!("; for several: poll tail {}", names.join(" ")) } else { String::new() };
    Some(format!("waiting for one channel named {name:?}{several}"))
}

fn subscribe(tail: &Tail, client: &Client, channels: Channels) -> Subscription {
    // The server is not asked by time, so what is older is read and left out.
    let start = if tail.since.is_some() { StartAt::Oldest } else { tail.from.clone() };
    match tail.pattern {
        Pattern::Short => ShortPoll::new(client, channels).start_at(start).subscribe(),
        Pattern::Long => LongPoll::new(client, channels).start_at(start).subscribe(),
        Pattern::Stream => ChunkedStream::new(client, channels).start_at(start).subscribe(),
        Pattern::Sse => EventSource::new(client, channels).start_at(start).subscribe(),
        Pattern::Push => Push::new(client, channels).start_at(start).subscribe(),
    }
}

/// Leaves out what was published before a time.
struct Wanted {
    since: Since,
    channels: HashMap<ChannelName, Reached>,
}

/// How far a channel is.
enum Reached {
    /// All so far was older. What was missed at the beginning matters only if the first message after it is not older.
    Before(Option<Event>),
    Since,
}

impl Wanted {
    fn new(since: Since) -> Self {
        Self { since, channels: HashMap::new() }
    }

    /// What is to be shown of an event and of those held back.
    fn sift(&mut self, event: Event) -> Vec<Event> {
        let Some(channel) = event.channel() else { return vec![event] };
        let reached = self.channels.entry(channel.clone()).or_insert(Reached::Before(None));
        let Reached::Before(held) = reached else { return vec![event] };
        match event {
            Event::Message(message) if message.at < self.since.0 => {
                *held = None;
                Vec::new()
            }
            Event::Message(_) => {
                let held = held.take();
                *reached = Reached::Since;
                held.into_iter().chain([event]).collect()
            }
            Event::Missed { .. } => {
                *held = Some(event);
                Vec::new()
            }
            Event::Refused { .. } | Event::Closed { .. } => vec![event],
        }
    }
}

#[cfg(test)]
mod tests {
    use poll_client::{Content, Cursor, Message, Seq, Timestamp};

    use super::*;

    fn message(channel: &str, at: u64) -> Event {
        Event::Message(Message {
            channel: ChannelName::parse(channel).unwrap(),
            seq: Seq::new(at),
            id: None,
            cursor: Cursor::ZERO,
            at: Timestamp::from_micros(at),
            content: Content::Binary(Default::default()),
        })
    }

    fn missed(channel: &str) -> Event {
        Event::Missed { channel: ChannelName::parse(channel).unwrap(), count: Some(3), reset: false }
    }

    #[test]
    fn a_name_with_a_comma_is_explained() {
        let hint = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| ChannelName::parse(name).unwrap()).collect();
            comma_hint(&names)
        };
        assert_eq!(hint(&["a", "b"]), None);
        let expected = "waiting for one channel named \"a,b\"; for several: poll tail a b";
        assert_eq!(hint(&["a,b"]).as_deref(), Some(expected));
        assert_eq!(hint(&["c", "a,"]).as_deref(), Some("waiting for one channel named \"a,\""));
    }

    #[test]
    fn what_is_older_is_left_out_channel_by_channel() {
        let mut wanted = Wanted::new(Since(Timestamp::from_micros(10)));
        let mut shown = Vec::new();
        for event in [
            // Older than what is wanted.
            missed("a"),
            message("a", 8),
            message("b", 9),
            message("a", 10),
            // Perhaps not older.
            missed("c"),
            message("c", 12),
            missed("a"),
            message("b", 13),
        ] {
            shown.extend(wanted.sift(event));
        }
        assert_eq!(shown, [message("a", 10), missed("c"), message("c", 12), missed("a"), message("b", 13)]);
    }
}
