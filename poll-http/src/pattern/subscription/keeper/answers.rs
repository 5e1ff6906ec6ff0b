//! What a subscription answers to what is said to it.

use std::collections::BTreeSet;

use poll_core::ChannelName;

use super::looks::seen;
use super::state::{Command, Keeper, MOST_TRIES, Next, STREAM_BYTES, Speech, Untaken, What};
use crate::dialect::durable_streams::subscriptions::{self, Delivery, Fault, Subscription, Turn};
use crate::message::refusal::Refusal;
use crate::message::reply::Reply;

impl Keeper {
    /// Answers what is said.
    pub(super) async fn hear(&mut self, Command { what, reply }: Command) -> Next {
        let mut next = Next::Go;
        let mut answer = Err(Untaken::Outdated);
        for _ in 0..MOST_TRIES {
            answer = self.answer(&what).await;
            if !matches!(answer, Err(Untaken::Outdated)) {
                break;
            }
        }
        let answer = match answer {
            Ok(reply) => {
                if matches!(what, What::End) {
                    next = Next::End;
                }
                Ok(reply)
            }
            Err(Untaken::Gone) => {
                next = Next::End;
                Ok(match what {
                    What::End => subscriptions::done(),
                    _ => subscriptions::refuse(&Fault::NotFound),
                })
            }
            Err(Untaken::Outdated) => {
                Err(Refusal::unready("the subscription is being changed by other servers"))
            }
            Err(Untaken::Refused(refusal)) => Err(refusal),
        };
        // The client may be gone.
        let _ = reply.send(answer);
        next
    }

    async fn answer(&mut self, what: &What) -> Result<Reply, Untaken> {
        self.refresh().await?;
        match what {
            What::Stand => return Ok(subscriptions::done()),
            What::End => {
                self.place.remove(&self.outside.store, self.now()).await?;
                return Ok(subscriptions::done());
            }
            _ => self.look_for_answer(what).await?,
        }
        let (now, random) = (self.now(), self.outside.random());
        let mut next = self.subscription.clone();
        let answer = match what {
            What::Stand | What::End => Ok(subscriptions::done()),
            What::Show(status) => {
                Ok(subscriptions::created(*status, &next, self.id.as_str(), &self.keys.id()))
            }
            What::Name(streams) => self.name(&mut next, streams).await?,
            What::Unname(stream) => {
                next.unname(stream.as_str());
                Ok(subscriptions::done())
            }
            What::Claim(claim) => next.claim(now, &claim.worker, random).cloned().map(|wake| {
                let token = self.keys.token(&self.subject(), wake.generation);
                subscriptions::claimed(&next, &wake, &token)
            }),
            What::Turn { speech, token, turn } => self.turn(&mut next, *speech, token, turn),
        };
        let kept = self.keep(next).await;
        self.settle_streams();
        kept?;
        Ok(answer.unwrap_or_else(|fault| subscriptions::refuse(&fault)))
    }

    async fn name(
        &mut self,
        next: &mut Subscription,
        streams: &BTreeSet<Box<str>>,
    ) -> Result<Result<Reply, Fault>, Refusal> {
        for stream in streams {
            let Ok(name) = ChannelName::parse(stream) else { continue };
            if !next.has(stream) {
                self.charge.grow(STREAM_BYTES + stream.len() as u64)?;
            }
            let standing = self.outside.store.describe_latest(self.now(), &name).await;
            let standing = standing.map_err(Refusal::unreadable)?;
            if let Err(fault) = next.name(stream, seen(&standing)) {
                *next = self.subscription.clone();
                return Ok(Err(fault));
            }
        }
        Ok(Ok(subscriptions::done()))
    }

    fn turn(
        &self,
        next: &mut Subscription,
        speech: Speech,
        token: &str,
        turn: &Turn,
    ) -> Result<Reply, Fault> {
        let is_webhook = matches!(next.configuration.delivery, Delivery::Webhook(_));
        if is_webhook != (speech == Speech::Callback) {
            return Err(Fault::Invalid("the subscription is of the other type".into()));
        }
        let generation = self.keys.generation(&self.subject(), token).ok_or(Fault::TokenInvalid)?;
        if generation != turn.generation {
            return Err(Fault::Fenced);
        }
        let (now, random) = (self.now(), self.outside.random());
        match speech {
            Speech::Callback | Speech::Ack => next.turn(now, turn, random).map(subscriptions::turned),
            Speech::Release => next.release(now, turn, random).map(|()| subscriptions::done()),
        }
    }
}
