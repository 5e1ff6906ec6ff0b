//! Several servers over one log in Redis, as an operator meets them.

use crate::process::command;

#[cfg(not(feature = "redis"))]
#[test]
fn a_build_without_redis_says_which_one_has_it() {
    for url in ["redis://localhost", "valkey://localhost", "unix:/run/redis.sock", "redis+cluster://a,b"] {
        let ended = command().args(["--listen", "127.0.0.1:0", "--store", url]).output().unwrap();
        assert_eq!(ended.status.code(), Some(1), "{url}");
        let lines = String::from_utf8(ended.stderr).unwrap();
        assert!(lines.lines().count() == 1 && lines.contains("feature `redis`"), "{lines}");
    }
    let help = String::from_utf8(command().arg("--help").output().unwrap().stdout).unwrap();
    assert!(!help.to_lowercase().contains("redis"), "{help}");
}

#[cfg(feature = "redis")]
mod with_redis {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::time::{Duration, Instant};

    use rustix::process::Signal;

    use super::command;
    use crate::process::{Server, curl, output};
    use crate::redis::Redis;

    fn node(redis: &Redis, arguments: &[&str]) -> Server {
        Server::start(&[&["--store", &redis.url()], arguments].concat())
    }

    fn publish(server: &Server, text: &str) -> String {
        output(curl(&[
            "-sS",
            "-i",
            "-X",
            "POST",
            &server.url(&format!("/api/message?channel=c&content={text}")),
        ]))
    }

    fn cursor_of(answer: &str) -> String {
        answer.rsplit("\"cursor\":\"").next().unwrap()[..32].to_owned()
    }

