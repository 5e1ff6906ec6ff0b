//! Channels and connections as text: a table of several, or a table of all about one channel.

use poll_client::administration::{Bound, ChannelState, ConnectionState, Settings};

use crate::format::Screen;
use crate::table::align;

/// What a list has of something.
pub(super) trait Listed {
    /// The names of its columns.
    const HEADING: [&str; 8];

    /// Its row.
    fn row(&self) -> Vec<String>;
}

/// The columns of a list, which is printed page by page: they grow wider, but never narrower again.
pub(super) struct Columns {
    screen: Screen,
    widths: Vec<usize>,
}

impl Columns {
    pub(super) fn new(screen: Screen) -> Self {
        Self { screen, widths: Vec::new() }
    }

    /// The lines of a page, on a terminal behind a heading if it is the first.
    pub(super) fn page<T: Listed>(&mut self, listed: &[T]) -> Vec<String> {
        let heading = (self.screen == Screen::Terminal && self.widths.is_empty()).then_some(T::HEADING);
        let heading = heading.map(|names| names.map(str::to_owned).to_vec());
        let rows: Vec<_> = heading.into_iter().chain(listed.iter().map(T::row)).collect();
        align(&rows, &mut self.widths, self.screen)
    }
}

impl Listed for ChannelState {
    const HEADING: [&str; 8] =
        ["CHANNEL", "MESSAGES", "BYTES", "OLDEST", "NEWEST", "WAITERS", "STATE", "RETAINS"];

    fn row(&self) -> Vec<String> {
        let Self { channel: name, messages, bytes, oldest, newest, waiters, .. } = self;
        let waiters = waiters.long + waiters.stream + waiters.push;
        let state = if self.closed { "closed" } else { "open" };
        let mut row = vec![name.clone()];
        row.extend([*messages, *bytes, *oldest, *newest, waiters].map(|number| number.to_string()));
        row.extend([state.to_owned(), own(&self.settings)]);
        row
    }
}

impl Listed for ConnectionState {
    const HEADING: [&str; 8] =
        ["ID", "PEER", "CLIENT", "PROTOCOL", "SECONDS", "REQUESTS", "RECEIVED/SENT", "WAITS FOR"];

    fn row(&self) -> Vec<String> {
        let none = || "-".to_owned();
        let protocol = self.protocol.clone().unwrap_or_else(none);
        vec![
            self.id.to_string(),
            self.peer.clone(),
            self.client.clone().unwrap_or_else(none),
            if self.tls == Some(true) { protocol + "+TLS" } else { protocol },
            format!("{:.1}", self.age_seconds),
            self.requests.to_string(),
            format!("{}/{}", self.bytes_received, self.bytes_sent),
            waits(self),
        ]
    }
}

/// The first that it waits for, and how much more there is.
fn waits(connection: &ConnectionState) -> String {
    let Some(first) = connection.waits.first() else { return "-".to_owned() };
    let channels = match first.channels {
        0 | 1 => String::new(),
        channels => format!(" and {} channels", channels - 1),
    };
    let others = match connection.waiting.saturating_sub(first.requests) {
        0 => String::new(),
        others => format!(", {others} more"),
    };
    let times = if first.requests > 1 { format!(" {} times", first.requests) } else { String::new() };
    format!("{} {}{channels}{times}{others}", first.pattern, first.channel)
}

/// The settings that are not the server's.
fn own(settings: &Settings) -> String {
    let named = [("messages", settings.messages), ("seconds", settings.seconds), ("bytes", settings.bytes)];
    let own = named.iter().filter(|(_, bound)| *bound != Bound::Server);
    let own: Vec<_> = own.map(|(name, bound)| format!("{name}={}", value(*bound))).collect();
    if own.is_empty() { "server".to_owned() } else { own.join(",") }
}

/// All about a channel, a line for each.
pub(super) fn channel_lines(channel: &ChannelState, screen: Screen) -> Vec<String> {
    let ChannelState { messages, bytes, oldest, newest, waiters, .. } = channel;
    let mut rows = vec![vec!["channel".to_owned(), channel.channel.clone()]];
    for (name, number) in [
        ("messages", messages),
        ("bytes", bytes),
        ("oldest", oldest),
        ("newest", newest),
        ("waiting-long", &waiters.long),
        ("waiting-stream", &waiters.stream),
        ("waiting-push", &waiters.push),
    ] {
        rows.push(vec![name.to_owned(), number.to_string()]);
    }
    rows.push(vec!["epoch".to_owned(), channel.epoch.clone()]);
    rows.push(vec!["state".to_owned(), if channel.closed { "closed" } else { "open" }.to_owned()]);
    rows.extend(setting_rows(&channel.settings));
    align(&rows, &mut Vec::new(), screen)
}

