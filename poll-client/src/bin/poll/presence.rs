//! `poll presence`: prints which named clients wait on a channel, and each that comes or leaves.

use std::io::{self, IsTerminal, StdoutLock, Write};
use std::process::ExitCode;

use futures_util::TryStreamExt;
use poll_client::{Error, PresenceEvent, Present};
use serde_json::json;

use crate::arguments::{Presence, Server};
use crate::format::Screen;
use crate::outcome::Done;
use crate::table::align;

pub(crate) async fn run(server: &Server, presence: &Presence) -> Done {
    let mut print = Printer::new(presence);
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

/// A list is always there, unless presence is not kept.
fn without_presence(error: Error) -> Box<dyn std::error::Error> {
    match error.status() {
        Some(404) => format!("{error}; presence is kept by a server with --presence").into(),
        _ => error.into(),
    }
}

/// Prints to stdout.
struct Printer {
    stdout: StdoutLock<'static>,
    shape: Shape,
    /// How wide the columns are on a terminal.
    widths: Vec<usize>,
}

/// How it prints.
#[derive(Clone, Copy)]
enum Shape {
    Text(Screen),
    Json,
}

impl Printer {
    fn new(presence: &Presence) -> Self {
        let stdout = io::stdout().lock();
        let screen = if stdout.is_terminal() { Screen::Terminal } else { Screen::Pipe };
        let shape = if presence.json { Shape::Json } else { Shape::Text(screen) };
        Self { stdout, shape, widths: Vec::new() }
    }

    /// The clients, one a line.
    fn list(&mut self, list: &Present) -> io::Result<()> {
        match self.shape {
            Shape::Text(screen) => {
                let heading = matches!(screen, Screen::Terminal)
                    .then(|| ["CLIENT", "SINCE"].map(str::to_owned).to_vec());
                let clients =
                    list.clients.iter().map(|client| vec![client.id.clone(), client.since.to_string()]);
                let rows: Vec<_> = heading.into_iter().chain(clients).collect();
                self.lines(&rows, screen)?;
            }
            Shape::Json => {
                for client in &list.clients {
                    writeln!(self.stdout, "{}", serde_json::to_string(client)?)?;
                }
                self.stdout.flush()?;
            }
        }
        say_rest(list);
        Ok(())
    }

    /// What has happened.
    fn event(&mut self, event: &PresenceEvent) -> io::Result<()> {
        let Shape::Text(screen) = self.shape else {
            writeln!(self.stdout, "{}", as_json(event))?;
            return self.stdout.flush();
        };
        let row = |event: &str, id: &str, at: &poll_client::Timestamp| {
            vec![event.to_owned(), id.to_owned(), at.to_string()]
        };
        match event {
            PresenceEvent::Present(list) => {
                let rows: Vec<_> =
                    list.clients.iter().map(|client| row("present", &client.id, &client.since)).collect();
                self.lines(&rows, screen)?;
                say_rest(list);
                Ok(())
            }
            PresenceEvent::Join { id, at } => self.lines(&[row("join", id, at)], screen),
            PresenceEvent::Leave { id, at } => self.lines(&[row("leave", id, at)], screen),
        }
    }

    fn lines(&mut self, rows: &[Vec<String>], screen: Screen) -> io::Result<()> {
        for line in align(rows, &mut self.widths, screen) {
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

/// A server lists so many and no more.
fn say_rest(list: &Present) {
    let listed = list.clients.len() as u64;
    if list.count > listed {
        crate::notices::say(&format!("{} are present, of whom the first {listed} are listed", list.count));
    }
}
