//! Two servers over one record, which only one of them changes at a time. Each decides from what it last read, is cut off
//! anywhere in between, and one is killed.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const NAMES: [&str; 3] = ["events/a", "events/b", "events/c"];

/// What the servers share: the streams, and the record with how often it was changed.
struct Log {
    ends: BTreeMap<&'static str, u64>,
    record: Vec<u8>,
    changes: u64,
    now: u64,
}

struct Server {
    subscription: Subscription,
    changes: u64,
    /// Streams that it will hear of, and those that it has heard of and not looked at.
    announced: BTreeSet<&'static str>,
    news: BTreeSet<&'static str>,
    /// What it has decided and not written yet.
    decided: Option<Decided>,
    /// The deliveries on their way.
    sending: Vec<AttemptId>,
}

struct Decided {
    next: Subscription,
    changes: u64,
    /// What it has looked at.
    names: BTreeSet<&'static str>,
    effect: Effect,
}

enum Effect {
    Nothing,
    Send(AttemptId),
    Claimed,
    Turned(u64),
}

/// What a worker or a receiver was told, and has not acknowledged.
struct Wake {
    turn: Turn,
}

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Hear(usize, usize),
    Look(usize),
    Sent(usize, u8),
    Claim(usize),
    Turn(usize, usize, Progress),
    /// What a server has decided is written, if nothing was since it read.
    Write(usize),
    Wait(u16),
    Kill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let server = || 0..2_usize;
    let progress = prop_oneof![Just(Progress::Done), Just(Progress::Working)];
    let step = prop_oneof![
        4 => (0..3_usize).prop_map(Step::Append),
        6 => (server(), 0..3_usize).prop_map(|(server, stream)| Step::Hear(server, stream)),
        8 => server().prop_map(Step::Look),
        4 => (server(), 0..3_u8).prop_map(|(server, sent)| Step::Sent(server, sent)),
        3 => server().prop_map(Step::Claim),
        4 => (server(), 0..8_usize, progress).prop_map(|(server, wake, progress)| Step::Turn(server, wake, progress)),
        12 => server().prop_map(Step::Write),
        3 => (0..1_500_u16).prop_map(Step::Wait),
        1 => Just(Step::Kill),
    ];
    proptest::collection::vec(step, 0..120)
}

struct World {
    log: Log,
    servers: [Option<Server>; 2],
    /// What workers hold that were told of a wake, oldest first.
    wakes: Vec<Wake>,
    random: u128,
}

impl World {
    fn new(configuration: &str) -> Self {
        let mut subscription = made(configuration);
        subscription.is_scanned = true;
        let record = subscription.to_record("s", Keeping::Shared);
        let log = Log { ends: NAMES.map(|name| (name, 0)).into(), record, changes: 0, now: 0 };
        let server = || Server {
            subscription: subscription.clone(),
            changes: 0,
            announced: BTreeSet::new(),
            news: BTreeSet::new(),
            decided: None,
            sending: Vec::new(),
        };
        Self { log, servers: [Some(server()), Some(server())], wakes: Vec::new(), random: 1 }
    }

    fn kept(&self) -> Subscription {
        Subscription::of_record(&self.log.record, Loopback::Refused).unwrap().1
    }

    /// What every step of a server begins with.
    fn read(&mut self, server: usize) -> Option<(&mut Server, &Log, u128)> {
        self.random += 1;
        let (log, random) = (&self.log, self.random);
        let server = self.servers[server].as_mut()?;
        if server.changes != log.changes {
            let (_, mut kept) = Subscription::of_record(&log.record, Loopback::Refused).unwrap();
            for name in kept.know_ends_of(&server.subscription) {
                server.news.extend(NAMES.into_iter().filter(|known| **known == *name));
            }
            (server.subscription, server.changes) = (kept, log.changes);
        }
        Some((server, log, random))
    }

    fn decide(
        &mut self,
        server: usize,
        decide: impl FnOnce(&mut Subscription, Timestamp, u128) -> Option<Effect>,
    ) {
        let Some((server, log, random)) = self.read(server) else { return };
        if let Some(unwritten) = server.decided.take() {
            server.news.extend(unwritten.names);
        }
        let mut next = server.subscription.clone();
        for name in &server.news {
            if let seq @ 1.. = log.ends[name] {
                next.see(name, Seen::Until(end(seq)), From::After(end(0)));
            }
        }
        next.pass(at(log.now), random);
        if let Some(effect) = decide(&mut next, at(log.now), random) {
            let names = std::mem::take(&mut server.news);
            server.decided = Some(Decided { next, changes: server.changes, names, effect });
        }
    }

