//! What is late, what servers refuse, and what all that says about the health of the journal.

use tokio::time::Instant;

use super::ask::{Ask, Question};
use super::health;
use super::link::Link;
use super::session::Session;
use crate::journal::redis::connect::refusal::{Refusal, Remedy};
use crate::journal::{Fault, FaultKind, Health};
use crate::types::{JournalError, PublishError};

impl Link {
    /// What a server refused says something about its health. Whether its connection is of no more use.
    pub(crate) fn refused(&self, session: &Session, refusal: &Refusal) -> bool {
        let is_over = self.change(|state, _| {
            let Some(line) = state.line(session.id) else { return true };
            match refusal {
                Refusal::Refused(fault) => {
                    let why = format!("{}: {}", session.address, fault.why);
                    line.signs.refusing = Some(Fault::new(fault.kind, why));
                    // It was made a replica: the master is elsewhere.
                    fault.kind == FaultKind::ReadOnly && self.is_led()
                }
                Refusal::Resend(Remedy::ReadTopology) => {
                    self.look.notify_one();
                    false
                }
                Refusal::Resend(Remedy::LoadScript) | Refusal::Unknown(_) => false,
            }
        });
        self.look.notify_one();
        self.assess();
        is_over
    }

    /// Looks at what is late.
    pub(crate) fn tick(&self) {
        let now = Instant::now();
        self.change(|state, answers| {
            if state.follower.is_pending() {
                state.follower.tick(self.now(), &self.host);
            }
            let why = "it could not be sent in time".to_owned();
            let unavailable = JournalError::Unavailable(why);
            for publish in state.take_late(now) {
                answers.publish(publish.reply, Err(PublishError::Journal(unavailable.clone())));
            }
            for line in &mut state.lines {
                line.tick(now);
            }
            self.shared.inbox.take_refreshes().for_each(|partition| state.refresh(partition));
        });
        self.assess();
        self.fail_late_asks(now);
    }

    /// What was asked too long ago gets an error. The health says first that nothing can be read, since the caller then waits
    /// for the health to change.
    fn fail_late_asks(&self, now: Instant) {
        let away = matches!(&*self.shared.health.borrow(), Health::Away(_) | Health::Lost(_));
        let is_over = |deadline: Instant| away || deadline <= now;
        let late = self.change(|state, _| {
            let mut late = Vec::new();
            for line in &mut state.lines {
                let asks = line.take_asked(is_over);
                if !away && !asks.is_empty() {
                    let why = format!("{}: no answer in time", line.session.address);
                    line.signs.commands.silence(now, Fault::new(FaultKind::Stalled, why));
                }
                late.extend(asks);
            }
            let asks = std::mem::take(&mut state.asks);
            let (over, rest): (Vec<_>, Vec<_>) =
                asks.into_iter().partition(|ask| ask.has_asker() && is_over(ask.deadline));
            state.asks = rest;
            late.extend(over);
            late
        });
        if late.is_empty() {
            return;
        }
        self.assess();
        let why = self.shared.health.borrow().fault().map_or_else(String::new, |fault| fault.why.clone());
        let error = JournalError::Unavailable(why);
        for ask in late {
            self.fail(ask, &error);
        }
    }

    /// Gives an error to the caller, and tells the follower that its question failed.
    pub(crate) fn fail(&self, ask: Ask, error: &JournalError) {
        match &ask.question {
            Question::Load(load, _) => self.change(|state, _| state.follower.load_failed(&load.channel)),
            Question::Follow(read) => {
                self.change(|state, _| state.follower.read_failed(self.now(), &read.0.channel));
            }
            _ => {}
        }
        ask.fail(error);
    }

    /// Says what the signs mean.
    pub(crate) fn assess(&self) {
        let now = Instant::now();
        let state = self.state.lock();
        let signs = state.lines.iter().map(|line| &line.signs);
        self.shared.health.send_if_modified(|told| {
            let health = health::health(told, &state.served, signs, now);
            let is_new = *told != health && !matches!(told, Health::Lost(_));
            if is_new {
                *told = health;
            }
            is_new
        });
    }
}
