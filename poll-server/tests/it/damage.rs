//! A real server above a file in which bytes were changed: what it says, and what gets the rest out.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;

use crate::process::{Server, cleaned, command, curl, output};

/// A server above a store in this directory, with five messages in `news`.
fn with_messages(store: &str) -> Server {
    let server = Server::start(&["--store", store]);
    for number in 1..=5 {
        let url = server.url("/api/message?channel=news");
        let told = output(curl(&["-X", "POST", "-d", &format!("<news {number}>"), &url]));
        assert!(told.contains(&format!("\"id\":{number}")), "{told}");
    }
    server
}

/// Changes a bit of what is in the database, wherever it lies.
fn damage(directory: &Path, text: &str) {
    damage_file(&directory.join("poll.redb"), text);
}

fn damage_file(path: &Path, text: &str) {
    let mut file = std::fs::read(path).unwrap();
    let there = file.windows(text.len()).enumerate().filter(|(_, there)| *there == text.as_bytes());
    let places: Vec<usize> = there.map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| file[at] ^= 0x40);
    std::fs::write(path, file).unwrap();
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command().args(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_damaged_message_is_missed_and_counted_and_the_server_stays_ready() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("disk:{}", directory.path().display());
    let mut server = with_messages(&store);
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    damage(directory.path(), "<news 3>");

    let server = Server::start(&["--store", &store]);
    let first = server.get("/api/poll?channel=news");
    assert!(first.contains("\"count\":2") && !first.contains("missed"), "{first}");
    let second = server.get("/api/poll?channel=news&last_id=2");
    assert!(second.contains("\"count\":2") && second.contains("\"missed\":1"), "{second}");
    assert!(server.get("/api/messages/news/3").starts_with("HTTP/1.1 410"));
    let ready = server.get("/readyz");
    assert!(ready.starts_with("HTTP/1.1 200") && ready.ends_with("ready\ndamaged: 1\n"), "{ready}");
    assert!(server.get("/metrics").contains("\npoll_damaged_total 1\n"));
    server.wait_for(1, "the store is damaged: 1 rows so far, of channel \"news\": messages 3 to 3");
    let told = output(curl(&["-X", "POST", "-d", "on", &server.url("/api/message?channel=news")]));
    assert!(told.contains("\"id\":6"), "{told}");
}

#[test]
fn damage_that_a_start_finds_in_the_log_is_logged() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("disk:{}", directory.path().display());
    let mut server = with_messages(&store);
    server.signal(Signal::KILL);
    assert!(!server.wait().success());
    damage_file(&directory.path().join("poll.log.0000000000000001"), "<news 5>");

    let server = Server::start(&["--store", &store]);
    server.wait_for(1, "the store is damaged: 1 rows so far, of segment 1 of the log: 1 stretches");
    assert!(server.get("/metrics").contains("\npoll_damaged_total 1\n"));
}

#[test]
fn a_database_that_crashes_the_server_does_so_once() {
    for has_news in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let store = format!("disk:{}", directory.path().display());
        let mut server = with_messages(&store);
        server.signal(Signal::TERM);
        assert!(server.wait().success());
        damage_free_pages(&directory.path().join("poll.redb"));

        let mut server = Server::start(&["--store", &store]);
        if has_news {
            output(curl(&["-X", "POST", "-d", "<news 6>", &server.url("/api/message?channel=news")]));
        }
        server.signal(Signal::TERM);
        server.wait_for(1, "the store is damaged, and the process aborts because of it: panicked at ");
        assert_eq!(server.wait().signal(), Some(Signal::ABORT.as_raw()));
        for _ in 0..2 {
            let (code, _, told) = run(&["--listen", "127.0.0.1:0", "--store", &store]);
            let why = "poll.redb is damaged and crashed an earlier process: panicked at ";
            assert!(code == Some(1) && told.contains(why) && told.contains("poll-server salvage"), "{told}");
        }
        let (code, told, _) = run(&["check", "--store", &store]);
        assert!(
            code == Some(2) && told.ends_with("a server refuses it: use poll-server salvage\n"),
            "{told}"
        );
        let (code, whole, _) = run(&["salvage", "--store", &store]);
        let sent = (1..=6).filter(|number| whole.contains(&format!("<news {number}>"))).count();
        assert_eq!((code, sent), (Some(0), 5 + usize::from(has_news)));
    }
}

/// Makes the lists of pages to free point far beyond the end of the file. When redb frees those, it panics with its lock held,
/// and its destructors then panic at the lock.
fn damage_free_pages(path: &Path) {
    let mut file = std::fs::read(path).unwrap();
    let lists: usize = file.chunks_exact_mut(4096).skip(1).map(|page| free_pages(page).unwrap_or(0)).sum();
    assert!(lists > 0);
    std::fs::write(path, file).unwrap();
}

/// The same on one page, if it holds such lists and nothing else; returns how many. A leaf begins with a type byte. It has the
/// number of its rows, where each value ends, the keys (a transaction and a running number), and the values: how many pages,
/// and each page's number.
fn free_pages(page: &mut [u8]) -> Option<usize> {
    let number = |page: &[u8], at: usize, width: usize| -> Option<usize> {
        let bytes = page.get(at..at + width)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    };
    let rows = number(page, 2, 2).filter(|rows| page[0] == 1 && (1..100).contains(rows))?;
    let (mut value, mut pages) = (4 + 20 * rows, Vec::new());
    for row in 0..rows {
        let (count, end) = (number(page, value, 2)?, number(page, 4 + 4 * row, 4)?);
        let places: Vec<_> = (0..count).map(|place| value + 2 + 8 * place).collect();
        let is_page = |at: &usize| number(page, *at, 8).is_some_and(|page| page < 1000);
        if count == 0 || value + 2 + 8 * count > end || !places.iter().all(is_page) {
            return None;
        }
        pages.extend(places);
        value = end;
    }
    pages.into_iter().for_each(|at| page[at + 2] ^= 8);
    Some(rows)
}

