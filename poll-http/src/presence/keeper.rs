//! The task of presence: reads the records, writes this server's, and publishes joins and leaves if it is the teller.
//!
//! One task a server. It writes one record at a time, and what came and went meanwhile is in the next, so many clients at
//! once cost few records. Where the log cannot be written it tries again each second, and nothing is lost: what is to be
//! said stands in `attendance` and `ledger`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use futures_util::future::join_all;
use poll_core::life::{Bound, Bounds};
use poll_core::{
    ChannelName, IdempotencyKey, JournalError, Limit, Message, Payload, Pinned, Position, Publish,
    PublishError,
};
use tokio::time::Instant;

use super::channels::{RECORDS, told_on};
use super::handle::Presence;
use super::leases::{Leases, RENEW};
use super::ledger::{Ledger, Transition};
use super::record::{Ended, Part, Record};
use crate::message::json::{write_string, write_time};

/// The clients in one record, in bytes: a quarter of the largest message, so that it is one however names are escaped.
const MOST_NAMES: usize = 16 * 1024;

/// How many records are kept, whatever their age…
const MOST_RECORDS: u64 = 4_096;
/// … and after how many each server lists all of its clients again, so that the records kept name all of them.
const LIST_EVERY: u64 = 1_024;

/// How long the log does not know what was told. Another teller would tell it again, and only for as long as keys are kept
/// is that no second message.
const ACKNOWLEDGE: Duration = Duration::from_millis(250);

/// How long to wait after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// How many joins and leaves are published at a time.
const MOST_TOLD: usize = 512;

pub(super) struct Keeper {
    presence: Presence,
    records: ChannelName,
    /// The position after the last record that was read.
    pinned: Option<Pinned>,
    leases: Leases,
    /// What is to be written, each record under a number, so that trying again writes none of them twice.
    outbox: VecDeque<(u64, Record)>,
    next: u64,
    /// Whether the log has to hear of all clients.
    lists: Lists,
    /// When this server last wrote.
    renewed: Option<Instant>,
    /// Whether the log knows what was told.
    told: Told,
    bounds: BoundsOf,
}

/// The list of all clients of this server.
enum Lists {
    Due,
    /// It was last begun in this record.
    Since(u64),
}

/// What this server published as the teller.
#[derive(PartialEq, Eq)]
enum Told {
    InTheLog,
    NotInTheLog,
}

/// The bounds of the channel of the records.
#[derive(PartialEq, Eq)]
enum BoundsOf {
    TheStore,
    Presence,
}