/// What a channel retains, as the options take it.
pub(super) fn setting_lines(settings: &Settings, screen: Screen) -> Vec<String> {
    align(&setting_rows(settings), &mut Vec::new(), screen)
}

fn setting_rows(settings: &Settings) -> Vec<Vec<String>> {
    let named = [
        ("retain-messages", settings.messages),
        ("retain-seconds", settings.seconds),
        ("retain-bytes", settings.bytes),
    ];
    named.iter().map(|(name, bound)| vec![(*name).to_owned(), value(*bound)]).collect()
}

fn value(bound: Bound) -> String {
    match bound {
        Bound::Server => "server".to_owned(),
        Bound::Unlimited => "0".to_owned(),
        Bound::Most(most) => most.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str, messages: u64, settings: &str) -> ChannelState {
        serde_json::from_str(&format!(
            r#"{{"channel":"{name}","messages":{messages},"bytes":133,"oldest":1,"newest":{messages},
                "waiters":{{"long":1,"stream":2,"push":0}},"epoch":"0f","closed":false,"settings":{settings}}}"#
        ))
        .unwrap()
    }

    #[test]
    fn a_terminal_has_aligned_columns_that_never_grow_narrower() {
        let mut columns = Columns::new(Screen::Terminal);
        let page = columns.page(&[
            channel("orders", 12_345_678_901, "{}"),
            channel("a", 1, r#"{"retain_messages":10,"retain_seconds":0}"#),
        ]);
        assert_eq!(
            page,
            [
                "CHANNEL  MESSAGES     BYTES  OLDEST  NEWEST       WAITERS  STATE  RETAINS",
                "orders   12345678901  133    1       12345678901  3        open   server",
                "a        1            133    1       1            3        open   messages=10,seconds=0",
            ]
        );
        let next = columns.page(&[channel(r"b\u001b", 1, "{}")]);
        assert_eq!(next, [r"b\u{1b}  1            133    1       1            3        open   server"]);
    }

    #[test]
    fn elsewhere_columns_are_separated_by_tabs() {
        let page = Columns::new(Screen::Pipe).page(&[channel("a", 1, r#"{"retain_bytes":7}"#)]);
        assert_eq!(page, ["a\t1\t133\t1\t1\t3\topen\tbytes=7"]);
    }

    #[test]
    fn a_connection_is_a_row_with_what_it_waits_for() {
        let row = |tls: &str, waiting: u64, waits: &str| {
            let connection: ConnectionState = serde_json::from_str(&format!(
                r#"{{"id":7,"peer":"[::1]:80","address":null,"client":null,"protocol":"HTTP/2","tls":{tls},
                    "age_seconds":3.25,"requests":4,"bytes_received":5,"bytes_sent":6,"waiting":{waiting},"waits":{waits}}}"#
            ))
            .unwrap();
            Columns::new(Screen::Pipe).page(&[connection]).remove(0)
        };
        assert_eq!(row("false", 0, "[]"), "7\t[::1]:80\t-\tHTTP/2\t3.2\t4\t5/6\t-");
        let one = r#"[{"pattern":"long","channel":"a","channels":1,"requests":1}]"#;
        assert!(row("true", 1, one).ends_with("\tHTTP/2+TLS\t3.2\t4\t5/6\tlong a"));
        let several = r#"[{"pattern":"stream","channel":"a","channels":3,"requests":2}]"#;
        assert!(row("true", 9, several).ends_with("\tstream a and 2 channels 2 times, 7 more"));
    }

    #[test]
    fn one_channel_is_a_line_for_each_thing() {
        let lines = channel_lines(&channel("a", 1, r#"{"retain_seconds":60}"#), Screen::Terminal);
        assert_eq!(lines.len(), 13);
        assert_eq!([&*lines[0], &*lines[1]], ["channel          a", "messages         1"]);
        assert_eq!([&*lines[10], &*lines[11]], ["retain-messages  server", "retain-seconds   60"]);
    }
}
