//! A plain model of Redis with one partition: what the script does, without Lua.

use std::collections::HashMap;
use std::sync::Arc;

use crate::journal::redis::log::announcement::{Announcement, Begins, Change, Content, Kept};
use crate::journal::redis::log::generation::{Birth, Generation, Mark, Reign};
use crate::journal::redis::log::partition::Partition;
use crate::journal::redis::log::script::{Range, Status, Verdict, Writer};
use crate::types::{ChannelName, Ending, Epoch, Loaded, Message, Payload, Piece, Seq, Timestamp, mint_id};

/// What is asked of it.
#[derive(Debug, Clone)]
pub(super) enum Request {
    /// A publish by its number.
    Publish(usize, ChannelName, Ending, Size),
    Load(ChannelName),
    Read(ChannelName, Epoch, Seq),
    /// Ask for the state, for these checks.
    State(Vec<(usize, ChannelName)>),
    Compare(Vec<ChannelName>),
    Renew(Generation, Mark),
    Forget(ChannelName),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Announced,
    TooLarge,
}

pub(super) type Newest = Option<(Epoch, Seq, Ending)>;

#[derive(Debug)]
pub(super) enum Reply {
    Publish(usize, ChannelName, Verdict<Option<(Kept, Vec<Arc<Message>>)>>),
    Load(ChannelName, Verdict<Option<Loaded>>),
    Read(ChannelName, Epoch, Verdict<Option<Range>>),
    State(Vec<(usize, ChannelName)>, Verdict<Status>),
    Compare(Vec<ChannelName>, Verdict<Vec<Newest>>),
    Renew(Verdict<()>),
    Forget(Verdict<()>),
}

#[derive(Debug, Clone, Default)]
struct Channel {
    birth: u32,
    messages: Vec<Arc<Message>>,
    closed: bool,
}

/// What is stored.
#[derive(Debug, Clone, Default)]
struct Stored {
    mark: Mark,
    process: u64,
    /// The newest first.
    reigns: Vec<(Reign, u64)>,
    channels: HashMap<ChannelName, Channel>,
}

#[derive(Debug, Default)]
pub(super) struct Redis {
    stored: Stored,
    saved: Stored,
    process: u64,
    clock: u64,
    births: u32,
}

impl Redis {
    pub(super) fn save(&mut self) {
        self.saved = self.stored.clone();
    }

    /// Restarts with what was saved.
    pub(super) fn lose(&mut self) {
        self.stored = self.saved.clone();
        self.process += 1;
    }

    pub(super) fn restart(&mut self) {
        self.process += 1;
        self.save();
    }

    pub(super) fn flush(&mut self) {
        self.stored = Stored::default();
    }

    pub(super) fn mark(&self) -> Mark {
        self.stored.mark
    }

    pub(super) fn newest(&self, channel: &ChannelName) -> Newest {
        let stored = self.stored.channels.get(channel)?;
        let ending = if stored.closed { Ending::Close } else { Ending::Open };
        Some((self.epoch(stored.birth), Seq::new(stored.messages.len() as u64), ending))
    }

    fn epoch(&self, birth: u32) -> Epoch {
        self.stored.mark.generation.epoch(Birth::new(birth).unwrap())
    }

    /// The message that has a number; `None` if another incarnation does.
    pub(super) fn message(&self, channel: &ChannelName, epoch: Epoch, seq: Seq) -> Option<&Arc<Message>> {
        let stored = self.stored.channels.get(channel)?;
        let place = usize::try_from(seq.get()).unwrap().checked_sub(1)?;
        stored.messages.get(place).filter(|_| self.epoch(stored.birth) == epoch)
    }

    /// What the script says first; `None` if it goes on.
    pub(super) fn objection<T>(&self, known: Mark) -> Option<Verdict<T>> {
        let mark = self.stored.mark;
        if mark.generation > known.generation {
            return Some(Verdict::Renewed(mark));
        }
        let mut lost = mark.generation < known.generation
            || mark.generation == Generation::default()
            || mark.count < known.count;
        if !lost && mark.reign != known.reign {
            let since = self.stored.reigns.iter().take_while(|(reign, _)| *reign != known.reign);
            lost = since.into_iter().any(|(_, from)| *from < known.count);
        }
        lost.then_some(Verdict::Lost(mark))
    }

    fn judge<T>(&mut self, known: Mark, run: impl FnOnce(&mut Self) -> T) -> Verdict<T> {
        if let Some(objection) = self.objection(known) {
            return objection;
        }
        let reply = run(self);
        Verdict::Done(self.stored.mark, reply)
    }

    fn change(&mut self) {
        self.clock += 1;
        let (count, process) = (self.stored.mark.count, self.process);
        if self.stored.process != process {
            self.stored.process = process;
            self.stored.mark.reign = Reign::new(self.clock);
            self.stored.reigns.insert(0, (self.stored.mark.reign, count));
        }
        self.stored.mark.count += 1;
    }

