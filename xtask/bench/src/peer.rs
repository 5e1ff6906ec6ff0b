//! The servers under test: how each is made ready, started for one round, and asked.
//!
//! One file each of the same shape: `prepare` once a run, `settings` for a row, `wire` as data, `start` for a round.
//! Whom a machine cannot run is left out with a word, so that the others are still measured.

mod floor;
mod golongpoll;
mod nchan;
mod poll;
mod process;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;

use self::golongpoll::Golongpoll;
use self::nchan::Nchan;
use self::poll::Poll;
pub(super) use self::poll::settings as settings_of_ours;
use self::process::Process;
use super::load::Waits;
use super::scenario::{Needs, Scenario, Target};
use super::versus::{AGAINST, POLL};
use super::wire::Wire;
use xtask::server::{Binary, Server};

/// A server by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Ours
    Poll,
    /// nginx with Nchan, from Debian's packages
    Nchan,
    /// A small program of golongpoll's, if its source is given
    Golongpoll,
    /// A bare epoll program that writes one prepared answer to each connection
    Floor,
}

/// What the command line says of them.
pub(super) struct Given {
    /// Our server, where it is built already.
    pub(super) built: Option<Binary>,
    /// Our server, where it is not to be built.
    pub(super) binary: Option<PathBuf>,
    pub(super) golongpoll: Option<PathBuf>,
}

/// A server that can be started.
pub(super) enum Peer {
    Poll(Poll),
    Nchan(Nchan),
    Golongpoll(Golongpoll),
    Floor,
}

/// A started server. Ended when dropped.
pub(super) struct Running {
    pub(super) target: Target,
    _server: Handle,
}

/// What keeps it up.
enum Handle {
    /// With the folder of its store, if that is on disk.
    Poll {
        _server: Server,
        _folder: Option<tempfile::TempDir>,
    },
    Process {
        _process: Process,
    },
}

impl Kind {
    /// Makes it ready; none if this machine cannot run it, which is said.
    pub(super) fn prepare(self, given: &Given) -> Result<Option<Peer>> {
        Ok(match self {
            Self::Poll => Some(Peer::Poll(Poll::prepare(given, POLL)?)),
            Self::Nchan => Nchan::prepare()?.map(Peer::Nchan),
            Self::Golongpoll => Golongpoll::prepare(given.golongpoll.as_deref())?.map(Peer::Golongpoll),
            Self::Floor => Some(Peer::Floor),
        })
    }
}

impl Peer {
    /// The server that was given and another build of it, under the names that [`versus`](crate::versus) knows.
    pub(super) fn two_of_ours(given: &Given, other: &Path) -> Result<Vec<Self>> {
        let against = Given { built: None, binary: Some(other.to_owned()), golongpoll: None };
        Ok(vec![Self::Poll(Poll::prepare(given, POLL)?), Self::Poll(Poll::prepare(&against, AGAINST)?)])
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Poll(poll) => poll.name,
            Self::Nchan(_) => "nchan",
            Self::Golongpoll(_) => "golongpoll",
            Self::Floor => "floor",
        }
    }

    /// The settings it does a scenario under; none if it cannot do it.
    pub(super) fn settings(&self, scenario: &Scenario) -> Option<String> {
        let nowhere = ([127, 0, 0, 1], 0).into();
        let (wire, settings) = match self {
            Self::Poll(_) => (poll::wire(nowhere), Some(poll::settings(scenario.needs))),
            Self::Nchan(nchan) => (nchan::wire(nowhere), nchan.settings(scenario)),
            Self::Golongpoll(_) => (golongpoll::wire(nowhere), golongpoll::settings(scenario.needs)),
            Self::Floor => (floor::wire(nowhere), floor::settings(scenario.needs)),
        };
        scenario.course.ask(&wire)?;
        settings
    }

    /// Starts a fresh one, on the cores this thread is bound to.
    pub(super) fn start(&self, needs: Needs) -> Result<Running> {
        match self {
            Self::Poll(poll) => poll.start(needs),
            Self::Nchan(nchan) => nchan.start(),
            Self::Golongpoll(golongpoll) => golongpoll.start(),
            Self::Floor => floor::start(),
        }
    }
}

impl Running {
    fn of(wire: Wire, process: Process) -> Self {
        let processes = process.all();
        Self {
            target: Target { wire, processes, waits: Waits::Asleep },
            _server: Handle::Process { _process: process },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener};
    use std::time::Duration;

    use super::*;
    use crate::floor::in_a_thread;
    use crate::scenario::{Course, FanOut, Form, News, Pace, Short, Streams};

    /// What a course counts on a floor of its own.
    fn operations(course: &Course) -> u64 {
        let target = Target { wire: floor::wire(in_a_thread()), processes: Vec::new(), waits: Waits::Asleep };
        course.run(&target).unwrap().operations
    }

    #[test]
    fn every_waiter_is_given_every_message() {
        assert_eq!(operations(&Course::FanOut(FanOut { waiters: 20, publishes: 3 })), 60);
    }

    #[test]
    fn every_reader_is_given_every_message() {
        for pace in [Pace::Window(4), Pace::Every(Duration::from_millis(1))] {
            let streams = Streams { form: Form::Lines, readers: 20, messages: 9, pace };
            assert_eq!(operations(&Course::Streams(streams)), 180);
        }
    }

    #[test]
    fn every_question_is_answered() {
        for news in [News::None, News::One] {
            assert_eq!(operations(&Course::Short(Short { news, connections: 4, requests: 50 })), 50);
        }
    }

    /// A server that gives everybody who asks this answer and knows nothing else.
    fn always(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut buffer = [0; 1024];
                    // Who is given something wrong hangs up.
                    while !answer.is_empty()
                        && stream.read(&mut buffer).is_ok_and(|read| read > 0)
                        && stream.write_all(answer.as_bytes()).is_ok()
                    {}
                });
            }
        });
        address
    }

    fn fault(answer: &'static str) -> String {
        let target =
            Target { wire: floor::wire(always(answer)), processes: Vec::new(), waits: Waits::Asleep };
        let course = Course::FanOut(FanOut { waiters: 1, publishes: 1 });
        format!("{:#}", course.run(&target).unwrap_err())
    }

    #[test]
    fn what_a_server_does_wrong_is_said() {
        let message = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n#00000001#";
        assert!(fault(message).ends_with("it was given message 1 again, where 2 was due"));
        let early = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n#00000002#";
        assert!(fault(early).ends_with("it was given message 2 too early, where 1 was due"));
        let refusal = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n";
        assert!(fault(refusal).ends_with("status 429"));
        assert!(fault("").contains("connection"));
    }
}
