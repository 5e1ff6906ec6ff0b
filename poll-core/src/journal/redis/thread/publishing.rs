//! Batches of publishes: what goes to a server, and what its answers mean for the publishers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use redis::{Pipeline, Value};
use tokio::time::Instant;

use super::answer::{Answers, Publisher, Waiting, replaced};
use super::ask::{Ask, Question};
use super::census::Census;
use super::link::{Link, State, next_after};
use super::publish_queue::{Count, PendingPublish};
use super::session::{Next, Session};
use crate::journal::redis::connect::durability::NotMet;
use crate::journal::redis::connect::refusal::Refusal;
use crate::journal::redis::follower::{Asked, Judged, OwnedRun};
use crate::journal::redis::log::partition::Partition;
use crate::journal::redis::log::script::{Births, Call, Published, State as PartitionState};
use crate::journal::{FaultKind, Outcome};
use crate::types::{Cursor, JournalError, Message, PublishError, Seq, Stamp, Stamps};

/// How near to the limit on channels all have to be counted before there is one more.
const NEAR: u64 = 64;

impl State {
    /// There may be too many channels for this publish: all have to be counted.
    fn recount(&mut self, publish: PendingPublish) {
        if self.recount.wait(publish) {
            Partition::all()
                .for_each(|partition| self.ask(Ask::new(Question::Count(PartitionState(partition)))));
        }
    }

    /// A partition has said how many channels it has. The last one decides about the publishes that wait for that.
    pub(crate) fn counted(&mut self, link: &Link, answers: &mut Answers, partition: Partition) {
        let waited = self.recount.counted(partition);
        if waited.is_empty() {
            return;
        }
        let most = link.host.retention().channels();
        let mut room = most.saturating_sub(link.shared.channels.load(Ordering::Relaxed));
        for mut publish in waited {
            if room == 0 {
                answers.publish(publish.reply, Err(link.too_many()));
                continue;
            }
            room -= 1;
            publish.publish.births = Births::Allowed;
            publish.count = Count::Exact;
            self.publish(publish);
        }
        for publish in self.recount.take_next() {
            self.recount(publish);
        }
    }
}

impl Link {
    /// What is to be published at a server now, and by when it has to be answered.
    pub(crate) fn next_batch(&self, session: &Session) -> Option<(Pipeline, Instant)> {
        let known = self.shared.channels.load(Ordering::Relaxed);
        let is_room = known.saturating_add(NEAR) <= self.host.retention().channels();
        let births = if is_room { Births::Allowed } else { Births::InPlaceOfAnother };
        let batch = self.change(|state, _| {
            let State { follower, lines, .. } = state;
            let line = lines.iter_mut().find(|line| line.session.id == session.id)?;
            line.next_batch(&self.script, births, follower)
        });
        if let Some((commands, _)) = &batch {
            let counters = self.counters();
            counters.batches.fetch_add(1, Ordering::Relaxed);
            counters.publishes.fetch_add(commands.len() as u64, Ordering::Relaxed);
            counters.in_flight.fetch_add(commands.len() as u64, Ordering::Relaxed);
        }
        batch
    }

    /// The answers to a batch came. `waited` says whether it is as safe as was promised.
    pub(crate) fn published(
        &self,
        session: &Session,
        values: Vec<Value>,
        waited: &Result<(), NotMet>,
    ) -> Next {
        let mut refused = None;
        let next = self.change(|state, answers| {
            let Some(line) = state.line(session.id) else { return Next::Go };
            let sent = std::mem::take(&mut line.sending);
            self.counters().in_flight.fetch_sub(sent.len() as u64, Ordering::Relaxed);
            let (mut next, mut again) = (Next::Go, Vec::new());
            for ((publish, asked), value) in sent.into_iter().zip(values) {
                if let Value::ServerError(error) = &value {
                    let refusal = Refusal::of_reply(error);
                    match &refusal {
                        Refusal::Unknown(why) => {
                            let error = JournalError::OutcomeUnknown(why.clone());
                            answers.publish(publish.reply, Err(error.into()));
                        }
                        Refusal::Refused(fault) if fault.kind == FaultKind::Full => {
                            answers.publish(publish.reply, Err(fault.error().into()));
                        }
                        Refusal::Refused(_) | Refusal::Resend(_) => again.push(publish),
                    }
                    next = next_after(&refusal);
                    refused = Some(refusal);
                    continue;
                }
                if let Some(publish) = self.answer(state, answers, publish, asked, value, waited) {
                    again.push(publish);
                }
            }
            // The session may have been retired meanwhile.
            match state.lines.iter_mut().find(|line| line.session.id == session.id) {
                Some(line) => line.publishes.put_back(again.into_iter()),
                None => again.into_iter().for_each(|publish| state.publish(publish)),
            }
            next
        });
        if let Some(refusal) = refused {
            self.refused(session, &refusal);
        }
        next
    }