#[test]
fn what_is_damaged_is_named_looked_through_and_taken_out() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    let (from, to) = (format!("disk:{}", old.display()), format!("disk:{}", new.display()));
    let mut server = with_messages(&from);
    let cursor = server.get("/api/poll?channel=news").split("\"cursor\":\"").last().unwrap()[..32].to_owned();
    let (code, _, told) = run(&["check", "--store", &from]);
    assert!(code == Some(1) && told.contains("in use by another server"), "{told}");
    server.signal(Signal::KILL);
    server.wait();
    let (code, whole, _) = run(&["check", "--store", &from]);
    assert_eq!((code, whole.as_str()), (Some(0), "whole: 1 channels with 5 messages; nothing is damaged\n"));
    // A start and an orderly end bring all of it to the database.
    let mut server = Server::start(&["--store", &from]);
    server.signal(Signal::TERM);
    server.wait();
    damage(&old, "<news 3>");

    let (code, told, _) = run(&["check", "--store", &from]);
    assert_eq!(code, Some(2));
    assert!(
        told.starts_with("damaged: channel \"news\": messages 3 to 3\nwhole: 1 channels with 4 messages;"),
        "{told}"
    );

    let mut salvage = command();
    let mut salvage = salvage.args(["salvage", "--store", &from]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = salvage.stdout.take().unwrap();
    assert!(command().args(["import", "--store", &to]).stdin(lines).status().unwrap().success());
    assert!(salvage.wait().unwrap().success());
    assert_eq!(run(&["check", "--store", &to]).0, Some(0), "what is lost is known there");
    let server = Server::start(&["--store", &to]);
    let polled = server.get("/api/poll?channel=news&last_id=2");
    assert!(polled.contains("\"count\":2") && polled.contains("\"missed\":1"), "{polled}");
    let level = server.get(&format!("/api/poll?channel=news&cursor={cursor}"));
    assert!(level.contains("\"count\":0") && !level.contains("reset"), "{level}");
    assert!(server.get("/readyz").ends_with("\r\n\r\nready\n"), "and is no damage");
}

#[test]
fn a_store_on_a_read_only_file_system_is_checked_and_salvaged() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    let (from, to) = (format!("disk:{}", old.display()), format!("disk:{}", new.display()));
    std::fs::create_dir(&old).unwrap();
    let view = read_only_view(&old, "true").output().unwrap();
    if !view.status.success() {
        let why = String::from_utf8_lossy(&view.stderr);
        eprintln!("skipped: this user may not mount, not even in a namespace of its own: {why}");
        return;
    }
    let run_there = |arguments: &[&str]| {
        let mut command = read_only_view(&old, env!("CARGO_BIN_EXE_poll-server"));
        let Output { status, stdout, stderr } =
            command.args(arguments).args(["--store", &from]).output().unwrap();
        (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    };
    let mut server = with_messages(&from);
    let (code, _, told) = run_there(&["salvage"]);
    assert!(code == Some(1) && told.contains("in use by another server"), "{told}");
    server.signal(Signal::KILL);
    server.wait();
    assert!(old.join("poll.log.0000000000000001").exists(), "what was published is in the log");

    let (code, whole, _) = run_there(&["check"]);
    assert_eq!((code, whole.as_str()), (Some(0), "whole: 1 channels with 5 messages; nothing is damaged\n"));
    let (code, lines, _) = run_there(&["salvage"]);
    assert_eq!(code, Some(0));
    for arguments in [&["export"][..], &["--listen", "127.0.0.1:0"]] {
        let (code, _, told) = run_there(arguments);
        assert_ne!(code, Some(0));
        let words =
            "poll.redb cannot be written: Read-only file system (os error 30); copy its directory to a disk";
        assert!(told.lines().any(|line| line.contains(words)), "{told}");
    }

    let salvaged = directory.path().join("whole.jsonl");
    std::fs::write(&salvaged, lines).unwrap();
    let mut import = command();
    import.args(["import", "--store", &to]).stdin(std::fs::File::open(&salvaged).unwrap());
    assert!(import.status().unwrap().success());
    assert_eq!(run(&["check", "--store", &to]).1, whole);
}

/// The program with its arguments, for which nothing in `directory` can be written. The mount is gone when the program ends.
fn read_only_view(directory: &Path, program: &str) -> Command {
    let mut command = Command::new("unshare");
    let script = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"";
    command.args(["--map-root-user", "--mount", "sh", "-c", script]).arg(directory).arg(program);
    cleaned(command)
}

#[test]
fn each_command_has_a_help_of_its_own() {
    for name in ["export", "import", "check", "salvage"] {
        let (code, help, _) = run(&[name, "--help"]);
        assert_eq!(code, Some(0));
        assert!(help.starts_with(&format!("poll-server {name} ")), "{help}");
        assert!(run(&["--help"]).1.contains(&format!("\n  poll-server {name} ")), "it is listed");
    }
    let (code, _, told) = run(&["check", "--store", "disk:/nowhere/poll-data"]);
    assert_eq!((code, told.as_str()), (Some(1), "poll-server: there is no store at /nowhere/poll-data\n"));
}