    /// A stream of channel `c`, from now on.
    fn stream(server: &Server) -> impl FnMut(&str) -> String {
        let mut socket = server.connect();
        let host = server.addresses[0];
        write!(socket, "GET /api/stream?channel=c HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        let mut lines = BufReader::new(socket).lines();
        move |words| loop {
            let line = lines.next().unwrap().unwrap();
            if line.contains(words) {
                return line;
            }
        }
    }

    #[test]
    fn what_one_node_confirmed_the_other_gives_at_once() {
        let redis = Redis::start(&[]);
        let nodes = [node(&redis, &[]), node(&redis, &[])];
        let mut cursor = "0".repeat(32);
        for number in 1..=20 {
            let (here, there) = (&nodes[number % 2], &nodes[(number + 1) % 2]);
            let published = publish(here, &format!("number-{number}"));
            assert!(published.contains(&format!("\"id\":{number},")), "{published}");
            let polled = there.get(&format!("/api/poll?channel=c&cursor={cursor}"));
            assert!(polled.contains("\"count\":1,"), "{polled}");
            assert!(polled.contains(&format!("\"content\":\"number-{number}\"")), "{polled}");
            cursor = cursor_of(&polled);
        }
        let other = node(&redis, &["--redis-prefix", "other:"]);
        assert!(other.get("/api/poll?channel=c").contains("\"count\":0,"), "another prefix is another log");
        for mut server in nodes {
            server.signal(Signal::TERM);
            assert!(server.wait().success());
            assert!(server.lines("ERROR").is_empty(), "{:?}", server.lines("ERROR"));
        }
    }

    #[test]
    fn readiness_names_what_the_durability_can_lose() {
        let redis = Redis::start(&["--appendfsync", "always"]);
        for (durability, words) in
            [("memory", "once Redis has them in memory"), ("disk", "once the file of Redis has them")]
        {
            let server = node(&redis, &["--redis-durability", durability]);
            let ready = server.get("/readyz");
            assert!(ready.starts_with("HTTP/1.1 200") && ready.contains("\r\n\r\nready\n"), "{ready}");
            assert!(ready.contains(words), "{ready}");
        }
    }

    #[test]
    fn a_redis_that_may_evict_channels_is_warned_about() {
        let redis = Redis::start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
        node(&redis, &[]).wait_for(1, "maxmemory-policy is allkeys-lru");
    }

    #[test]
    fn a_redis_that_cannot_be_used_is_exit_1_and_one_line() {
        let unused = crate::proxies::Port::reserve();
        let away = format!("redis://user:hunter2@{}", unused.address());
        let redis = Redis::start(&["--appendfsync", "no"]);
        let begun = Instant::now();
        for (url, durability) in [(away.as_str(), "memory"), (&redis.url(), "disk")] {
            let flags = ["--listen", "127.0.0.1:0", "--store", url, "--redis-durability", durability];
            let ended = command().args(flags).output().unwrap();
            let lines = String::from_utf8(ended.stderr).unwrap();
            assert_eq!(ended.status.code(), Some(1), "{durability}: {lines}");
            let said: Vec<&str> = lines.lines().filter(|line| line.starts_with("poll-server: ")).collect();
            assert!(said.len() == 1 && said[0].contains("cannot use the store"), "{lines}");
            assert!(!lines.contains("hunter2"), "{lines}");
        }
        assert!(begun.elapsed() < Duration::from_secs(40), "none waits for ever");
    }

    #[test]
    fn tls_to_a_redis_without_it_is_told_as_what_it_is() {
        let redis = Redis::start(&[]);
        let url = redis.url().replace("redis://", "rediss://");
        let ended = command().args(["--listen", "127.0.0.1:0", "--store", &url]).output().unwrap();
        let lines = String::from_utf8(ended.stderr).unwrap();
        assert_eq!((ended.status.code(), lines.lines().count()), (Some(1), 1), "{lines}");
        let hint = "to the TLS handshake within 1 s; a server without TLS is redis:// or valkey://";
        assert!(lines.contains(&redis.address().to_string()) && lines.trim_end().ends_with(hint), "{lines}");
    }

    #[test]
    fn a_redis_that_goes_away_is_told_and_comes_back_by_itself() {
        let mut redis = Redis::start(&["--appendfsync", "always"]);
        let server = node(&redis, &[]);
        assert!(publish(&server, "one").starts_with("HTTP/1.1 201"));
        let mut next = stream(&server);
        next("connected");
        redis.kill();
        let begun = Instant::now();
        let stalled = next("\"type\":\"stalled\"");
        server.get_until("/readyz", "HTTP/1.1 503");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        let ready = server.get("/readyz");
        assert!(ready.contains("\r\n\r\nthe store cannot be reached\n"), "{ready}");
        assert!(!ready.contains(&redis.address().to_string()), "{ready}");
        let refused = publish(&server, "two").to_lowercase();
        assert!(refused.starts_with("http/1.1 503") && refused.contains("retry-after"), "{refused}");
        assert!(server.get("/api/poll?channel=c").contains("\"count\":1,"), "what is known is given");
        redis.start_again();
        server.get_until("/readyz", "HTTP/1.1 200");
        assert_eq!(cursor_of(&next("\"type\":\"resumed\"")), cursor_of(&stalled));
        let published = publish(&server, "three");
        assert!(published.contains("\"id\":2,"), "{published}");
        assert!(next("\"message\"").contains("three"));
        assert_eq!(
            server.lines("publishes are refused").len(),
            1,
            "{:?}",
            server.lines("publishes are refused")
        );
        assert_eq!(server.lines("the store accepts publishes again").len(), 1);
    }

    #[test]
    fn a_redis_that_takes_nothing_is_named_by_its_fault() {
        let redis = Redis::start(&[]);
        let server = node(&redis, &[]);
        assert!(publish(&server, "one").starts_with("HTTP/1.1 201"));
        redis.tell("CONFIG SET maxmemory 1");
        server.get_until("/readyz", "the store has no room left");
        let refused = publish(&server, "two");
        assert!(refused.starts_with("HTTP/1.1 507"), "{refused}");
        redis.tell("CONFIG SET maxmemory 0");
        server.get_until("/readyz", "HTTP/1.1 200");
        assert!(publish(&server, "three").contains("\"id\":2,"));
        redis.tell("REPLICAOF 127.0.0.1 1");
        server.get_until("/readyz", "the store is read-only");
        assert!(publish(&server, "four").starts_with("HTTP/1.1 503"));
        redis.tell("REPLICAOF NO ONE");
        server.get_until("/readyz", "HTTP/1.1 200");
        assert!(publish(&server, "five").contains("\"id\":3,"));
    }

    #[test]
    fn a_log_that_is_gone_is_a_reset_for_its_readers() {
        let redis = Redis::start(&[]);
        let nodes = [node(&redis, &[]), node(&redis, &[])];
        publish(&nodes[0], "old");
        let cursor = cursor_of(&nodes[1].get("/api/poll?channel=c"));
        redis.tell("FLUSHALL");
        let published = publish(&nodes[0], "new");
        assert!(published.starts_with("HTTP/1.1 201") && published.contains("\"id\":1,"), "{published}");
        let polled = nodes[1].get(&format!("/api/poll?channel=c&cursor={cursor}"));
        assert!(polled.contains("\"reset\":true") && polled.contains("\"new\""), "{polled}");
        for metric in ["generations_total", "publishes_total", "batches_total", "commands_in_flight"] {
            nodes[0].get_until("/metrics", &format!("\npoll_redis_{metric} "));
        }
    }
}
