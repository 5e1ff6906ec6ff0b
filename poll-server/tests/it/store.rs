//! The store on disk, as an operator meets it.

use rustix::process::Signal;

use crate::process::{Server, command, curl, output};

fn publish(server: &Server, text: &str) -> String {
    output(curl(&["-sS", "-X", "POST", &server.url(&format!("/api/message?channel=kept&content={text}"))]))
}

#[test]
fn what_was_acknowledged_is_there_after_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("disk:{}", directory.path().join("poll-data").display());
    for round in 1..=3 {
        let mut server = Server::start(&["--store", &store]);
        let answer = publish(&server, &format!("number-{round}"));
        assert!(answer.contains(&format!("\"id\":{round}")), "{answer}");
        let polled = server.get("/api/poll?channel=kept");
        assert!(polled.contains(&format!("\"count\":{round}")), "{polled}");
        assert!(server.get("/readyz").starts_with("HTTP/1.1 200"));
        server.signal(Signal::KILL);
        server.wait();
    }
}

#[test]
fn what_is_kept_is_counted_once_and_a_repetition_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&["--store", &format!("disk:{}", directory.path().display())]);
    for status in ["201", "200"] {
        let key = ["-H", "Idempotency-Key: k", "-o", "/dev/null", "-w", "%{http_code}"];
        let url = server.url("/api/message?content=x");
        let told = output(curl(&[&key[..], &["-sS", "-X", "POST", &url]].concat()));
        assert_eq!(told, status);
    }
    let metrics = server.get("/metrics");
    assert!(metrics.contains("\npoll_messages_published_total 1\n"), "{metrics}");
}

#[test]
fn a_clean_stop_leaves_nothing_to_repair() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("disk:{}", directory.path().display());
    let mut server = Server::start(&["--store", &store]);
    publish(&server, "one");
    server.signal(Signal::TERM);
    server.wait_for(1, "drained: everyone was answered");
    assert!(server.wait().success());
    assert!(server.lines("ERROR").is_empty(), "a clean stop is no fault: {:?}", server.lines("ERROR"));
    let server = Server::start(&["--store", &store]);
    assert!(server.get("/api/poll?channel=kept").contains("\"count\":1"));
    assert!(server.lines("repaired").is_empty());
}

#[test]
fn a_second_server_on_the_same_directory_is_exit_1_and_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("disk:{}", directory.path().display());
    let _first = Server::start(&["--store", &store]);
    let second = command().args(["--listen", "127.0.0.1:0", "--store", &store]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let lines = String::from_utf8(second.stderr).unwrap();
    assert_eq!(lines.lines().count(), 1, "{lines}");
    assert!(lines.contains("in use by another server"), "{lines}");
}

#[test]
fn a_store_whose_file_is_gone_is_told_and_begins_nothing_anew() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("poll-data");
    let store = format!("disk:{}", directory.display());
    let mut server = Server::start(&["--store", &store]);
    assert!(publish(&server, "one").contains("\"id\":1"));
    let (file, away) = (directory.join("poll.redb"), directory.join("poll.redb.old"));
    std::fs::rename(&file, &away).unwrap();
    // Nobody publishes: it is looked for.
    server.wait_for(1, "was removed, renamed or replaced, publishes are refused");
    let ready = server.get("/readyz");
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    assert!(ready.contains("the store's file was removed, renamed or replaced"), "{ready}");
    assert!(!ready.contains("poll.redb") && !ready.contains(root.path().to_str().unwrap()), "{ready}");
    for channel in ["kept", "new"] {
        let url = server.url(&format!("/api/message?channel={channel}&content=two"));
        let refused = output(curl(&["-sS", "-i", "-X", "POST", &url]));
        assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
        assert!(
            refused.contains("about:blank") && refused.to_lowercase().contains("retry-after: 1"),
            "{refused}"
        );
    }
    assert!(server.get("/api/poll?channel=kept").contains("\"count\":1"), "what is there can be read");
    let second = command().args(["--listen", "127.0.0.1:0", "--store", &store]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8(second.stderr).unwrap().contains("in use by another server"));
    assert!(!file.exists(), "nothing is made in its place");
    std::fs::rename(&away, &file).unwrap();
    server.get_until("/readyz", "ready\n");
    assert!(publish(&server, "two").contains("\"id\":2"));
    server.signal(Signal::TERM);
    server.wait();
    let server = Server::start(&["--store", &store]);
    assert!(server.get("/api/poll?channel=kept").contains("\"count\":2"));
}

#[test]
fn interval_durability_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("disk:{}", directory.path().display());
    let server = Server::start(&["--store", &store, "--durability", "interval=100"]);
    let said = "before they are kept: a crash loses up to 100ms";
    server.wait_for(1, said);
    assert!(server.get("/readyz").contains(said));
    assert!(publish(&server, "one").contains("\"id\":1"));
}

#[test]
fn a_store_goes_out_and_in_again_with_its_cursors() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    let (one, two) = (format!("disk:{}", one.display()), format!("disk:{}", two.display()));
    let mut server = Server::start(&["--store", &one]);
    publish(&server, "first");
    let cursor = server.get("/api/poll?channel=kept").split("\"cursor\":\"").nth(1).unwrap()[..32].to_owned();
    publish(&server, "second");
    let busy = command().args(["export", "--store", &one]).output().unwrap();
    assert_eq!(busy.status.code(), Some(1), "a server has it open");
    server.signal(Signal::TERM);
    server.wait();

    let exported = command().args(["export", "--store", &one]).output().unwrap();
    assert!(exported.status.success());
    let lines = String::from_utf8(exported.stdout.clone()).unwrap();
    assert_eq!(lines.lines().count(), 3);
    let moved = format!(" 1 channel with 2 messages: {} bytes in ", lines.len() - 3);
    let told = String::from_utf8(exported.stderr).unwrap();
    assert!(told.contains(&format!(" INFO exported{moved}")), "{told}");
    let file = directory.path().join("backup.jsonl");
    std::fs::write(&file, exported.stdout).unwrap();
    let input = std::fs::File::open(&file).unwrap();
    let imported = command().args(["import", "--store", &two]).stdin(input).output().unwrap();
    assert!(imported.status.success(), "{imported:?}");
    let told = String::from_utf8(imported.stderr).unwrap();
    assert!(told.contains(&format!(" INFO imported{moved}")), "{told}");
    let json = command().args(["export", "--log=json", "--store", &two]).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json.stderr).unwrap();
    assert_eq!((&json["channels"], &json["messages"]), (&1.into(), &2.into()), "{json}");
    assert_eq!(json["bytes"], lines.len() - 3);
    let server = Server::start(&["--store", &two]);
    let polled = server.get(&format!("/api/poll?channel=kept&cursor={cursor}"));
    assert!(polled.contains("\"count\":1") && polled.contains("second"), "{polled}");
}
