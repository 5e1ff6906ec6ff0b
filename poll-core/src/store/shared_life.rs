//! How an operation is carried out where the log is shared: the log is asked how the channel stands, the rules decide here,
//! and the log carries that out if it still stands so. If it does not, all begins again.
//!
//! A fork and its source may be in different partitions, which no step of the log spans. So the source learns of the fork
//! first, and cannot be removed from then on; then the fork is born, within [`BIRTH`]. A source forgets a fork that was not
//! born, or is gone, after [`FORGOTTEN`]: it is certain by then, even where two clocks differ, that it never will be.

use std::sync::Arc;
use std::time::Duration;

use super::handle::Store;
use super::life_steps::nothing;
use super::load::with_life;
use super::publish::Submitted;
use crate::channel::{Channel, Decision, Forks as KnownForks, Minting, Operation, Reason, Verdict};
use crate::journal::{
    Audience, ForkChange, ForkMark, Holds, Outcome, SharedChange, SharedJournal, SharedLives, SharedPublish,
    Survey,
};
use crate::life::{
    AppendError, Change, Create, CreateError, Created, Existence, ForkPoint, Life, Lifetime, Origin, Segment,
    Standing, Use,
};
use crate::notifier::Heard;
use crate::types::{ChannelName, Ending, Epoch, JournalError, Publish, PublishError, Published, Timestamp};

/// How long after its source learned of it a fork may be born.
const BIRTH: Duration = Duration::from_secs(30);
/// After how long a source forgets a fork that is not there.
const FORGOTTEN: Duration = Duration::from_secs(120);

/// A channel's life before an operation, and its incarnation.
type Before = (Arc<Life>, Epoch);

/// The outcome of an operation, and what the channel was.
pub(super) struct Surveyed {
    pub(super) outcome: Submitted,
    before: Option<Before>,
    removed: bool,
}

impl Store {
    /// Has the log carry out an operation. `fork` is what the source knows of the fork that the channel is to be, and by when it
    /// has to be born.
    pub(super) async fn carry_out(
        &self,
        journal: &dyn SharedJournal,
        channel: &ChannelName,
        publish: Publish,
        operation: Operation,
        fork: Option<(ForkMark, Timestamp)>,
    ) -> Result<Surveyed, PublishError> {
        let lives = lives(journal)?;
        let Publish { payloads, ending, .. } = publish;
        let publish = SharedPublish { payloads, ending, key: None };
        loop {
            let survey = self.survey(lives, channel, &operation).await?;
            if fork.is_some_and(|(_, until)| until < survey.now) {
                let why = "making the fork took too long".to_owned();
                return Err(JournalError::Unavailable(why).into());
            }
            let (decision, before) = self.decide_surveyed(channel, &survey, &operation, ending)?;
            let change = match decision {
                Decision::Go(change) => {
                    let change = change.map_or_else(Change::default, |change| *change);
                    if publish.payloads.is_empty() {
                        with_use(change, &operation, before.as_ref(), survey.now)
                    } else {
                        change
                    }
                }
                Decision::Done(verdict) => {
                    if acknowledges(&operation, &verdict)
                        && !self.confirm(lives, channel, &survey, &operation).await?
                    {
                        continue;
                    }
                    return Ok(Surveyed { outcome: Submitted::Settled(verdict), before, removed: false });
                }
                Decision::Over => {
                    Box::pin(self.end_shared(journal, channel, Reason::Over)).await?;
                    continue;
                }
                Decision::Wait(_) | Decision::NeedsProducers | Decision::NeedsForks(_) => {
                    return Err(JournalError::unanswered().into());
                }
            };
            let removed = change.removes();
            let change = shared_change(&survey, &operation, change, fork);
            match self.hand_to_shared(|reply| lives.change(channel, publish.clone(), change, reply)).await? {
                Outcome::Kept(_, stamps) => {
                    self.residents().count_published(stamps.len());
                    self.notifier().tell(Heard::Changed(channel));
                    let published = Published { stamps, gone: Vec::new(), repeated: false };
                    return Ok(Surveyed { outcome: Submitted::Published(published), before, removed });
                }
                Outcome::Outdated | Outcome::Over => {}
                Outcome::Repeated(..) => return Err(JournalError::unanswered().into()),
            }
        }
    }

