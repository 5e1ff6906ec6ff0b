//! `poll admin`: what an operator asks of channels and connections, one request each, or one a page.

mod table;

use std::io::{self, IsTerminal, Write};
use std::num::NonZeroU64;
use std::process::ExitCode;

use poll_client::administration::{Administration, ChannelState, Settings};
use poll_client::{ChannelName, Error};
use serde::Serialize;

use self::table::{Columns, Listed, channel_lines, setting_lines};
use crate::arguments::{Admin, Operation, Server, Shape};
use crate::format::Screen;
use crate::outcome::Done;
use crate::presence;

/// Entries of a page: few enough that the first lines come soon.
const PAGE: u64 = 200;

pub(crate) async fn run(server: &Server, admin: &Admin) -> Done {
    let client = server.admin_client(admin)?;
    let administration = client.administration();
    let mut print = Printer::new(admin.shape());
    match &admin.operation {
        Operation::List { prefix, limit } => {
            list(&administration, prefix.as_ref(), *limit, &mut print).await?;
        }
        Operation::Show { channel } => print.channel(&administration.show(channel).await?)?,
        Operation::Purge { channel } => print.channel(&administration.purge(channel).await?)?,
        Operation::Close { channel } => print.channel(&administration.close(channel).await?)?,
        Operation::Delete { channel } => administration.delete(channel).await?,
        Operation::Settings { channel, change } => {
            // A PUT replaces all of them, so those that are not given are read first.
            let mut settings = administration.show(channel).await?.settings;
            if !change.is_none() {
                settings = administration.configure(channel, &change.of(settings)).await?.settings;
            }
            print.settings(&settings)?;
        }
        Operation::Presence { channel } => {
            let present = administration.present(channel).await.map_err(presence::without_presence)?;
            presence::Printer::new(admin.shape()).list(&present)?;
        }
        Operation::Connections { limit } => connections(&administration, *limit, &mut print).await?,
        Operation::Cut { id } => administration.cut(*id).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints page after page.
async fn list(
    administration: &Administration<'_>,
    prefix: Option<&ChannelName>,
    limit: Option<NonZeroU64>,
    print: &mut Printer,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut left = limit.map_or(u64::MAX, NonZeroU64::get);
    let mut after: Option<String> = None;
    loop {
        let page = administration.list(prefix, after.as_deref(), left.min(PAGE)).await;
        let page = page.map_err(without_administration)?;
        left = left.saturating_sub(page.channels.len() as u64);
        print.page(&page.channels)?;
        after = page.next;
        if after.is_none() || left == 0 {
            return Ok(());
        }
    }
}

/// The same for connections.
async fn connections(
    administration: &Administration<'_>,
    limit: Option<NonZeroU64>,
    print: &mut Printer,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut left = limit.map_or(u64::MAX, NonZeroU64::get);
    let mut after = None;
    loop {
        let page = administration.connections(after, left.min(PAGE)).await;
        let page = page.map_err(without_administration)?;
        left = left.saturating_sub(page.connections.len() as u64);
        print.page(&page.connections)?;
        after = page.next;
        if after.is_none() || left == 0 {
            return Ok(());
        }
    }
}

/// A list is always there, unless administration is not.
fn without_administration(error: Error) -> Box<dyn std::error::Error> {
    match error.status() {
        Some(404) => {
            format!("{error}; administration is where --admin-token or --admin-listen puts it").into()
        }
        _ => error.into(),
    }
}

/// Prints to stdout.
struct Printer {
    shape: Shape,
    screen: Screen,
    columns: Columns,
}

impl Printer {
    fn new(shape: Shape) -> Self {
        let screen = if io::stdout().is_terminal() { Screen::Terminal } else { Screen::Pipe };
        Self { shape, screen, columns: Columns::new(screen) }
    }

    fn page<T: Listed + Serialize>(&mut self, listed: &[T]) -> io::Result<()> {
        match self.shape {
            Shape::Text => lines(self.columns.page(listed)),
            Shape::Json => lines(listed.iter().map(json).collect::<Result<Vec<_>, _>>()?),
        }
    }

    fn channel(&self, channel: &ChannelState) -> io::Result<()> {
        match self.shape {
            Shape::Text => lines(channel_lines(channel, self.screen)),
            Shape::Json => lines([json(channel)?]),
        }
    }

    fn settings(&self, settings: &Settings) -> io::Result<()> {
        match self.shape {
            Shape::Text => lines(setting_lines(settings, self.screen)),
            Shape::Json => lines([json(settings)?]),
        }
    }
}

fn json(value: &impl Serialize) -> io::Result<String> {
    serde_json::to_string(value).map_err(io::Error::from)
}

fn lines(lines: impl IntoIterator<Item = String>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for line in lines {
        writeln!(stdout, "{line}")?;
    }
    stdout.flush()
}
