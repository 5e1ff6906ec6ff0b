//! `poll presence`: prints which named clients wait on a channel, and each join and leave.

use std::io::{self, IsTerminal, StdoutLock, Write};
use std::process::ExitCode;

use futures_util::TryStreamExt;
use poll_client::{Error, PresenceEvent, Present, Timestamp};
use serde_json::json;

use crate::arguments::{Presence, Server, Shape};
use crate::format::Screen;
use crate::outcome::Done;
use crate::table::align;

pub(crate) async fn run(server: &Server, presence: &Presence) -> Done {
    let mut print = Printer::new(if presence.json { Shape::Json } else { Shape::Text });
    if presence.follow {
        follow(server, presence, &mut print).await
    } else {
        list(server, presence, &mut print).await
    }
}

async fn list(server: &Server, presence: &Presence, print: &mut Printer) -> Done {
    let list = server.client(Some(0))?.present(&presence.channel).await.map_err(without_presence)?;
    print.list(&list)?;
    Ok(ExitCode::SUCCESS)
}

async fn follow(server: &Server, presence: &Presence, print: &mut Printer) -> Done {
    let mut events = server.client(presence.retries)?.follow_presence(&presence.channel)?;
    loop {
        let event = tokio::select! {
            event = events.try_next() => event.map_err(without_presence)?,
            () = crate::reader::gone() => None,
        };
        match event {
            Some(event) => print.event(&event)?,
            None => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// Explains a 404: a server that keeps presence has a list for every channel.
pub(crate) fn without_presence(error: Error) -> Box<dyn std::error::Error> {
    match error.status() {
        Some(404) => format!("{error}; presence is kept by a server with --presence").into(),
        _ => error.into(),
    }
}

/// Prints to stdout.
pub(crate) struct Printer {
    stdout: StdoutLock<'static>,
    shape: Shape,
    screen: Screen,
    /// How wide the columns are on a terminal.
    widths: Vec<usize>,
}

impl Printer {
    pub(crate) fn new(shape: Shape) -> Self {
        let stdout = io::stdout().lock();
        let screen = if stdout.is_terminal() { Screen::Terminal } else { Screen::Pipe };
        Self { stdout, shape, screen, widths: Vec::new() }
    }

    /// The clients, one a line.
    pub(crate) fn list(&mut self, list: &Present) -> io::Result<()> {
        if self.shape == Shape::Json {
            for client in &list.clients {
                writeln!(self.stdout, "{}", serde_json::to_string(client)?)?;
            }
            self.stdout.flush()?;
        } else {
            let heading =
                (self.screen == Screen::Terminal).then(|| vec!["CLIENT".to_owned(), "SINCE".to_owned()]);
            let clients = list.clients.iter().map(|client| vec![client.id.clone(), client.since.to_string()]);
            self.rows(&heading.into_iter().chain(clients).collect::<Vec<_>>())?;
        }
        say_rest(list);
        Ok(())
    }

    /// The list, a join or a leave, a line each.
    fn event(&mut self, event: &PresenceEvent) -> io::Result<()> {
        if self.shape == Shape::Json {
            writeln!(self.stdout, "{}", as_json(event))?;
            return self.stdout.flush();
        }
        let row =
            |event: &str, id: &str, at: &Timestamp| vec![event.to_owned(), id.to_owned(), at.to_string()];
        match event {
            PresenceEvent::Present(list) => {
                let rows = list.clients.iter().map(|client| row("present", &client.id, &client.since));
                self.rows(&rows.collect::<Vec<_>>())?;
                say_rest(list);
                Ok(())
            }
            PresenceEvent::Join { id, at } => self.rows(&[row("join", id, at)]),
            PresenceEvent::Leave { id, at } => self.rows(&[row("leave", id, at)]),
        }
    }

    fn rows(&mut self, rows: &[Vec<String>]) -> io::Result<()> {
        for line in align(rows, &mut self.widths, self.screen) {
            writeln!(self.stdout, "{line}")?;
        }
        self.stdout.flush()
    }
}

fn as_json(event: &PresenceEvent) -> serde_json::Value {
    match event {
        PresenceEvent::Present(Present { count, clients, .. }) => {
            json!({"event": "present", "count": count, "clients": clients})
        }
        PresenceEvent::Join { id, at } => json!({"event": "join", "id": id, "at": at.to_string()}),
        PresenceEvent::Leave { id, at } => json!({"event": "leave", "id": id, "at": at.to_string()}),
    }
}

/// Says on standard error if there are more than the server lists.
fn say_rest(list: &Present) {
    let listed = list.clients.len() as u64;
    if list.count > listed {
        crate::notices::say(&format!("{} are present, of whom the first {listed} are listed", list.count));
    }
}