    /// One answer of the script. Returns the publish if it was not executed.
    fn answer(
        &self,
        state: &mut State,
        answers: &mut Answers,
        pending: PendingPublish,
        asked: Asked,
        value: Value,
        waited: &Result<(), NotMet>,
    ) -> Option<PendingPublish> {
        let verdict = match pending.publish.reply(value) {
            Ok(verdict) => verdict,
            Err(garbled) => {
                let error = JournalError::OutcomeUnknown(garbled.to_string());
                answers.publish(pending.reply, Err(error.into()));
                return None;
            }
        };
        let judged = state.follower.judged(self.now(), asked, verdict, &self.host);
        let Judged::Done(mark, published) = judged else { return Some(pending) };
        if published == Published::Full && pending.count == Count::Estimated {
            state.recount(pending);
            return None;
        }
        let PendingPublish { publish, reply, partition, .. } = pending;
        if let Published::Kept(kept) | Published::Changed(kept) = published {
            state.changed(self, partition, mark, Census::of_own(&publish, &kept));
        }
        let safe = match waited {
            _ if state.follower.is_replaced(partition, mark) => Err(replaced()),
            Ok(()) => Ok(()),
            Err(NotMet(why)) => Err(JournalError::OutcomeUnknown(why.clone())),
        };
        let now = self.now();
        match (published, safe) {
            // It is announced like any other, and may be lost all the same; so may what an earlier publish left.
            (
                Published::Kept(_)
                | Published::Changed(_)
                | Published::Repeated(..)
                | Published::Closed
                | Published::Unchanged(_),
                Err(error),
            ) => answers.publish(reply, Err(error.into())),
            (Published::Kept(kept) | Published::Changed(kept), Ok(())) => {
                let epoch = mark.generation.epoch(kept.birth);
                let stamped = publish.drafts.iter().zip(kept.stamps());
                let messages: Vec<_> =
                    stamped.map(|(draft, (seq, at))| Arc::new(draft.stamped(seq, at))).collect();
                let stamp = |message: &Arc<Message>| Stamp {
                    cursor: Cursor { epoch, seq: message.seq },
                    id: message.id,
                    at: message.at,
                };
                let outcome = Outcome::Kept(epoch, messages.iter().map(stamp).collect());
                let publisher = Publisher { reply, outcome };
                if matches!(published, Published::Changed(_)) {
                    state.follower.changed(&publish.channel, publisher, &self.host);
                } else {
                    let run = OwnedRun { epoch, after: kept.before, messages, ending: kept.ending };
                    state.follower.published(now, mark, &publish.channel, run, publisher, &self.host);
                }
            }
            (Published::Repeated(epoch, numbers), Ok(())) => {
                let publisher = Publisher { reply, outcome: Outcome::Repeated(epoch, numbers) };
                let newest = Seq::new(numbers.after.get() + u64::from(numbers.count));
                let waiting = Waiting::Repeated(publisher);
                state.follower.await_shown(now, &publish.channel, (epoch, newest), waiting, &self.host);
            }
            (Published::Closed, Ok(())) => answers.publish(reply, Err(PublishError::Closed)),
            (Published::Unchanged(epoch), Ok(())) => {
                answers.publish(reply, Ok(Outcome::Kept(epoch, Stamps::default())));
            }
            (Published::KeyReused, _) => answers.publish(reply, Err(PublishError::KeyReused)),
            (Published::Full, _) => answers.publish(reply, Err(self.too_many())),
            (Published::Hidden, _) => answers.publish(reply, Err(PublishError::Hidden)),
            (Published::Over, _) => answers.publish(reply, Ok(Outcome::Over)),
            (Published::Outdated, _) => answers.publish(reply, Ok(Outcome::Outdated)),
        }
        None
    }

    /// There is no room for another channel.
    fn too_many(&self) -> PublishError {
        PublishError::TooManyChannels { retry_after: self.host.retention().idempotency }
    }
}