    fn write(&mut self, number: usize) -> Result<(), TestCaseError> {
        let before = self.kept();
        let Some(server) = self.servers[number].as_mut() else { return Ok(()) };
        let Some(Decided { next, changes, names, effect }) = server.decided.take() else { return Ok(()) };
        let record = next.to_record("s", Keeping::Shared);
        if changes != self.log.changes {
            server.news.extend(names);
            return Ok(());
        }
        if record != self.log.record {
            self.log.record = record;
            self.log.changes += 1;
            server.changes = self.log.changes;
        }
        server.subscription = next;
        let kept = self.kept();
        prop_assert!(kept.generation >= before.generation);
        for (name, link) in before.links() {
            let after = kept.links.get(name).map(|link| link.acked.seq);
            prop_assert!(after.is_some_and(|after| link.acked.seq <= after), "{} goes back", name);
        }
        match effect {
            Effect::Nothing => {}
            Effect::Send(attempt) => {
                if let Some(server) = &mut self.servers[number] {
                    server.sending.push(attempt);
                }
            }
            Effect::Claimed => {
                // Its lease may be over before it is written.
                let is_held = matches!(kept.phase, Phase::Held { .. });
                prop_assert!(is_held && kept.generation > 0);
                self.wakes.push(Wake { turn: self.turn_of(&kept) });
            }
            // Nothing that was said of an earlier wake counts.
            Effect::Turned(generation) => {
                prop_assert_eq!(before.phase.wake().map(|wake| wake.generation), Some(generation));
            }
        }
        Ok(())
    }

    /// Everything that there is, of the wake that is under way.
    fn turn_of(&self, kept: &Subscription) -> Turn {
        let wake = kept.phase.wake().unwrap();
        let acks = kept.links().map(|(name, _)| (name.into(), Offset::After(Seq::new(self.log.ends[name]))));
        Turn {
            wake_id: wake.id.clone(),
            generation: wake.generation,
            acks: acks.collect(),
            progress: Progress::Done,
        }
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Append(stream) => {
                *self.log.ends.entry(NAMES[stream]).or_default() += 1;
                for server in self.servers.iter_mut().flatten() {
                    server.announced.insert(NAMES[stream]);
                }
            }
            Step::Hear(server, stream) => {
                if let Some(server) = &mut self.servers[server] {
                    server.news.extend(server.announced.take(NAMES[stream]));
                }
            }
            Step::Look(server) => self.decide(server, |next, now, _| {
                Some(next.attempt(now).map_or(Effect::Nothing, |attempt| match attempt {
                    Attempt::Webhook(id, _) | Attempt::Event(id, ..) => Effect::Send(id),
                }))
            }),
            Step::Sent(number, outcome) => {
                let Some(server) = self.servers[number].as_mut().filter(|server| !server.sending.is_empty())
                else {
                    return Ok(());
                };
                let attempt = server.sending.remove(0);
                let sent = [Sent::Done, Sent::Taken, Sent::Failed][usize::from(outcome)];
                if sent == Sent::Taken {
                    let kept = self.kept();
                    if kept.phase.wake().is_some_and(|wake| wake.generation == attempt.generation) {
                        self.wakes.push(Wake { turn: self.turn_of(&kept) });
                    }
                }
                self.decide(number, |next, now, random| {
                    next.sent(now, attempt, sent, random);
                    Some(Effect::Nothing)
                });
            }
            Step::Claim(server) => {
                self.decide(server, |next, now, random| {
                    next.claim(now, "w", random).ok().map(|_| Effect::Claimed)
                });
            }
            Step::Turn(server, wake, progress) => {
                let Some(wake) = self.wakes.get(wake % self.wakes.len().max(1)) else { return Ok(()) };
                let turn = Turn {
                    wake_id: wake.turn.wake_id.clone(),
                    generation: wake.turn.generation,
                    acks: wake.turn.acks.clone(),
                    progress,
                };
                // What is acknowledged is looked at first.
                if let Some(server) = &mut self.servers[server] {
                    server.news.extend(NAMES);
                }
                let generation = turn.generation;
                self.decide(server, |next, now, random| {
                    next.turn(now, &turn, random).ok().map(|_| Effect::Turned(generation))
                });
            }
            Step::Write(server) => self.write(server)?,
            Step::Wait(millis) => self.log.now += u64::from(millis),
            Step::Kill => {
                if self.servers.iter().all(Option::is_some) {
                    self.servers[0] = None;
                }
            }
        }
        Ok(())
    }

    /// The server that is left works on, and hears of everything.
    fn end(&mut self) -> Result<(), TestCaseError> {
        self.servers[0] = None;
        for _ in 0..200 {
            let all_acked = {
                let kept = self.kept();
                self.log.ends.iter().all(|(name, seq)| acked(&kept, name).unwrap_or(0) == *seq)
            };
            if all_acked {
                return Ok(());
            }
            for stream in 0..NAMES.len() {
                self.take(&Step::Hear(1, stream))?;
            }
            for step in [
                Step::Look(1),
                Step::Write(1),
                Step::Sent(1, 0),
                Step::Write(1),
                Step::Claim(1),
                Step::Write(1),
            ] {
                self.take(&step)?;
            }
            let last = self.wakes.len().saturating_sub(1);
            self.take(&Step::Turn(1, last, Progress::Done))?;
            self.take(&Step::Write(1))?;
            self.take(&Step::Wait(1_000))?;
        }
        Err(TestCaseError::fail(format!("{:?} is not acknowledged: {:?}", self.log.ends, self.kept())))
    }
}

proptest! {
    /// Whatever happens between them: generations grow, what was acknowledged does not go back, what is said of a wake that is
    /// over does not count, and whatever was published reaches a worker in the end, through the server that is left.
    #[test]
    fn servers_that_share_a_record_forget_nothing_and_one_is_enough(steps in steps(), is_pull in any::<bool>()) {
        let mut world = World::new(if is_pull { PULL } else { WEBHOOK });
        for step in &steps {
            world.take(step)?;
        }
        world.end()?;
    }
}
