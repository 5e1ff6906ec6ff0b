//! What waits for one server of the log, what is on its way to it, and what is known of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use redis::Pipeline;
use tokio::time::Instant;

use super::ask::{Ask, Check, Question};
use super::health::Signs;
use super::publish_queue::{Count, PendingPublish, PublishQueue};
use super::session::Session;
use crate::journal::redis::follower::{Asked, Follower};
use crate::journal::redis::log::generation::{Generation, Mark, Process};
use crate::journal::redis::log::partition::Partition;
use crate::journal::redis::log::script::{Births, Call, Known, Script, Status, Writer};

/// How many questions go together, and how many with large answers.
const ASKS: usize = 512;
const LARGE_ASKS: usize = 8;

/// How long nothing is published after Redis was restarted or replaced: the time in which the other servers come back to it
/// and say what they saw of what it lost.
pub(crate) const HOLD: Duration = Duration::from_secs(1);

/// One session's side of the link.
pub(crate) struct Line {
    pub(crate) session: Arc<Session>,
    pub(crate) signs: Signs,
    /// The process behind the connection, while there is one.
    pub(crate) process: Option<Process>,
    pub(crate) publishes: PublishQueue,
    /// On their way, with what was known of their partitions.
    pub(crate) sending: Vec<(PendingPublish, Asked)>,
    asks: VecDeque<Ask>,
    /// On their way, likewise.
    pub(crate) asking: Vec<(Ask, Asked)>,
    /// Checks that are in the next questions.
    checks: BTreeMap<Partition, Vec<Check>>,
    /// Partitions that may not be published to since the connection is open.
    settling: BTreeMap<Partition, Settling>,
    /// How far this server's clock is behind that of Redis, in microseconds.
    pub(crate) behind: Option<i64>,
}

/// Why a partition may not be published to yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settling {
    /// Its state is being asked for.
    Asked,
    /// It has a history that the process behind the connection has not continued yet.
    Held(Instant),
    /// Its state is being asked for again after that.
    AskedAgain,
}

impl Line {
    pub(crate) fn new(session: Arc<Session>, now: Instant) -> Self {
        let signs = Signs::new(now, &session.address.to_string());
        Self {
            session,
            signs,
            process: None,
            publishes: PublishQueue::default(),
            sending: Vec::new(),
            asks: VecDeque::new(),
            asking: Vec::new(),
            checks: BTreeMap::new(),
            settling: BTreeMap::new(),
            behind: None,
        }
    }

    pub(crate) fn push_ask(&mut self, ask: Ask) {
        self.asks.push_back(ask);
        self.session.asks.notify_one();
    }

    pub(crate) fn push_check(&mut self, check: Check) {
        self.checks.entry(Partition::of(&check.channel)).or_default().push(check);
        self.session.asks.notify_one();
    }

    /// Asks a partition how far it is, together with the checks that are next.
    pub(crate) fn refresh(&mut self, partition: Partition) {
        self.checks.entry(partition).or_default();
        self.session.asks.notify_one();
    }

    pub(crate) fn push_publish(&mut self, publish: PendingPublish) {
        self.publishes.push(publish);
        self.session.publishes.notify_one();
    }

    /// The connection is open: nothing is published before the partitions have been asked for.
    pub(crate) fn open(&mut self, process: Process) {
        self.process = Some(process);
        self.settling =
            self.session.partitions.iter().map(|partition| (*partition, Settling::Asked)).collect();
        self.ask_states();
    }

    /// The connection ended. What was asked is asked again; what was being published is returned.
    pub(crate) fn close(&mut self) -> Vec<(PendingPublish, Asked)> {
        self.process = None;
        for (ask, _) in std::mem::take(&mut self.asking).into_iter().rev() {
            self.asks.push_front(ask);
        }
        // Those are asked anew on the next connection.
        self.asks.retain(|ask| !matches!(&ask.question, Question::State(_, checks) if checks.is_empty()));
        std::mem::take(&mut self.sending)
    }

    pub(crate) fn ask_states(&mut self) {
        for partition in &self.session.partitions {
            self.asks.push_back(Ask::state(*partition, Vec::new()));
        }
        self.session.asks.notify_one();
    }

    /// The state of a partition came; whether it may be published to is decided by that.
    pub(crate) fn stated(&mut self, partition: Partition, mark: Mark, status: &Status, now: Instant) {
        let another = status.writer == Writer::Another && mark.generation != Generation::default();
        match self.settling.get(&partition) {
            Some(Settling::Asked) if another => {
                self.settling.insert(partition, Settling::Held(now + HOLD));
            }
            Some(Settling::Held(_)) => {}
            _ => self.settle(partition),
        }
    }

    /// The partition has a history of this connection's process.
    pub(crate) fn settle(&mut self, partition: Partition) {
        if self.settling.remove(&partition).is_some() {
            self.session.publishes.notify_one();
        }
    }

    /// Whether every partition's state has come since the connection is open.
    pub(crate) fn is_asked(&self) -> bool {
        self.process.is_some() && !self.settling.values().any(|settling| *settling == Settling::Asked)
    }

