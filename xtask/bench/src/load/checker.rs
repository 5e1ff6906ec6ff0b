//! What is made of what comes: an answer is checked and counted, and leads to the next question.
//!
//! Knows what each connection is for; when messages are published it leaves to the scenario.

use anyhow::{Result, bail, ensure};

use super::answer::{self, Answer};
use super::line::{Again, Head, Line, Role};
use super::marker;
use super::next::Topic;
use super::tally::Tally;

/// The questions of all channels, and the counts.
pub(super) struct Desk {
    topics: Vec<Topic>,
    /// Questions that short polls may still ask.
    questions: u64,
    pub(super) tally: Tally,
}

impl Desk {
    pub(super) fn new(topics: Vec<Topic>) -> Result<Self> {
        Ok(Self { topics, questions: 0, tally: Tally::new()? })
    }

    pub(super) fn topic(&self, number: usize) -> &Topic {
        &self.topics[number]
    }

    /// Short polls may ask so many questions from now on.
    pub(super) fn allow(&mut self, questions: u64) {
        self.questions = questions;
    }

    /// What a connection's user makes of these bytes; returns how many of them are done with.
    pub(super) fn take(&mut self, line: &mut Line, bytes: &[u8]) -> Result<usize> {
        match line.role {
            Role::Reader(head) => return self.read_on(line, head, bytes),
            Role::Publisher(due) => return self.acknowledged(line, due, bytes),
            Role::Waiter | Role::Asker(_) => {}
        }
        let Some(answer) = Answer::whole(bytes)? else { return Ok(0) };
        ensure!(answer.length == bytes.len(), "more came than the answer");
        match line.role {
            Role::Waiter => self.wait_on(line, &answer)?,
            Role::Asker(again) => self.answered(line, again, &answer)?,
            Role::Publisher(_) | Role::Reader(_) => {}
        }
        Ok(answer.length)
    }

    /// A short poll's next question, if there are any left.
    pub(super) fn ask_on(&mut self, line: &mut Line) -> Result<()> {
        if self.questions == 0 {
            return Ok(());
        }
        self.questions -= 1;
        let topic = &self.topics[line.topic];
        line.write(if line.role == Role::Asker(Again::First) { topic.first() } else { topic.again() })
    }

    fn wait_on(&mut self, line: &mut Line, answer: &Answer<'_>) -> Result<()> {
        ensure!(answer.status == 200, "status {}", answer.status);
        marker::scan(answer.body(), |number| self.tally.deliver(&mut line.due, number))?;
        line.write(self.topics[line.topic].after(answer)?)
    }

    fn answered(&mut self, line: &mut Line, again: Again, answer: &Answer<'_>) -> Result<()> {
        self.tally.answered += 1;
        match answer.status {
            304 => self.tally.unchanged += 1,
            200 => {
                marker::scan(answer.body(), |number| self.tally.deliver(&mut line.due, number))?;
                if again == Again::Next {
                    self.topics[line.topic].after(answer)?;
                }
            }
            status => bail!("status {status}"),
        }
        self.ask_on(line)
    }

    /// Answers to publishes, of which a few may come at once.
    fn acknowledged(&mut self, line: &mut Line, mut due: u32, bytes: &[u8]) -> Result<usize> {
        let mut taken = 0;
        while let Some(Answer { status, length, .. }) = Answer::whole(&bytes[taken..])? {
            ensure!((200..300).contains(&status), "a publish was answered by status {status}");
            ensure!(due > 0, "more answers than publishes");
            due -= 1;
            taken += length;
            self.tally.acknowledged += 1;
        }
        line.role = Role::Publisher(due);
        Ok(taken)
    }

    /// Bytes of an answer without end.
    fn read_on(&mut self, line: &mut Line, head: Head, bytes: &[u8]) -> Result<usize> {
        let mut begin = 0;
        if head == Head::Due {
            let Some(head) = answer::Head::whole(bytes)? else { return Ok(0) };
            ensure!(head.status == 200, "status {}", head.status);
            line.role = Role::Reader(Head::Seen);
            begin = head.length;
        }
        let taken = marker::scan(&bytes[begin..], |number| self.tally.deliver(&mut line.due, number))?;
        Ok(begin + taken)
    }
}