impl Presence {
    /// Keeps presence for a whole server. Never ends.
    pub(crate) async fn keep(self) {
        let Ok(records) = ChannelName::parse(RECORDS) else { return };
        let leases = Leases::new(self.0.node);
        let (pinned, outbox, lists) = (None, VecDeque::new(), Lists::Since(0));
        let (renewed, bounds) = (None, BoundsOf::TheStore);
        let mut keeper = Keeper {
            presence: self,
            records,
            pinned,
            leases,
            outbox,
            next: 0,
            lists,
            renewed,
            told: Told::InTheLog,
            bounds,
        };
        let mut failing = false;
        loop {
            match keeper.turn().await {
                Ok(()) => {
                    failing = false;
                    keeper.wait().await;
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "presence waits for the log: {error}");
                    }
                    failing = true;
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}

impl Keeper {
    /// Does all that there is to do.
    async fn turn(&mut self) -> Result<(), PublishError> {
        self.read().await?;
        loop {
            self.fill(Instant::now());
            if self.outbox.is_empty() {
                break;
            }
            self.write().await?;
            self.read().await?;
        }
        self.tell().await
    }

    /// Reads all records that there are.
    async fn read(&mut self) -> Result<(), JournalError> {
        loop {
            let (presence, records) = (self.presence.clone(), self.records.clone());
            let (store, now) = (&presence.0.store, presence.0.environment.now());
            let pinned = match self.pinned {
                Some(pinned) => pinned,
                None => store.pin(now, &records, Position::Start).await?,
            };
            let view = store.read(now, &records, &pinned, Limit::default()).await?;
            if self.pinned.is_some() && view.read_state.missed() != Some(0) {
                self.start_over();
            }
            let Some(batch) = view.batch else {
                self.pinned.get_or_insert(pinned);
                return Ok(());
            };
            for message in batch.messages() {
                self.apply(batch.cursor(message), message);
            }
            self.pinned = Some(Pinned::after(view.next));
        }
    }

    /// Records were lost: what is known comes from those that are left, and from the lists that all servers write now.
    fn start_over(&mut self) {
        let presence = &self.presence.0;
        self.presence.known().ledger = Ledger::new(presence.store.memory().clone());
        self.leases = Leases::new(presence.node);
        self.pinned = Some(Pinned::after(poll_core::Cursor::ZERO));
        self.list_again();
        self.bounds = BoundsOf::TheStore;
    }

    fn list_again(&mut self) {
        self.outbox.clear();
        self.lists = Lists::Due;
    }

    fn apply(&mut self, end: poll_core::Cursor, message: &Message) {
        let Some(record) = Record::read(message) else { return };
        let me = self.presence.0.node;
        self.leases.heard(record.node, Instant::now());
        let ended = {
            let ledger = &mut self.presence.known().ledger;
            let ended = ledger.apply(end, message.at, &record);
            self.presence.0.gauges.refused.inc_by(ledger.take_refused());
            ended
        };
        if record.node == me && record.list.is_some_and(Part::begins) {
            self.lists = Lists::Since(end.seq.get());
        }
        for node in ended {
            self.leases.ended(node);
            if node == me {
                // This process stood still, or the log was away from it.
                self.list_again();
            }
        }
    }

    /// Puts down what is to be written.
    fn fill(&mut self, now: Instant) {
        if !self.outbox.is_empty() {
            return;
        }
        let presence = self.presence.clone();
        let mut guard = presence.known();
        let known = &mut *guard;
        known.attendance.advance(now);
        presence.count(&known.attendance);
        let (me, ledger) = (presence.0.node, &known.ledger);
        let mut records = Vec::new();
        if self.is_list_due(ledger, known.attendance.len()) {
            let pieces = known.attendance.take_all(MOST_NAMES);
            let of = pieces.len();
            records.extend(pieces.into_iter().enumerate().map(|(index, joined)| Record {
                joined,
                list: Some(Part::at(index, of)),
                ..Record::of(me)
            }));
        } else if let Some(changes) = known.attendance.take_changes(MOST_NAMES) {
            records.push(Record { joined: changes.joined, left: changes.left, ..Record::of(me) });
        }
        let ended = self.leases.over(now).into_iter();
        let ended = ended.filter_map(|node| Some(Ended { node, last: ledger.last_of(node)? }));
        let ended: Vec<Ended> = ended.collect();
        let renew = self.renews(ledger, known.attendance.len()) && self.renews_at() <= now;
        if records.is_empty() && (renew || !ended.is_empty()) {
            records.push(Record::of(me));
        }
        if let Some(last) = records.last_mut() {
            last.ended = ended;
            if ledger.teller().is_none_or(|teller| teller == me) {
                last.told = Some(ledger.told());
                self.told = Told::InTheLog;
            }
        }
        for record in records {
            self.outbox.push_back((self.next, record));
            self.next += 1;
        }
    }

    fn is_list_due(&self, ledger: &Ledger, clients: usize) -> bool {
        match self.lists {
            Lists::Due => true,
            Lists::Since(record) => clients > 0 && ledger.applied().seq.get() >= record + LIST_EVERY,
        }
    }

    /// Whether this server needs a lease: for its clients, to judge other servers, or to say what it told. An idle server
    /// alone writes nothing.
    fn renews(&self, ledger: &Ledger, clients: usize) -> bool {
        clients > 0 || !ledger.is_alone(self.presence.0.node) || self.told == Told::NotInTheLog
    }

    fn renews_at(&self) -> Instant {
        let after = if self.told == Told::NotInTheLog { ACKNOWLEDGE } else { RENEW };
        self.renewed.map_or_else(Instant::now, |renewed| renewed + after)
    }

    /// Writes the first record of the outbox.
    async fn write(&mut self) -> Result<(), PublishError> {
        let Some((number, record)) = self.outbox.front() else { return Ok(()) };
        let presence = self.presence.clone();
        let (store, environment) = (&presence.0.store, &presence.0.environment);
        let Ok(payload) = record.payload() else {
            self.outbox.pop_front();
            return Ok(());
        };
        let key = format!("{}-{number}", String::from(presence.0.node));
        let publish = under(Publish::one(payload), &key);
        store.publish(environment.now(), &self.records, publish).await?;
        self.outbox.pop_front();
        self.renewed = Some(Instant::now());
        if self.bounds == BoundsOf::TheStore {
            let (messages, seconds) = (Bound::Most(MOST_RECORDS), Bound::Unlimited);
            let bounds = Bounds { messages, seconds, bytes: Bound::Server };
            store.configure(environment.now(), &self.records, bounds).await?;
            self.bounds = BoundsOf::Presence;
        }
        Ok(())
    }

    /// Publishes joins and leaves, if that is this server's to do.
    async fn tell(&mut self) -> Result<(), PublishError> {
        loop {
            let untold = {
                let ledger = &self.presence.known().ledger;
                if ledger.teller() != Some(self.presence.0.node) {
                    return Ok(());
                }
                ledger.untold(MOST_TOLD)
            };
            let count = untold.len();
            if count == 0 {
                return Ok(());
            }
            let mut channels = BTreeMap::<ChannelName, Vec<Transition>>::new();
            for transition in untold {
                channels.entry(transition.channel.clone()).or_default().push(transition);
            }
            let told = channels.into_iter().map(|(channel, all)| self.tell_channel(channel, all));
            join_all(told).await.into_iter().collect::<Result<(), PublishError>>()?;
            self.presence.known().ledger.set_told(count);
            self.told = Told::NotInTheLog;
        }
    }

    /// Publishes what happened on one channel, in order. What can never be published is counted.
    async fn tell_channel(&self, channel: ChannelName, all: Vec<Transition>) -> Result<(), PublishError> {
        let presence = &self.presence.0;
        let Ok(told) = told_on(&channel) else {
            presence.gauges.refused.inc_by(all.len() as u64);
            return Ok(());
        };
        for transition in all {
            let Ok(payload) = payload(&transition) else { continue };
            let publish = Publish::one(payload);
            let keyed = under(publish.clone(), &key(&transition));
            let mut outcome = presence.store.publish(presence.environment.now(), &told, keyed).await;
            if let Err(PublishError::OverBudget(_)) = outcome {
                // Without a key another teller may tell it again, which is better than not at all.
                outcome = presence.store.publish(presence.environment.now(), &told, publish).await;
            }
            match outcome {
                Ok(_) => {}
                Err(error @ PublishError::Journal(_)) if !is_damaged(&error) => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, %channel, "a change of presence was not told");
                    presence.gauges.refused.inc();
                }
            }
        }
        Ok(())
    }

