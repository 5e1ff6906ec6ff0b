//! `poll admin` as a process, for a server with a token of administration.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt};
use poll_client::{ChannelName, Client, Payload};

use super::process::poll;
use super::server::Server;

const TOKEN: &str = "operator";

/// `poll admin ARGUMENTS` with the token, which must succeed.
fn admin(server: &Server, arguments: &[&str]) -> String {
    let words = [&["admin", "--admin-token", TOKEN], arguments].concat();
    let (code, output, errors) = poll(server.address(), &words);
    assert_eq!((code, errors.as_str()), (0, ""), "{arguments:?}");
    output
}

fn publish(server: &Server, channel: &str, text: &str) {
    assert_eq!(poll(server.address(), &["publish", channel, text]).0, 0);
}

#[test]
fn a_channel_is_shown_purged_closed_and_deleted() {
    let server = Server::start_administered(TOKEN);
    let name = "a/b ü?";
    publish(&server, name, "one");
    publish(&server, name, "two");
    let shown = admin(&server, &["show", name]);
    for line in ["channel\ta/b ü?", "messages\t2", "oldest\t1", "newest\t2", "waiting-long\t0", "state\topen"]
    {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    let object = admin(&server, &["show", name, "--json"]);
    assert!(object.starts_with(r#"{"channel":"a/b ü?","messages":2,"bytes":"#), "{object}");
    let settings =
        r#""closed":false,"settings":{"retain_messages":null,"retain_seconds":null,"retain_bytes":null}}"#;
    assert!(object.ends_with(settings), "{object}");

    let purged = admin(&server, &["purge", name, "--format", "json"]);
    assert!(purged.contains(r#""messages":0,"bytes":0,"oldest":3,"newest":2,"#), "{purged}");
    assert!(admin(&server, &["close", name]).contains("\nstate\tclosed\n"));
    assert_eq!(admin(&server, &["delete", name]), "");
    for operation in ["show", "purge", "close", "delete", "settings"] {
        let words = ["admin", operation, name, "--admin-token", TOKEN];
        let (code, output, error) = poll(server.address(), &words);
        assert_eq!((code, output.as_str()), (1, ""), "{operation}");
        assert_eq!(
            error, "poll: the server answered 404: Not Found: there is no such channel",
            "{operation}"
        );
    }
}

#[test]
fn a_list_goes_through_all_pages() {
    let server = Server::start_administered(TOKEN);
    // More than two pages.
    let names: Vec<_> = (0..450).map(|number| format!("many.{number:03}")).collect();
    let client = Client::new(&server.url()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Together, so that the server writes them together.
    let published = names.iter().map(String::as_str).chain(["other"]).map(|name| {
        let (client, channel) = (&client, ChannelName::parse(name).unwrap());
        async move { client.publish(&channel, &Payload::text("x")).await }
    });
    let published = futures_util::stream::iter(published).buffer_unordered(50);
    runtime.block_on(published.try_for_each(|_| std::future::ready(Ok(())))).unwrap();
    let listed = |arguments: &[&str]| -> Vec<String> {
        let lines = admin(&server, &[&["list"], arguments].concat());
        lines.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    };
    assert_eq!(listed(&["--prefix", "many."]), names);
    assert_eq!(listed(&[]).len(), 451);
    assert_eq!(listed(&["--limit", "201"]), names[..201]);
    assert!(listed(&["--prefix", "none"]).is_empty());
    let line = admin(&server, &["list", "--prefix", "other"]);
    assert_eq!(line, "other\t1\t129\t1\t1\t0\topen\tserver");
    let object = admin(&server, &["list", "--prefix", "other", "--json"]);
    assert!(object.starts_with(r#"{"channel":"other","messages":1,"#) && object.lines().count() == 1);
}

#[test]
fn settings_that_are_not_given_stay() {
    let server = Server::start_administered(TOKEN);
    publish(&server, "c", "x");
    let settings = |arguments: &[&str]| admin(&server, &[&["settings", "c"], arguments].concat());
    let shown = |[messages, seconds, bytes]: [&str; 3]| {
        format!("retain-messages\t{messages}\nretain-seconds\t{seconds}\nretain-bytes\t{bytes}")
    };
    assert_eq!(settings(&[]), shown(["server", "server", "server"]));
    let first = ["--retain-messages", "10", "--retain-bytes", "0"];
    assert_eq!(settings(&first), shown(["10", "server", "0"]));
    let second = ["--retain-seconds", "60", "--retain-messages", "server"];
    assert_eq!(settings(&second), shown(["server", "60", "0"]));
    assert_eq!(settings(&[]), shown(["server", "60", "0"]));
    assert_eq!(settings(&["--json"]), r#"{"retain_messages":null,"retain_seconds":60,"retain_bytes":0}"#);
    assert!(admin(&server, &["list"]).ends_with("\topen\tseconds=60,bytes=0"));
}

#[test]
fn what_is_refused_is_said_in_one_line() {
    let server = Server::start_administered(TOKEN);
    for (arguments, code, expected) in [
        (
            &["admin", "list"][..],
            1,
            "the server answered 401: Unauthorized: the token of administration is needed",
        ),
        // The ordinary token is another one.
        (&["admin", "list", "--token", TOKEN], 1, "the token of administration is needed"),
        (&["admin", "list", "--admin-token", "x"], 1, "the token is not that of administration"),
        (&["admin", "show"], 64, "required arguments were not provided: <CHANNEL>"),
        (&["admin", "list", "--limit", "0"], 64, "invalid value '0' for '--limit <N>'"),
        (&["admin", "list", "--format", "json", "--json"], 64, "cannot be used with"),
        (&["admin", "settings", "c", "--retain-bytes", "x"], 64, "neither a whole number nor server"),
        (&["admin", "lst"], 64, "a similar subcommand exists: 'list'"),
    ] {
        let (exit, output, error) = poll(server.address(), arguments);
        assert_eq!((exit, output.as_str()), (code, ""), "{error}");
        assert!(error.contains(expected) && error.lines().count() == 1, "{error}");
    }
    let closed = Server::start();
    let (exit, _, error) = poll(closed.address(), &["admin", "list"]);
    assert_eq!(exit, 1);
    assert!(error.contains("404") && error.ends_with("--admin-token or --admin-listen puts it"), "{error}");
}

/// A connection with a long poll, once the server has it, and how it is listed.
fn wait_for(server: &Server, channel: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let request =
        format!("GET /api/longpoll?channel={channel}&last_id=1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let listed = admin(server, &["connections"]);
        if let Some(line) = listed.lines().find(|line| line.ends_with(&format!("\tlong {channel}"))) {
            return (stream, line.to_owned());
        }
        assert!(Instant::now() < deadline, "it never waits");
    }
}

#[test]
fn the_connections_are_listed_and_one_is_cut() {
    let server = Server::start_administered(TOKEN);
    let (mut waiting, line) = wait_for(&server, "a");
    let peer = waiting.local_addr().unwrap();
    assert!(line.contains(&format!("\t{peer}\t-\tHTTP/1.1\t")), "{line}");
    let objects = admin(&server, &["connections", "--json"]);
    let object = objects.lines().find(|line| line.contains(&peer.to_string())).unwrap();
    let wait = r#""waiting":1,"waits":[{"pattern":"long","channel":"a","channels":1,"requests":1}]}"#;
    assert!(object.ends_with(wait), "{object}");
    let id = line.split('\t').next().unwrap();
    assert_eq!(admin(&server, &["cut", id]), "");
    assert_eq!(waiting.read(&mut [0]).unwrap(), 0, "it is closed");
    let (code, _, error) = poll(server.address(), &["admin", "cut", id, "--admin-token", TOKEN]);
    assert_eq!(
        (code, error.as_str()),
        (1, "poll: the server answered 404: Not Found: there is no such connection")
    );
}

#[test]
fn presence_is_listed_with_the_admin_token() {
    let server = Server::start_administered(TOKEN);
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let request = "GET /api/stream?channel=a HTTP/1.1\r\nHost: localhost\r\nX-Client-ID: ann\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let listed = loop {
        let listed = admin(&server, &["presence", "a"]);
        if !listed.is_empty() {
            break listed;
        }
        assert!(Instant::now() < deadline, "it is never there");
    };
    assert!(listed.starts_with("ann\t20") && listed.lines().count() == 1, "{listed}");
    let object = admin(&server, &["presence", "a", "--json"]);
    assert!(object.starts_with("{\"id\":\"ann\",\"since\":\"20"), "{object}");
    let (code, _, error) = poll(server.address(), &["admin", "presence", "a"]);
    assert!(code == 1 && error.contains("the token of administration is needed"), "{error}");
}

#[test]
fn the_commands_of_the_documentation_are_right() {
    let server = Server::start_administered(TOKEN);
    publish(&server, "orders.eu", "x");
    let documentation = include_str!("../../../../docs/operations.md");
    let commands: Vec<Vec<_>> = documentation
        .lines()
        .filter_map(|line| line.strip_prefix("poll admin "))
        .map(|line| line.split(' ').collect())
        .collect();
    for operation in
        ["list", "show", "settings", "purge", "close", "delete", "presence", "connections", "cut"]
    {
        assert!(commands.iter().any(|words| words[0] == operation), "{operation}");
    }
    let (mut waiting, line) = wait_for(&server, "other");
    let id = line.split('\t').next().unwrap();
    for mut words in commands {
        if words[0] == "cut" {
            words[1] = id;
            assert_eq!(admin(&server, &words), "");
            assert_eq!(waiting.read(&mut [0]).unwrap(), 0, "it is closed");
            continue;
        }
        let printed = admin(&server, &words);
        // None of its readers has a name.
        assert_eq!(printed.is_empty(), matches!(words[0], "delete" | "presence"), "{words:?}");
    }
}
