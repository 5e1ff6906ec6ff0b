//! The long polls of one HTTP/2 connection: what is asked on which stream, and what has come of it.
//!
//! Works on frames and bytes alone; the socket is [`connection`](super::connection)'s. A waiter costs eight bytes, for a
//! million of them have to be lighter than the server that is measured.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use hdrhistogram::Histogram;

use super::frame::{self, Frame};
use super::head::{self, Request};
use super::message::{Found, Search};

/// How long each poll asks to wait: the longest that a server allows by default.
const TIMEOUT: u32 = 60;
/// The connection's window is opened again once so many bytes were read.
const WINDOW_STEP: u32 = 1 << 20;
/// Requests kept: waiters are at most one message apart.
const REQUESTS: usize = 4;
/// The largest number of a stream.
const LAST_STREAM: u32 = frame::WINDOW;

/// What a waiter does once it has a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// It asks for the next in the same turn.
    AtOnce,
    /// It rests until it is told to.
    WhenTold,
}

/// What has happened so far, on all connections together.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Messages that came to a waiter that was due to get them.
    pub(crate) delivered: u64,
    /// Polls that ended without a message; each is asked again.
    pub(crate) ran_out: u64,
    /// Messages that a waiter was not given although later ones were.
    pub(crate) lost: u64,
    /// Messages that a waiter was given before.
    pub(crate) doubled: u64,
    /// From the last publish to the arrival, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// When that was.
    pub(crate) published: Instant,
}

impl Tally {
    pub(super) fn new() -> Result<Self> {
        let latency = Histogram::new(3).context("three digits are possible")?;
        Ok(Self { delivered: 0, ran_out: 0, lost: 0, doubled: 0, latency, published: Instant::now() })
    }
}

/// What is asked of a server.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) authority: String,
    pub(super) channel: String,
}

impl Question {
    /// Without a cursor: from the oldest message on.
    fn request(&self, cursor: &[u8]) -> Request {
        let mut path = format!("/api/longpoll?channel={}&timeout={TIMEOUT}", self.channel);
        if !cursor.is_empty() {
            path.push_str("&cursor=");
            path.push_str(&String::from_utf8_lossy(cursor));
        }
        Request::get(&self.authority, &path)
    }
}

/// One connection's waiters.
pub(super) struct Waiters {
    question: Question,
    again: Again,
    search: Search,
    /// The requests for the message of a number and what follows, the latest last. All who have got the same message
    /// are given the same cursor.
    requests: VecDeque<(u32, Request)>,
    /// The stream of the first of [`polls`](Self::polls).
    first: u32,
    /// One a stream, in their order; those in front that have ended are gone.
    polls: VecDeque<Poll>,
    /// How many wait or will.
    waiting: usize,
    /// Of answers under way, what the end of a frame has cut.
    cut: HashMap<u32, Vec<u8>>,
    /// Bytes of DATA since the connection's window was opened last.
    read: u32,
}

/// One poll on its stream.
#[derive(Clone, Copy, Debug)]
struct Poll {
    /// The number that its waiter has not got yet.
    next: u32,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Asked,
    /// The answer's head has come.
    Answered,
    /// And a message.
    Given,
    Ended,
}

impl Waiters {
    pub(super) fn new(question: Question, again: Again) -> Self {
        Self {
            requests: [(1, question.request(b""))].into(),
            question,
            again,
            search: Search::new(),
            first: 1,
            polls: VecDeque::new(),
            waiting: 0,
            cut: HashMap::new(),
            read: 0,
        }
    }

    /// Says who we are: nothing is to be pushed, and no window shall hold up an answer.
    pub(super) fn greet(out: &mut Vec<u8>) {
        out.extend_from_slice(frame::PREFACE);
        let settings = [
            (frame::ENABLE_PUSH, 0),
            (frame::MAX_CONCURRENT_STREAMS, 0),
            (frame::INITIAL_WINDOW_SIZE, frame::WINDOW),
        ];
        frame::write_settings(out, &settings);
        frame::write_window(out, frame::WINDOW - frame::FIRST_WINDOW);
    }

    /// Asks for the message of that number and what follows, on a stream of its own.
    pub(super) fn ask(&mut self, next: u32, out: &mut Vec<u8>) -> Result<()> {
        let stream = u32::try_from(self.polls.len()).ok().and_then(|polls| self.first.checked_add(2 * polls));
        let stream = stream.filter(|stream| *stream <= LAST_STREAM).context("no stream is left")?;
        let request = self.requests.iter().rev().find(|(first, _)| *first == next);
        let (_, request) = request.context("an answer has no cursor")?;
        request.write(out, stream);
        self.polls.push_back(Poll { next, stage: Stage::Asked });
        self.waiting += 1;
        Ok(())
    }