    /// Waits until there is something to do.
    async fn wait(&self) {
        let Some(pinned) = &self.pinned else { return };
        let presence = &self.presence.0;
        let now = Instant::now();
        let at = {
            let known = self.presence.known();
            let renews = self.renews(&known.ledger, known.attendance.len()).then(|| self.renews_at());
            let times = [renews, known.attendance.next_leave(), self.leases.next(now)];
            times.into_iter().flatten().min()
        };
        let time = async {
            match at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let lane = presence.store.lane();
        tokio::select! {
            biased;
            () = presence.changed.notified() => {}
            () = presence.store.wait(&self.records, pinned, &lane) => {}
            () = time => {}
        }
    }
}

fn under(publish: Publish, key: &str) -> Publish {
    match IdempotencyKey::parse(key) {
        Ok(key) => publish.under(key),
        Err(_) => publish,
    }
}

/// The same from every server, so that a change that two servers tell is told once.
fn key(transition: &Transition) -> String {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    (&*transition.client, transition.event.name()).hash(&mut hasher);
    format!("presence-{}-{:016x}", transition.record, hasher.finish())
}

fn payload(transition: &Transition) -> Result<Payload, poll_core::JsonError> {
    let mut out = format!("{{\"event\":\"{}\",\"id\":", transition.event.name()).into_bytes();
    write_string(&mut out, &transition.client);
    out.extend_from_slice(br#","at":"#);
    write_time(&mut out, transition.at);
    out.push(b'}');
    Payload::json(&out)
}

fn is_damaged(error: &PublishError) -> bool {
    matches!(error, PublishError::Journal(JournalError::Damaged(_)))
}