    /// Executes a request; says what it announces.
    pub(super) fn execute(&mut self, known: Mark, request: Request) -> (Reply, Option<Announcement>) {
        let mut announced = None;
        let reply = match request {
            Request::Publish(number, channel, ending, size) => {
                let verdict =
                    self.judge(known, |redis| redis.publish(number, &channel, ending, size, &mut announced));
                Reply::Publish(number, channel, verdict)
            }
            Request::Load(channel) => {
                let verdict = self.judge(known, |redis| redis.load(&channel));
                Reply::Load(channel, verdict)
            }
            Request::Read(channel, epoch, after) => {
                let verdict = self.judge(known, |redis| redis.read(&channel, epoch, after));
                Reply::Read(channel, epoch, verdict)
            }
            Request::State(checks) => {
                let status = Status { channels: 0, writer: Writer::ThisProcess };
                Reply::State(checks, self.judge(known, |_| status))
            }
            Request::Compare(channels) => {
                let verdict = self.judge(known, |redis| channels.iter().map(|c| redis.newest(c)).collect());
                Reply::Compare(channels, verdict)
            }
            Request::Renew(next, found) => {
                if self.stored.mark.generation != found.generation {
                    return (Reply::Renew(Verdict::Renewed(self.stored.mark)), None);
                }
                self.stored.mark.generation = next;
                self.stored.process = u64::MAX;
                self.change();
                let mark = self.stored.mark;
                announced = Some(Announcement { mark, change: Change::Renewed });
                Reply::Renew(Verdict::Done(mark, ()))
            }
            Request::Forget(channel) => Reply::Forget(self.judge(known, |redis| {
                if let Some(gone) = redis.stored.channels.remove(&channel) {
                    redis.change();
                    let change = Change::Forgotten(channel, Birth::new(gone.birth).unwrap());
                    announced = Some(Announcement { mark: redis.stored.mark, change });
                }
            })),
        };
        (reply, announced)
    }

    fn publish(
        &mut self,
        number: usize,
        name: &ChannelName,
        ending: Ending,
        size: Size,
        announced: &mut Option<Announcement>,
    ) -> Option<(Kept, Vec<Arc<Message>>)> {
        if self.stored.channels.get(name).is_some_and(|channel| channel.closed) {
            return None;
        }
        self.change();
        self.births += 1;
        let births = self.births;
        let new = || Channel { birth: births, ..Channel::default() };
        let channel = self.stored.channels.entry(name.clone()).or_insert_with(new);
        self.clock += 1;
        let (before, at) = (Seq::new(channel.messages.len() as u64), Timestamp::from_micros(self.clock));
        let payload = Payload::text(format!("{number}"));
        let message = Arc::new(Message { seq: before.next(), id: mint_id(at, self.clock), at, payload });
        channel.messages.push(message.clone());
        channel.closed = ending == Ending::Close;
        let birth = Birth::new(channel.birth).unwrap();
        let begins = if before == Seq::ZERO { Begins::Yes } else { Begins::No };
        let kept = Kept { birth, before, first_at: at, ending, begins, count: 1 };
        let content = match size {
            Size::Announced => Content::Messages(vec![message.clone()]),
            Size::TooLarge => Content::ToBeRead,
        };
        let change = Change::Kept(name.clone(), kept, content);
        *announced = Some(Announcement { mark: self.stored.mark, change });
        Some((kept, vec![message]))
    }

    fn load(&self, name: &ChannelName) -> Option<Loaded> {
        let channel = self.stored.channels.get(name)?;
        let newest = channel.messages.last().map_or((Seq::ZERO, Timestamp::ZERO), |m| (m.seq, m.at));
        let tail = channel.messages[channel.messages.len().saturating_sub(3)..].to_vec();
        let oldest = (Seq::new(1), channel.messages.first().map_or(Timestamp::ZERO, |m| m.at));
        let (epoch, ended) = (self.epoch(channel.birth), channel.closed);
        Some(Loaded { epoch, oldest, newest, ended, tail, damaged: None, life: None })
    }

    /// At most two messages, so that some have to be read in steps.
    fn read(&self, name: &ChannelName, epoch: Epoch, after: Seq) -> Option<Range> {
        let (there, newest, ending) = self.newest(name)?;
        let messages = &self.stored.channels.get(name)?.messages;
        let from = usize::try_from(after.get()).unwrap().min(messages.len());
        let messages: Vec<_> = messages[from..].iter().take(2).cloned().collect();
        let piece = Piece { oldest: (Seq::new(1), Timestamp::ZERO), messages, damaged: None };
        (there == epoch).then_some(Range { piece, newest, ending })
    }
}

/// The partition of all tests, and some channels in it.
pub(super) fn channels(count: usize) -> (Partition, Vec<ChannelName>) {
    let partition = Partition::of(&ChannelName::parse("default").unwrap());
    let names = (0..).map(|number| ChannelName::parse(&format!("{number}")).unwrap());
    (partition, names.filter(|name| Partition::of(name) == partition).take(count).collect())
}