    /// Asks again for what was held long enough.
    pub(crate) fn tick(&mut self, now: Instant) {
        let held = |settling: &Settling| matches!(settling, Settling::Held(until) if *until <= now);
        let over: Vec<_> = self
            .settling
            .iter()
            .filter(|(_, settling)| held(settling))
            .map(|(partition, _)| *partition)
            .collect();
        for partition in over {
            self.settling.insert(partition, Settling::AskedAgain);
            self.push_ask(Ask::state(partition, Vec::new()));
        }
    }

    /// The next batch of publishes as commands, and by when it has to be answered.
    pub(crate) fn next_batch<P, C>(
        &mut self,
        script: &Script,
        births: Births,
        follower: &Follower<P, C>,
    ) -> Option<(Pipeline, Instant)> {
        let process = self.process?;
        let settling = &self.settling;
        let batch = self
            .publishes
            .take_batch(|partition| !settling.contains_key(&partition) && follower.publishing(partition));
        let deadline = batch.iter().map(|publish| publish.deadline).min()?;
        let mut commands = Pipeline::with_capacity(batch.len() + 1);
        for mut publish in batch {
            if publish.count == Count::Estimated {
                publish.publish.births = births;
            }
            let asked = follower.ask(publish.partition);
            commands.add_command(publish.publish.command(script, Known { mark: asked.mark, process }));
            self.sending.push((publish, asked));
        }
        Some((commands, deadline))
    }

    /// The next questions as commands. Those whose partition is not what it was, as far as is known, stay; so do those whose
    /// deadline is over, however often they were asked by then.
    pub(crate) fn next_asks<P, C>(&mut self, script: &Script, follower: &Follower<P, C>) -> Option<Pipeline> {
        let process = self.process?;
        for (partition, checks) in std::mem::take(&mut self.checks) {
            self.asks.push_front(Ask::state(partition, checks));
        }
        let (mut commands, mut large, mut passed) = (Pipeline::new(), 0, VecDeque::new());
        let now = Instant::now();
        while commands.len() < ASKS && large < LARGE_ASKS {
            let Some(ask) = self.asks.pop_front() else { break };
            let partition = ask.partition();
            let is_held = ask.waits_for_partition() && !follower.publishing(partition);
            if is_held || ask.has_asker() && ask.deadline <= now {
                passed.push_back(ask);
                continue;
            }
            large += usize::from(ask.is_large());
            let asked = follower.ask(partition);
            commands.add_command(ask.command(script, Known { mark: asked.mark, process }));
            self.asking.push((ask, asked));
        }
        passed.append(&mut self.asks);
        self.asks = passed;
        (!commands.is_empty()).then_some(commands)
    }

    /// Takes out what callers wait for and what was not sent yet, where `is_over` says so of its deadline.
    pub(crate) fn take_asked(&mut self, is_over: impl Fn(Instant) -> bool) -> Vec<Ask> {
        let mut taken = Vec::new();
        let is_asked = |ask: &Ask| ask.has_asker() && is_over(ask.deadline);
        if self.asks.iter().any(is_asked) {
            let (asks, rest): (VecDeque<_>, _) =
                std::mem::take(&mut self.asks).into_iter().partition(is_asked);
            self.asks = rest;
            taken.extend(asks);
        }
        for (partition, waiting) in &mut self.checks {
            let checks: Vec<_> = waiting.extract_if(.., |check| is_over(check.deadline)).collect();
            if !checks.is_empty() {
                taken.push(Ask::state(*partition, checks));
            }
        }
        taken
    }

    /// Takes out whatever waits.
    pub(crate) fn take_asks(&mut self) -> Vec<Ask> {
        let mut asks: Vec<_> = std::mem::take(&mut self.asks).into();
        asks.extend(std::mem::take(&mut self.checks).into_iter().map(|(at, checks)| Ask::state(at, checks)));
        asks
    }

    /// Whether nothing waits to be published or answered.
    pub(crate) fn is_quiet(&self) -> bool {
        self.publishes.is_empty() && self.sending.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::redis::log::partition::Prefix;
    use crate::journal::redis::log::script::Announce;
    use crate::journal::redis::url::Address;
    use crate::types::{ChannelName, Retention};

    /// It may have been asked and answered many times since it was first asked: who looks for what is late finds it here.
    #[test]
    fn what_is_late_is_not_asked_again() {
        let (name, prefix) = (ChannelName::parse("a").unwrap(), Prefix::default());
        let partition = Partition::of(&name);
        let session = Session::new(1, Address::Unix("/s".into()), vec![partition], &prefix, 1);
        let mut line = Line::new(Arc::new(session), Instant::now());
        line.process = Some(Process(*b"process1"));
        let script = Script::new(prefix, Announce::Publish, Retention::default());
        let follower = Follower::<(), ()>::new();
        let check = |deadline| Check { channel: name.clone(), reply: Box::new(|_| {}), deadline };
        let (late, soon) = (Instant::now(), Instant::now() + Duration::from_secs(60));
        for deadline in [late, soon] {
            line.push_ask(Ask::state(partition, vec![check(deadline)]));
        }
        assert_eq!(line.next_asks(&script, &follower).unwrap().len(), 1);
        assert_eq!(line.asking[0].0.deadline, soon);
        assert_eq!(line.take_asked(|deadline| deadline <= late).len(), 1);
    }
}
