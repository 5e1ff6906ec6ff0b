//! Queueing what is asked of a server, and what its answers mean for the store, the readers and the follower.

use redis::{Pipeline, Value};

use super::answer::{Answers, Publisher, Waiting};
use super::ask::{Ask, Check, Question};
use super::health::Sign;
use super::link::{Link, State, next_after};
use super::session::{Next, Session};
use crate::journal::redis::connect::refusal::Refusal;
use crate::journal::redis::follower::{Asked, Follower, Install, Judged};
use crate::journal::redis::log::script::{Call, Load, Sealed, State as PartitionState, Status, Verdict};
use crate::journal::{Loaded, Reply, Stretch};
use crate::types::JournalError;

impl Link {
    /// What is to be asked of a server now.
    pub(crate) fn next_asks(&self, session: &Session) -> Option<Pipeline> {
        self.change(|state, _| {
            let State { follower, lines, .. } = state;
            let line = lines.iter_mut().find(|line| line.session.id == session.id)?;
            let commands = line.next_asks(&self.script, follower);
            for (ask, _) in &line.asking {
                if let Question::Load(load, _) = &ask.question {
                    follower.loading(&load.channel);
                }
            }
            commands
        })
    }

    /// The answers came, in the same order.
    pub(crate) fn answered(&self, session: &Session, values: Vec<Value>) -> Next {
        if session.is_retired() {
            // What an old master says is worth nothing: all of it is asked where the partitions are now.
            return Next::Go;
        }
        let asked =
            self.change(|state, _| state.line(session.id).map(|line| std::mem::take(&mut line.asking)));
        let (mut next, mut refused) = (Next::Go, None);
        for ((ask, asked), value) in asked.unwrap_or_default().into_iter().zip(values) {
            let Value::ServerError(error) = &value else {
                self.answer_one(ask, asked, value);
                continue;
            };
            let refusal = Refusal::of_reply(error);
            match &refusal {
                Refusal::Unknown(why) => self.fail(ask, &JournalError::Damaged(why.clone())),
                // While Redis refuses, those would pile up.
                Refusal::Refused(_) if ask.returns() => {}
                Refusal::Resend(_) | Refusal::Refused(_) => self.change(|state, _| state.ask(ask)),
            }
            next = next_after(&refusal);
            refused = Some(refusal);
        }
        if let Some(refusal) = refused {
            self.refused(session, &refusal);
        }
        self.settled(session);
        next
    }

    /// The commands work once every partition's state has come.
    fn settled(&self, session: &Session) {
        let changed = self.change(|state, _| {
            let Some(line) = state.line(session.id) else { return false };
            // What may be sent may have changed with the answers.
            session.publishes.notify_one();
            let is_good = line.is_asked() && line.signs.commands != Sign::Good;
            if is_good {
                line.signs.commands = Sign::Good;
            }
            is_good
        });
        if changed {
            self.assess();
        }
    }

    fn answer_one(&self, ask: Ask, asked: Asked, value: Value) {
        // A channel that was loaded is in memory when this returns, before the follower hears of anything else.
        self.change(|state, answers| {
            let deadline = ask.deadline;
            let again = Reading { link: self, state, answers, asked }.answer(ask.question, value);
            if let Some(question) = again {
                state.ask(Ask { question, deadline });
            }
        });
    }
}

/// One answer that is being read.
struct Reading<'a> {
    link: &'a Link,
    state: &'a mut State,
    answers: &'a mut Answers,
    asked: Asked,
}

/// A question that has to be asked again: the partition is not what it was.
type Again = Option<Question>;

