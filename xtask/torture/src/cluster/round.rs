//! One round: publishers and readers of every kind on every node, a fault among them, and the verdict.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::fault::{Fault, NOTICE, Red};
use super::story;
use super::strike::{Length, Strike, Struck};
use super::system::{PATIENCE, System};
use super::verdict::{Common, Loss, Terms, judge_publisher, judge_reader};
use super::watch::Watch;
use super::witness::{Stale, Testimony, testify};
use crate::checker::Log;
use crate::client::Client;
use crate::fixture::name;
use crate::follower::{Account, Ends, follow};
use crate::pattern::Pattern;
use crate::population::{Whole, read_back};
use crate::position::{Notices, Position};
use crate::publisher::{Door, Pace, Published, Publisher, Stop};
use crate::reader::Reader;
use crate::route::{Entrance, Route};
use crate::tally::Tally;

/// The one that chat reads, in all rounds.
const CHAT: &str = "messages";
/// Between two messages of a publisher, in tenths of a millisecond.
const PAUSE: std::ops::Range<u64> = 300..1_500;
/// How long the crowd goes on before the fault and after it, in milliseconds.
const BEFORE: std::ops::Range<u64> = 700..2_000;
const AFTER: std::ops::Range<u64> = 700..1_500;
/// Beyond what a node may take to notice: a question is asked every so often, and the machine is busy.
const SLACK: Duration = Duration::from_millis(300);

/// The columns of publishers and readers over one log or several; all of the second part must be zero.
pub(super) const PUBLISHERS: &[&str] = &[
    "publishers",
    "sent",
    "acknowledged",
    "refused",
    "unsaid",
    "repeated",
    "cut",
    "taken",
    "lost",
    "doubled",
    "disorder",
    "moved",
    "lied",
];
pub(super) const READERS: &[&str] = &[
    "readers",
    "questions",
    "empty",
    "given",
    "cut",
    "resets",
    "taken",
    "lost",
    "doubled",
    "disorder",
    "phantom",
    "untold",
    "false",
    "back",
];
pub(super) const FAULTY: [usize; 2] = [5, 7];

/// What one round came to.
pub(super) struct Report {
    pub(super) publishers: Tally,
    pub(super) readers: Tally,
    /// Reads that gave what had just been published.
    pub(super) fresh: u64,
    /// When the last node that had to said that it is not ready, from the fault on.
    pub(super) noticed: Option<Duration>,
    /// How long nodes went on saying so after the fault.
    pub(super) recovered: Duration,
}

impl Report {
    /// Whether something is wrong under this column or in these words.
    pub(super) fn finds(&self, what: &str) -> bool {
        let tallies = [&self.publishers, &self.readers];
        let is_said = |tally: &&Tally| tally.faults.iter().any(|fault| fault.contains(what));
        tallies.iter().any(|tally| tally.sum(what) > 0) || tallies.iter().any(is_said)
    }
}

/// All clients at work.
struct Crowd {
    prefix: String,
    stop: watch::Sender<bool>,
    end: watch::Sender<Ends>,
    publishers: JoinSet<Published>,
    readers: JoinSet<Account>,
    seeds: StdRng,
}

/// Plays one round with what this seed draws.
pub(super) async fn play(
    system: &mut System,
    fault: Fault,
    number: u64,
    seed: u64,
    length: Length,
) -> Result<Report> {
    let mut random = StdRng::seed_from_u64(seed);
    let prefix = format!("{}-{number}", name(&fault));
    system.ready().await?;
    let quiet = format!("{prefix}-quiet");
    let nodes: Vec<_> = system.nodes.iter().map(|node| node.address).collect();
    let watches: Vec<Watch> = nodes.iter().map(|&node| Watch::over(node, &quiet)).collect();
    let crowd = Crowd::gather(system, &prefix, random.random());
    let doors = system.entrances().iter().map(|entrance| entrance.address).collect();
    let witness = testify(doors, format!("{prefix}-witness"), random.random(), crowd.stop.subscribe());
    let witness = tokio::task::spawn_local(witness);
    pause(&mut random, BEFORE).await;
    let burst = format!("{prefix}-burst");
    let mut strike = Strike { system, random: &mut random, length, channel: &burst };
    let struck = strike.inflict(fault).await.with_context(|| format!("{fault:?}"))?;
    system.ready().await.context("after the fault")?;
    pause(&mut random, AFTER).await;
    crowd.stop.send_replace(true);
    let testimony = timeout(PATIENCE, witness).await.context("the witness waits for ever")??;
    let terms = Terms { loss: fault.loss(), struck: struck.began.into_std() };
    let mut report = crowd.finish(system, terms).await?;
    report.fresh = testimony.fresh;
    let faults = [heard(&watches, &struck, &mut report), read(&watches, &testimony, terms.loss)].concat();
    report.readers.faults.extend(faults);
    for node in &mut system.nodes {
        node.check()?;
    }
    Ok(report)
}

async fn pause(random: &mut StdRng, millis: std::ops::Range<u64>) {
    let length = Duration::from_millis(random.random_range(millis));
    sleep(length).await;
}