    /// Waits until what was decided from is as safe as the log promises: it may be an earlier publish whose wait for that is
    /// not over, or was not met. Returns whether it is still so.
    async fn confirm(
        &self,
        lives: &dyn SharedLives,
        channel: &ChannelName,
        survey: &Survey,
        operation: &Operation,
    ) -> Result<bool, PublishError> {
        let of_operation = |(id, _): &&(_, _)| operation.producer() == Some(id);
        let producer = survey.producers.iter().find(of_operation).cloned();
        let change = Change { producer, ..Change::default() };
        let change = SharedChange {
            holds: Holds::ButForMessages,
            audience: Audience::Log,
            ..shared_change(survey, operation, change, None)
        };
        let nothing = SharedPublish { payloads: Default::default(), ending: Ending::Open, key: None };
        match self.hand_to_shared(|reply| lives.change(channel, nothing, change, reply)).await? {
            Outcome::Kept(..) => Ok(true),
            Outcome::Outdated | Outcome::Over => Ok(false),
            Outcome::Repeated(..) => Err(JournalError::unanswered().into()),
        }
    }

    async fn survey(
        &self,
        lives: &dyn SharedLives,
        channel: &ChannelName,
        operation: &Operation,
    ) -> Result<Survey, JournalError> {
        let producer = operation.producer().cloned();
        self.ask(channel, |reply| lives.survey(channel, producer, reply)).await
    }

    /// Asks the rules, and says what the channel is.
    fn decide_surveyed(
        &self,
        name: &ChannelName,
        survey: &Survey,
        operation: &Operation,
        ending: Ending,
    ) -> Result<(Decision, Option<Before>), PublishError> {
        let now = survey.now;
        let loaded = survey.channel.clone().map(with_life).transpose()?;
        let channel = Channel::resumed(name.clone(), loaded, Epoch::ZERO, Minting::Elsewhere, now);
        let mut state = channel.state.lock();
        let epoch = state.epoch();
        let before = state.ledger.as_ref().map(|ledger| (ledger.life().clone(), epoch));
        let existence = state.standing(now, false).0;
        let ledger = state.ledger();
        ledger.producers.recall(survey.producers.clone(), self.memory())?;
        let surveyed;
        let operation = match operation {
            Operation::Touch if existence != Existence::Live => {
                return Ok((Decision::Done(Verdict::Absent), before));
            }
            Operation::Touch => {
                ledger.used_at(now);
                operation
            }
            Operation::End(reason, _) => {
                surveyed = Operation::End(*reason, Some(KnownForks { made: 0, any: survey.has_forks }));
                &surveyed
            }
            _ => operation,
        };
        let count = crate::channel::ForkCount::InJournal;
        let mut decision = state.decide(now, Some(operation), ending, count);
        if let Decision::Go(Some(change)) = &mut decision
            && let Err(verdict) = state.admit_producer(now, change, self.retention(), self.memory())
        {
            decision = Decision::Done(verdict);
        }
        Ok((decision, before))
    }

    /// Ends a channel for a reason. If that removes a fork, its source forgets it, and ends as well if it is hidden and has
    /// no others; and so on.
    pub(super) async fn end_shared(
        &self,
        journal: &dyn SharedJournal,
        channel: &ChannelName,
        reason: Reason,
    ) -> Result<Submitted, PublishError> {
        let ended = self.carry_out(journal, channel, nothing(), Operation::End(reason, None), None).await?;
        let mut removed = (channel.clone(), ended.removed.then_some(ended.before).flatten());
        while let (name, Some((life, epoch))) = &removed
            && let Some(Origin { source, .. }) = &life.origin
        {
            let source = source.clone();
            let forget = ForkChange::Remove(name.clone(), ForkMark::of(*epoch));
            // What fails here is found by the sweep.
            if self.change_forks(journal, &source, forget).await.is_err() {
                break;
            }
            let operation = Operation::End(Reason::NoForks, None);
            let Ok(ended) = self.carry_out(journal, &source, nothing(), operation, None).await else { break };
            removed = (source, ended.removed.then_some(ended.before).flatten());
        }
        Ok(ended.outcome)
    }