    /// Takes a frame in; what it calls for is written.
    pub(super) fn take(&mut self, frame: Frame<'_>, out: &mut Vec<u8>, tally: &mut Tally) -> Result<()> {
        match frame.kind {
            frame::HEADERS => self.take_head(frame),
            frame::DATA => self.take_data(frame, out, tally),
            frame::SETTINGS if !frame.has(frame::ACK) => {
                for (name, value) in frame.settings() {
                    let few = name == frame::MAX_CONCURRENT_STREAMS && (value as usize) < self.waiting;
                    ensure!(!few, "the server takes {value} streams a connection, not {}", self.waiting);
                }
                Frame { flags: frame::ACK, payload: &[], ..frame }.write(out);
                Ok(())
            }
            frame::PING if !frame.has(frame::ACK) => {
                Frame { flags: frame::ACK, ..frame }.write(out);
                Ok(())
            }
            frame::RST_STREAM => {
                bail!("the server reset stream {} with error {}", frame.stream, frame.number())
            }
            frame::GOAWAY => {
                let (error, words) =
                    frame.payload.get(4..).unwrap_or_default().split_at_checked(4).unwrap_or_default();
                bail!("the server goes away with error {}: {}", error.escape_ascii(), words.escape_ascii())
            }
            // Updates of windows into which nothing is sent, the rest of heads that are not read, what is unknown.
            _ => Ok(()),
        }
    }

    fn take_head(&mut self, frame: Frame<'_>) -> Result<()> {
        let poll = self.poll(frame.stream)?;
        ensure!(poll.stage == Stage::Asked, "a second head on stream {}", frame.stream);
        poll.stage = Stage::Answered;
        let status = head::status(frame.content()?)?;
        ensure!(status == 200, "status {status} where 200 was due");
        ensure!(!frame.has(frame::END_STREAM), "an answer without a body");
        Ok(())
    }

    fn take_data(&mut self, frame: Frame<'_>, out: &mut Vec<u8>, tally: &mut Tally) -> Result<()> {
        self.read += u32::try_from(frame.payload.len())?;
        if self.read >= WINDOW_STEP {
            frame::write_window(out, self.read);
            self.read = 0;
        }
        let stage = self.poll(frame.stream)?.stage;
        ensure!(stage != Stage::Asked, "data before the head of stream {}", frame.stream);
        self.search(frame.stream, frame.content()?, tally)?;
        if frame.has(frame::END_STREAM) { self.end(frame.stream, out, tally) } else { Ok(()) }
    }

    /// A piece of a stream's answer has come.
    fn search(&mut self, stream: u32, piece: &[u8], tally: &mut Tally) -> Result<()> {
        let cut = if self.cut.is_empty() { None } else { self.cut.remove(&stream) };
        let joined = cut.map(|cut| [&cut, piece].concat());
        let mut poll = *self.poll(stream)?;
        let mut place = None;
        let rest = self.search.search(joined.as_deref().unwrap_or(piece), |found| {
            match found {
                Found::Message(number) => poll.give(number, tally),
                Found::Cursor(cursor) => place = Some(cursor),
            }
            Ok(())
        })?;
        if !rest.is_empty() {
            self.cut.insert(stream, rest.to_vec());
        }
        *self.poll(stream)? = poll;
        // The cursor follows the messages.
        if let Some(cursor) = place
            && self.requests.iter().all(|(next, _)| *next != poll.next)
        {
            self.requests.push_back((poll.next, self.question.request(cursor)));
            if self.requests.len() > REQUESTS {
                self.requests.pop_front();
            }
        }
        Ok(())
    }

    /// A stream's answer is whole.
    fn end(&mut self, stream: u32, out: &mut Vec<u8>, tally: &mut Tally) -> Result<()> {
        let poll = self.poll(stream)?;
        let Poll { next, stage } = std::mem::replace(poll, Poll { stage: Stage::Ended, ..*poll });
        self.waiting -= 1;
        while self.polls.front().is_some_and(|poll| poll.stage == Stage::Ended) {
            self.polls.pop_front();
            self.first += 2;
        }
        if stage != Stage::Given {
            tally.ran_out += 1;
        } else if self.again == Again::WhenTold {
            return Ok(());
        }
        self.ask(next, out)
    }

    fn poll(&mut self, stream: u32) -> Result<&mut Poll> {
        let index = stream.checked_sub(self.first).filter(|distance| distance % 2 == 0);
        let poll = index.and_then(|distance| self.polls.get_mut((distance / 2) as usize));
        poll.filter(|poll| poll.stage != Stage::Ended)
            .with_context(|| format!("something came on stream {stream}, where nothing is asked"))
    }
}