impl Reading<'_> {
    fn answer(&mut self, question: Question, value: Value) -> Again {
        let (link, answers) = (self.link, &mut *self.answers);
        let (follower, asked) = (&mut self.state.follower, self.asked);
        match question {
            Question::Load(load, reply) => match judge(link, follower, asked, &load, value) {
                Ok(Judged::Done(mark, loaded)) => {
                    match follower.loaded(link.now(), mark, &load.channel, loaded, &link.host) {
                        Install::Now(loaded) => answers.reply(reply, Ok(loaded)),
                        Install::Again => return Some(Question::Load(load, reply)),
                    }
                }
                Ok(Judged::Again) => return Some(Question::Load(load, reply)),
                Err(error) => {
                    follower.load_failed(&load.channel);
                    answers.reply(reply, Err(error));
                }
            },
            Question::Names(call, reply) => return self.pass_on(call, reply, value, Question::Names),
            Question::Summary(load, reply) => return self.summarized(load, reply, value),
            Question::Read(read, reply) => match judge(link, follower, asked, &read, value) {
                Ok(Judged::Done(_, range)) => answers.reply(reply, Ok(range.map(|range| range.piece))),
                Ok(Judged::Again) => return Some(Question::Read(read, reply)),
                Err(error) => answers.reply(reply, Err(error)),
            },
            Question::Locate(call, reply) => return self.pass_on(call, reply, value, Question::Locate),
            Question::Seal(seal, reply) => match judge(link, follower, asked, &seal, value) {
                Ok(Judged::Done(_, Sealed { millis, newest: None })) => answers.reply(reply, Ok(millis)),
                Ok(Judged::Done(_, Sealed { millis, newest: Some(newest) })) => {
                    let (now, waiting) = (link.now(), Waiting::Seal(reply, millis));
                    follower.await_shown(now, &seal.channel, newest, waiting, &link.host);
                }
                Ok(Judged::Again) => return Some(Question::Seal(seal, reply)),
                Err(error) => answers.reply(reply, Err(error)),
            },
            Question::Look(call, reply) => return self.pass_on(call, reply, value, Question::Look),
            Question::Forks(call, reply) => return self.pass_on(call, reply, value, Question::Forks),
            Question::Lapsed(call, reply) => return self.pass_on(call, reply, value, Question::Lapsed),
            Question::State(state, checks) => match state.reply(value) {
                Ok(verdict) => self.stated(verdict, checks),
                Err(garbled) => {
                    let error = JournalError::Damaged(garbled.to_string());
                    checks.into_iter().for_each(|check| answers.reply(check.reply, Err(error.clone())));
                }
            },
            Question::Count(state) => return self.counted(state, value),
            Question::Renew(renew, _) => {
                if let Ok(verdict) = renew.reply(value) {
                    follower.renewed(link.now(), renew.partition, &verdict, &link.host);
                    // This process has written to it now.
                    self.state.settle(renew.partition);
                }
            }
            Question::Compare(newest) => {
                if let Ok(verdict) = newest.reply(value) {
                    follower.compared(link.now(), asked, &newest, verdict, &link.host);
                }
            }
            Question::Follow(read) => match judge(link, follower, asked, &read, value) {
                Ok(Judged::Done(mark, range)) => {
                    let Stretch { channel, epoch, .. } = &read.0;
                    follower.read_back(link.now(), mark, channel, *epoch, range, &link.host);
                }
                Ok(Judged::Again) => return Some(Question::Follow(read)),
                Err(_) => follower.read_failed(link.now(), &read.0.channel),
            },
        }
        None
    }

    /// What is known of a channel that is only listed.
    fn summarized(&mut self, load: Load, reply: Reply<Option<Loaded>>, value: Value) -> Again {
        match judge(self.link, &mut self.state.follower, self.asked, &load, value) {
            // It was not asked for a message.
            Ok(Judged::Done(_, loaded)) => {
                self.answers.reply(reply, Ok(loaded.map(|loaded| Loaded { damaged: None, ..loaded })));
            }
            Ok(Judged::Again) => return Some(Question::Summary(load, reply)),
            Err(error) => self.answers.reply(reply, Err(error)),
        }
        None
    }

    /// An answer that means nothing to the follower but its mark.
    fn pass_on<C: Call<Reply: Send + 'static>>(
        &mut self,
        call: C,
        reply: Reply<C::Reply>,
        value: Value,
        again: fn(C, Reply<C::Reply>) -> Question,
    ) -> Again {
        match judge(self.link, &mut self.state.follower, self.asked, &call, value) {
            Ok(Judged::Done(_, answer)) => self.answers.reply(reply, Ok(answer)),
            Ok(Judged::Again) => return Some(again(call, reply)),
            Err(error) => self.answers.reply(reply, Err(error)),
        }
        None
    }

    fn counted(&mut self, state: PartitionState, value: Value) -> Again {
        let (link, asked) = (self.link, self.asked);
        if let Ok(verdict) = state.reply(value) {
            let judged = self.state.follower.stated(link.now(), asked, verdict, &link.host);
            let Judged::Done(mark, status) = judged else { return Some(Question::Count(state)) };
            self.state.stated(link, asked.partition, mark, &status);
        }
        self.state.counted(link, self.answers, asked.partition);
        None
    }

    fn stated(&mut self, verdict: Verdict<Status>, checks: Vec<Check>) {
        let (link, asked) = (self.link, self.asked);
        let judged = self.state.follower.stated(link.now(), asked, verdict, &link.host);
        let Judged::Done(mark, status) = judged else {
            // What was published before the partition was renewed counts no more; what comes after does.
            return checks.into_iter().for_each(|check| self.state.check(check));
        };
        self.state.stated(link, asked.partition, mark, &status);
        for Check { channel, reply, .. } in checks {
            let follower = &mut self.state.follower;
            follower.check(link.now(), mark, &channel, Waiting::Check(reply), &link.host);
        }
    }
}

/// Reads the reply to a call, and has the follower judge it.
fn judge<C: Call>(
    link: &Link,
    follower: &mut Follower<Publisher, Waiting>,
    asked: Asked,
    call: &C,
    value: Value,
) -> Result<Judged<C::Reply>, JournalError> {
    let verdict = call.reply(value).map_err(|garbled| JournalError::Damaged(garbled.to_string()))?;
    Ok(follower.judged(link.now(), asked, verdict, &link.host))
}