/// What is wrong with what the nodes said of themselves.
fn heard(watches: &[Watch], struck: &Struck, report: &mut Report) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, (watch, red)) in watches.iter().zip(&struck.red).enumerate() {
        let unready = watch.unready_since(struck.began);
        let after = unready.as_ref().map(|(at, _)| *at - struck.began);
        report.noticed = report.noticed.max(after);
        report.recovered = report.recovered.max(watch.unready_after(struck.ended));
        faults.extend(watch.faults().into_iter().map(|fault| format!("node {number}: {fault}")));
        let has_lasted = struck.ended - struck.began > NOTICE + SLACK;
        match (red, unready) {
            (Red::Must, None) if has_lasted => {
                faults.push(format!("node {number} never said that it is not ready"));
            }
            (Red::Must, Some((at, why))) if has_lasted && at - struck.began > NOTICE + SLACK => {
                faults.push(format!("node {number} said only after {:?}: {why}", at - struck.began));
            }
            (Red::MustNot, Some((_, why))) => {
                faults.push(format!("node {number} has nothing to do with it and says: {why}"));
            }
            _ => {}
        }
    }
    faults
}

/// What is wrong with what was read after it was acknowledged. The promise rests while a node is not ready.
fn read(watches: &[Watch], testimony: &Testimony, loss: Loss) -> Vec<String> {
    let is_fault = |stale: &&Stale| {
        let rests = watches[stale.node].was_unready(stale.begun - SLACK, stale.ended + 2 * SLACK);
        let is_lost = stale.is_reset && loss != Loss::Nothing;
        !rests && !is_lost
    };
    let stale = testimony.stale.iter().filter(is_fault);
    stale
        .map(|stale| format!("node {} does not give what was acknowledged: {}", stale.node, stale.what))
        .collect()
}

impl Crowd {
    fn gather(system: &System, prefix: &str, seed: u64) -> Self {
        let nodes = system.entrances();
        let mut crowd = Self {
            prefix: prefix.to_owned(),
            stop: watch::Sender::new(false),
            end: watch::Sender::new(None),
            publishers: JoinSet::new(),
            readers: JoinSet::new(),
            seeds: StdRng::seed_from_u64(seed),
        };
        let front = system.front();
        let [first, second] = ["a", "b"].map(|letter| format!("{prefix}-{letter}"));
        let doors = [Door::NativeKeyed, Door::NativeKeyed, Door::Native, Door::Golongpoll, Door::Channel];
        for channel in [&first, &second] {
            doors.iter().for_each(|&door| crowd.publish(channel, door, &nodes));
        }
        crowd.publish(&first, Door::NativeKeyed, &[front]);
        crowd.publish(CHAT, Door::Chat, &nodes);
        for pattern in Pattern::NATIVE {
            nodes.iter().for_each(|&node| crowd.read(&first, pattern, &[node], 2));
            crowd.read(&second, pattern, &nodes, 12);
        }
        for (number, pattern) in Pattern::DIALECTS.into_iter().enumerate() {
            crowd.read(&first, pattern, &[nodes[number % nodes.len()]], 2);
            crowd.read(&second, pattern, &nodes, 12);
        }
        // nginx has no HTTP/2 to what is behind it.
        let through_nginx = Pattern::NATIVE.into_iter().filter(|pattern| *pattern != Pattern::Push);
        for pattern in through_nginx.chain(Pattern::DIALECTS) {
            crowd.read(&first, pattern, &[front], 4);
        }
        for route in [&nodes[..], &[front], &nodes[..1]] {
            crowd.read(CHAT, Pattern::Chat, route, 1);
        }
        crowd
    }

    /// Publishes to a channel, each message on the next of these.
    fn publish(&mut self, channel: &str, door: Door, entrances: &[Entrance]) {
        let number = self.publishers.len() + 1;
        let publisher = Publisher {
            door,
            route: self.route(entrances),
            channel: channel.to_owned(),
            name: format!("{}-p{number}", self.prefix),
            seed: self.seeds.random(),
            pace: Pace::Pause(PAUSE),
            stop: Stop::WhenTold(self.stop.subscribe()),
        };
        self.publishers.spawn_local(publisher.run());
    }

    /// Reads a channel, now on one of these and now on another.
    fn read(&mut self, channel: &str, pattern: Pattern, entrances: &[Entrance], slow: u32) {
        let route = self.route(entrances);
        let mut position = Position::new(channel, slow, self.seeds.random());
        position.notices = Notices::Expected;
        // Golongpoll's clients that are told the time begin with now, and would miss what is published before that.
        let mut reader = Reader::new(pattern, route.first());
        if pattern == Pattern::Chat {
            reader = reader.after(id_of_now());
        }
        self.readers.spawn_local(follow(reader, route, position, self.end.subscribe()));
    }

    /// Begins at a random one of these.
    fn route(&mut self, entrances: &[Entrance]) -> Route {
        let mut turned = entrances.to_vec();
        turned.rotate_left(self.seeds.random_range(0..entrances.len()));
        Route::through(turned[0], &turned[1..])
    }