impl Poll {
    /// Its waiter is given a message.
    fn give(&mut self, number: u32, tally: &mut Tally) {
        self.stage = Stage::Given;
        if number < self.next {
            tally.doubled += 1;
            return;
        }
        tally.lost += u64::from(number - self.next);
        tally.delivered += 1;
        self.next = number + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Reader;
    use super::super::message::payload;
    use super::*;

    fn waiters(again: Again) -> Waiters {
        Waiters::new(Question { authority: "a".to_owned(), channel: "c".to_owned() }, again)
    }

    /// What the server would send on a stream: a head and a body in two pieces.
    fn answer(stream: u32, numbers: &[u32], cursor: &str) -> Vec<u8> {
        let messages: String = numbers.iter().map(|number| payload(*number)).collect();
        let body = format!("{messages}\"cursor\":\"{cursor}\"}}");
        let (first, second) = body.as_bytes().split_at(40.min(body.len()));
        let mut bytes = Vec::new();
        Frame { kind: frame::HEADERS, flags: frame::END_HEADERS, stream, payload: b"\x88" }.write(&mut bytes);
        Frame { kind: frame::DATA, flags: 0, stream, payload: first }.write(&mut bytes);
        Frame { kind: frame::DATA, flags: frame::END_STREAM, stream, payload: second }.write(&mut bytes);
        bytes
    }

    fn give(waiters: &mut Waiters, bytes: &[u8], tally: &mut Tally) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        Reader::default().read(bytes, |frame| waiters.take(frame, &mut out, tally))?;
        Ok(out)
    }

    #[test]
    fn each_waiter_goes_on_from_its_answer() {
        let (mut waiters, mut tally) = (waiters(Again::AtOnce), Tally::new().unwrap());
        let mut out = Vec::new();
        waiters.ask(1, &mut out).unwrap();
        waiters.ask(1, &mut out).unwrap();
        // The second stream is answered first, and its waiter asks again on the third.
        let asked = give(&mut waiters, &answer(3, &[1], "x1"), &mut tally).unwrap();
        assert_eq!(asked[5..9], [0, 0, 0, 5]);
        assert!(memchr::memmem::find(&asked, b"&cursor=x1").is_some());
        give(&mut waiters, &answer(1, &[1], "x1"), &mut tally).unwrap();
        give(&mut waiters, &answer(5, &[2], "x2"), &mut tally).unwrap();
        assert_eq!((tally.delivered, tally.lost, tally.doubled, tally.ran_out), (3, 0, 0, 0));
        assert_eq!((waiters.first, waiters.polls.len(), waiters.waiting), (7, 2, 2));
    }

    #[test]
    fn who_got_nothing_asks_again_and_who_rests_does_not() {
        let (mut waiters, mut tally) = (waiters(Again::WhenTold), Tally::new().unwrap());
        waiters.ask(1, &mut Vec::new()).unwrap();
        assert!(!give(&mut waiters, &answer(1, &[], "0"), &mut tally).unwrap().is_empty());
        assert!(give(&mut waiters, &answer(3, &[1], "1"), &mut tally).unwrap().is_empty());
        assert_eq!((tally.delivered, tally.ran_out, waiters.waiting), (1, 1, 0));
        assert!(give(&mut waiters, &answer(3, &[1], "1"), &mut tally).is_err(), "the stream has ended");
    }

    #[test]
    fn what_is_lost_or_doubled_is_counted() {
        let (mut waiters, mut tally) = (waiters(Again::AtOnce), Tally::new().unwrap());
        waiters.ask(1, &mut Vec::new()).unwrap();
        give(&mut waiters, &answer(1, &[2, 2, 5], "5"), &mut tally).unwrap();
        assert_eq!((tally.delivered, tally.lost, tally.doubled), (2, 3, 1));
    }

    #[test]
    fn a_refusal_says_what_it_was() {
        let (mut waiters, mut tally) = (waiters(Again::AtOnce), Tally::new().unwrap());
        waiters.ask(1, &mut Vec::new()).unwrap();
        let mut bytes = Vec::new();
        Frame { kind: frame::HEADERS, flags: frame::END_HEADERS, stream: 1, payload: b"\x48\x03429" }
            .write(&mut bytes);
        let error = give(&mut waiters, &bytes, &mut tally).unwrap_err();
        assert!(error.to_string().contains("429"), "{error}");
        let mut bytes = Vec::new();
        frame::write_settings(&mut bytes, &[(frame::MAX_CONCURRENT_STREAMS, 0)]);
        assert!(give(&mut waiters, &bytes, &mut tally).is_err());
    }

    #[test]
    fn settings_and_pings_are_answered_and_the_window_is_opened() {
        let (mut waiters, mut tally) = (waiters(Again::AtOnce), Tally::new().unwrap());
        let mut bytes = Vec::new();
        frame::write_settings(&mut bytes, &[(frame::MAX_CONCURRENT_STREAMS, 1000)]);
        Frame { kind: frame::PING, flags: 0, stream: 0, payload: b"12345678" }.write(&mut bytes);
        let out = give(&mut waiters, &bytes, &mut tally).unwrap();
        assert_eq!(out, b"\0\0\0\x04\x01\0\0\0\0\0\0\x08\x06\x01\0\0\0\x0012345678");
        waiters.read = WINDOW_STEP;
        waiters.ask(1, &mut Vec::new()).unwrap();
        let out = give(&mut waiters, &answer(1, &[1], "0")[..60], &mut tally).unwrap();
        assert_eq!(out[3], frame::WINDOW_UPDATE);
    }
}