    /// Changes what a source knows of its forks. Returns when that was, by the log's time, and the source's incarnation;
    /// `None` if there is no source that can be reached. One that is hidden can still forget a fork.
    async fn change_forks(
        &self,
        journal: &dyn SharedJournal,
        source: &ChannelName,
        forks: ForkChange,
    ) -> Result<Option<(Timestamp, Epoch)>, PublishError> {
        let lives = lives(journal)?;
        loop {
            let survey = self.ask(source, |reply| lives.survey(source, None, reply)).await?;
            let Some(loaded) = survey.channel.clone().map(with_life).transpose()? else { return Ok(None) };
            let now = survey.now;
            let channel =
                Channel::resumed(source.clone(), Some(loaded), Epoch::ZERO, Minting::Elsewhere, now);
            let (existence, epoch) = {
                let mut state = channel.state.lock();
                (state.standing(now, false).0, state.epoch())
            };
            if matches!(forks, ForkChange::Add(..)) && existence != Existence::Live {
                return Ok(None);
            }
            let change = SharedChange {
                token: survey.token,
                holds: Holds::ButForMessages,
                change: Change::default(),
                producer_before: None,
                audience: Audience::Log,
                forks: forks.clone(),
                fork: None,
            };
            let nothing = SharedPublish { payloads: Default::default(), ending: Ending::Open, key: None };
            match self.hand_to_shared(|reply| lives.change(source, nothing, change, reply)).await? {
                Outcome::Kept(..) => return Ok(Some((now, epoch))),
                Outcome::Outdated | Outcome::Over | Outcome::Repeated(..) => {}
            }
        }
    }

    /// Makes a fork: its source learns of it, then it is born.
    pub(super) async fn create_shared_fork(
        &self,
        journal: &dyn SharedJournal,
        now: Timestamp,
        channel: &ChannelName,
        create: Create,
        point: &ForkPoint,
    ) -> Result<Created, CreateError> {
        let standing = self.describe(now, channel, Use::Look).await?;
        if !matches!(standing, Standing::Absent) {
            // The name is taken, which the next step says more about.
            let life = create.life(now);
            return self.bear(journal, now, channel, create, life, None).await;
        }
        let mark = ForkMark::random(self.environment().random());
        let add = ForkChange::Add(channel.clone(), mark);
        let added = self.change_forks(journal, &point.source, add).await.map_err(CreateError::Publish)?;
        let made = self.fork_of(journal, now, channel, create, (point, mark), added).await;
        let is_known = !matches!(
            made,
            Err(CreateError::Publish(PublishError::Journal(JournalError::OutcomeUnknown(_))))
        );
        if added.is_some() && is_known && !matches!(made, Ok(Created::New { .. })) {
            // If this fails, the source forgets it later.
            drop(self.change_forks(journal, &point.source, ForkChange::Remove(channel.clone(), mark)).await);
        }
        made
    }

    async fn fork_of(
        &self,
        journal: &dyn SharedJournal,
        now: Timestamp,
        channel: &ChannelName,
        create: Create,
        (point, mark): (&ForkPoint, ForkMark),
        added: Option<(Timestamp, Epoch)>,
    ) -> Result<Created, CreateError> {
        // That is a read of it.
        let description = match self.describe(now, &point.source, Use::Renew).await? {
            Standing::Absent => return Err(CreateError::NoSource),
            Standing::Hidden => return Err(CreateError::SourceHidden),
            Standing::Live(description) => description,
        };
        let Some((at, epoch)) = added else { return Err(CreateError::NoSource) };
        if description.epoch != epoch {
            return Err(CreateError::NoSource);
        }
        let (life, prefix) = self.fork_from(now, &create, point, &description).await?;
        let payloads = prefix.into_iter().chain(create.payloads.iter().cloned()).collect();
        let create = Create { payloads, ..create };
        self.bear(journal, now, channel, create, life, Some((mark, at.after(BIRTH)))).await
    }

    async fn bear(
        &self,
        journal: &dyn SharedJournal,
        now: Timestamp,
        channel: &ChannelName,
        mut create: Create,
        life: Life,
        fork: Option<(ForkMark, Timestamp)>,
    ) -> Result<Created, CreateError> {
        let payloads = std::mem::take(&mut create.payloads);
        let publish = Publish { payloads, key: None, ending: create.ending };
        let operation = Operation::Create(Box::new(create), Arc::new(life), None);
        let born = self.carry_out(journal, channel, publish, operation, fork).await;
        let born = born.map_err(CreateError::Publish)?;
        self.created(now, channel, born.outcome).await
    }