    /// Waits for the publishers, reads every channel back from every node, waits for the readers, and judges.
    async fn finish(self, system: &System, terms: Terms) -> Result<Report> {
        let published = timeout(2 * PATIENCE, self.publishers.join_all()).await;
        let published = published.context("a publisher waits for ever")?;
        let mut wholes: HashMap<String, Whole> = HashMap::new();
        for one in &published {
            if !wholes.contains_key(&one.channel) {
                let whole = agreed(system, &one.channel, &self.prefix).await?;
                wholes.insert(one.channel.clone(), whole);
            }
        }
        let nodes = system.entrances().into_iter().chain([system.front()]);
        let ends = nodes.flat_map(|node| {
            let last = |channel: &String| ((node.address, channel.clone()), last_message(&self.prefix));
            wholes.keys().map(last).collect::<Vec<_>>()
        });
        self.end.send_replace(Some(Arc::new(ends.collect::<HashMap<_, _>>())));
        for (channel, whole) in &mut wholes {
            publish_last(system, channel, &self.prefix, whole).await?;
        }
        let accounts = timeout(2 * PATIENCE, self.readers.join_all()).await;
        Ok(judge(&wholes, published, accounts.context("a reader waits for ever")?, terms))
    }
}

/// The last message of a round. It ends the waits of all readers.
fn last_message(prefix: &str) -> String {
    format!("{prefix}-last")
}

/// Publishes it, and adds it to the log as what it must be: the next message.
async fn publish_last(system: &System, channel: &str, prefix: &str, whole: &mut Whole) -> Result<()> {
    let node = system.nodes.first().context("there is no node")?.address;
    let value = Client::new(node).publish(channel, last_message(prefix)).await?.json(201)?;
    let is_next = channel == CHAT || value["id"].as_u64() == Some(whole.log.length + 1);
    ensure!(is_next, "{channel} had {} messages, and the next is {value}", whole.log.length);
    whole.log.push(last_message(prefix));
    Ok(())
}

/// The channel as all nodes have it, as far as this round published to it.
async fn agreed(system: &System, channel: &str, prefix: &str) -> Result<Whole> {
    let mut agreed: Option<Whole> = None;
    for node in &system.nodes {
        let whole = timeout(PATIENCE, read_back(node.address, channel)).await;
        let whole = whole.with_context(|| format!("{channel} cannot be read back"))??;
        if let Some(agreed) = &agreed {
            ensure!(*agreed == whole, "the nodes do not agree on {channel}");
        }
        agreed = Some(whole);
    }
    let whole = agreed.context("there is no node")?;
    if channel != CHAT {
        return Ok(whole);
    }
    let ours = whole.log.tokens().into_iter().filter(|token| token.starts_with(prefix)).map(str::to_owned);
    Ok(Whole { epoch: whole.epoch, log: ours.collect::<Log>() })
}

fn judge(
    wholes: &HashMap<String, Whole>,
    published: Vec<Published>,
    accounts: Vec<Account>,
    terms: Terms,
) -> Report {
    let mut publishers = Tally::new("published by", PUBLISHERS, FAULTY[0]);
    let mut readers = Tally::new("read by", READERS, FAULTY[1]);
    for (channel, whole) in wholes {
        let mut common = Common::default();
        published.iter().filter(|one| one.channel == *channel).for_each(|one| common.published(&one.sent));
        accounts.iter().filter(|one| one.channel == *channel).for_each(|one| common.seen(&one.seen));
        for one in published.iter().filter(|one| one.channel == *channel) {
            let (counts, more) = judge_publisher(whole, &one.sent, terms);
            publishers.add(&name(&one.door), counts);
            publishers.add(&name(&one.door), more);
        }
        for one in accounts.iter().filter(|one| one.channel == *channel) {
            let (counts, more) = judge_reader(whole, &one.seen, &one.resets, &common, terms);
            let sum = |column: &str| {
                let all = counts.iter().chain(&more);
                all.filter(|(name, _)| *name == column).map(|(_, count)| count).sum::<u64>()
            };
            if READERS[READERS.len() - FAULTY[1]..].iter().any(|column| sum(column) > 0) {
                let told = story::of(&one.seen, &one.resets, &whole.log);
                println!("{} of {channel} from {}:{told}", name(&one.pattern), one.address);
            }
            readers.add(&name(&one.pattern), counts);
            readers.add(&name(&one.pattern), more);
            readers.add(&name(&one.pattern), [("resets", one.resets.len() as u64)]);
        }
        readers.faults.extend(common.forks);
    }
    published.into_iter().for_each(|one| one.count(&mut publishers));
    accounts.into_iter().for_each(|one| one.count(&mut readers));
    Report { publishers, readers, fresh: 0, noticed: None, recovered: Duration::ZERO }
}

/// The id of a message that would be published now (RFC 9562, section 5.7), all its random bits being zero.
fn id_of_now() -> String {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    format!("{:08x}-{:04x}-7000-8000-000000000000", millis >> 16, millis & 0xffff)
}
