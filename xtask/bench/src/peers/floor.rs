//! The floor: [`crate::floor`] as a process of its own.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::process::{self, Workers, folder, free_address};
use crate::endpoints::{Endpoints, Mode, Next, PublishTemplate, ReadTemplate};
use crate::peer::{Peer, Running};
use crate::target::Needs;

pub(super) fn prepare() -> Peer {
    let settings = |_, needs| (needs == Needs::PLAIN).then(|| "keeps nothing, checks nothing".to_owned());
    Peer { name: "floor", endpoints, settings: Box::new(settings), start: Box::new(|_| start()) }
}

fn start() -> Result<Running> {
    let endpoints = endpoints(free_address()?);
    let mut command = Command::new(std::env::current_exe().context("this program is a file")?);
    command.args(["floor", "--listen", &endpoints.address.to_string()]);
    process::start(command, folder()?, endpoints, Workers::Itself)
}

fn endpoints(address: SocketAddr) -> Endpoints {
    let read = |mode, path: &str, next| (mode, ReadTemplate::new(&format!("/{path}?{{channel}}"), next));
    Endpoints {
        address,
        reads: vec![
            read(Mode::LongPoll, "long", Next::Same),
            read(Mode::Stream, "stream", Next::Same),
            read(Mode::Events, "events", Next::Same),
            read(Mode::Conditional, "short", Next::Headers),
            read(Mode::ShortPoll, "short", Next::Same),
        ],
        publish: PublishTemplate::new("/publish?{channel}", "text/plain", "{payload}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;
    use crate::floor::in_a_thread;
    use crate::load::Repeat;
    use crate::scenario::{Scenario, fan_out, short, streams};
    use crate::target::{Target, Waits};
    use crate::workload::streams::Pace;

    fn run(scenario: &Scenario, address: SocketAddr) -> Result<u64> {
        let target = Target { endpoints: endpoints(address), processes: Vec::new(), waits: Waits::Asleep };
        Ok(scenario.run(&target)?.operations)
    }

    #[test]
    fn every_reader_receives_every_message_and_every_poll_is_answered() {
        let of = |scenario: Scenario| run(&scenario, in_a_thread()).unwrap();
        assert_eq!(of(fan_out(20, 3)), 60);
        assert_eq!(of(streams(Mode::Stream, 20, 9, Pace::Window(4))), 180);
        assert_eq!(of(streams(Mode::Stream, 20, 9, Pace::Every(Duration::from_millis(1)))), 180);
        assert_eq!(of(short(Repeat::News, 4, 50)), 50);
        assert_eq!(of(short(Repeat::All, 4, 50)), 50);
    }

    /// A server with this response to everything.
    fn always(response: &'static str) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    while stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0)
                        && stream.write_all(response.as_bytes()).is_ok()
                    {}
                });
            }
        });
        address
    }

    #[test]
    fn an_error_says_what_the_server_did_wrong() {
        let error = |response| format!("{:#}", run(&fan_out(1, 1), always(response)).unwrap_err());
        let message = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n#00000001#";
        assert!(error(message).ends_with("message 1 came again, where 2 was due"));
        let early = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n#00000002#";
        assert!(error(early).ends_with("message 2 came too early, where 1 was due"));
        let refusal = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n";
        assert!(error(refusal).ends_with("status 429"));
        assert!(error("SSH-2.0\r\n\r\n").contains("no response"));
    }
}