    /// Ends what the log says is over, as far as readers here do not use it, and hidden channels without forks.
    pub(super) async fn tend_shared(&self, journal: &dyn SharedJournal, now: Timestamp) {
        let Some(lives) = journal.lives() else { return };
        let names = self.ask_briefly(|reply| lives.lapsed(reply)).await.unwrap_or_default();
        for name in names {
            let resident = self.residents().get(&name);
            let in_use = resident.is_some_and(|channel| {
                let is_prolonged = self.is_prolonged(now, &channel);
                is_prolonged || matches!(channel.state.lock().standing(now, false).0, Existence::Live)
            });
            if in_use {
                // It is over or not as soon as the log knows when it was last used.
                let touch = self.carry_out(journal, &name, nothing(), Operation::Touch, None).await;
                drop(touch);
                continue;
            }
            // What fails is found again.
            let ended = self.end_shared(journal, &name, Reason::Over).await;
            if matches!(ended, Ok(Submitted::Settled(Verdict::Hidden))) {
                drop(self.tend_hidden(journal, lives, &name).await);
            }
        }
    }

    /// Has a hidden channel forget forks that are not there, and ends it if it has none left.
    async fn tend_hidden(
        &self,
        journal: &dyn SharedJournal,
        lives: &dyn SharedLives,
        source: &ChannelName,
    ) -> Result<(), PublishError> {
        let known = self.ask(source, |reply| lives.forks(source, reply)).await?;
        for (fork, mark, added) in known.forks {
            if known.now.since(added) < FORGOTTEN {
                continue;
            }
            let survey = self.ask(&fork, |reply| lives.survey(&fork, None, reply)).await?;
            let is_there = survey.channel.is_some_and(|channel| ForkMark::of(channel.epoch) == mark);
            if !is_there {
                self.change_forks(journal, source, ForkChange::Remove(fork, mark)).await?;
            }
        }
        self.end_shared(journal, source, Reason::NoForks).await.map(drop)
    }

    /// Has everything of an ancestor that its fork shares visible here.
    pub(super) async fn catch_up(&self, now: Timestamp, segment: &Segment) -> Result<(), JournalError> {
        let Some(journal) = self.shared() else { return Ok(()) };
        let behind = self.residents().get(&segment.channel).is_some_and(|channel| {
            let state = channel.state.lock();
            state.epoch() != segment.epoch || state.log.newest() < segment.last
        });
        if behind {
            let _ = Box::pin(self.arrive(journal, now, &segment.channel)).await?;
        }
        Ok(())
    }
}

fn lives(journal: &dyn SharedJournal) -> Result<&dyn SharedLives, JournalError> {
    let none = || JournalError::Unavailable("channels of this log have no life of their own".to_owned());
    journal.lives().ok_or_else(none)
}

/// Whether a verdict amounts to an acknowledgement: what was asked for is kept already. A closed channel counts, because a
/// repeated close is answered as a success.
fn acknowledges(operation: &Operation, verdict: &Verdict) -> bool {
    match operation {
        Operation::Append(_) => {
            matches!(verdict, Verdict::Duplicate { .. } | Verdict::Refused(AppendError::Closed { .. }))
        }
        Operation::Create(..) => *verdict == Verdict::Same,
        Operation::End(Reason::Deleted, _) => matches!(verdict, Verdict::Absent | Verdict::Hidden),
        _ => false,
    }
}

/// An append without messages is a use that the log would not know of.
fn with_use(mut change: Change, operation: &Operation, before: Option<&Before>, now: Timestamp) -> Change {
    if let (Operation::Append(_), Some((before, _))) = (operation, before)
        && matches!(before.lifetime, Lifetime::Sliding(_))
    {
        let life = change.life.unwrap_or_else(|| before.clone());
        change.life = Some(Arc::new(Life { touched: now, ..(*life).clone() }));
    }
    change
}

/// What the log is handed.
fn shared_change(
    survey: &Survey,
    operation: &Operation,
    change: Change,
    fork: Option<(ForkMark, Timestamp)>,
) -> SharedChange {
    let holds = match operation {
        Operation::Create(..) | Operation::End(Reason::Over, _) => Holds::Exactly,
        _ => Holds::ButForMessages,
    };
    let audience = match operation {
        Operation::Append(_) | Operation::Touch => Audience::Log,
        _ => Audience::Servers,
    };
    let producer_before = change.producer.as_ref().and_then(|(id, _)| {
        survey.producers.iter().find(|(other, _)| other == id).map(|(_, producer)| *producer)
    });
    let (token, forks) = (survey.token, ForkChange::Same);
    SharedChange { token, holds, change, producer_before, audience, forks, fork }
}
