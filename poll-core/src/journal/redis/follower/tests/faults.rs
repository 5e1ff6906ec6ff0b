//! Anything may happen in any order, and in the end all nodes show what Redis has.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::node::{Check, Heard, Node};
use super::redis::{Redis, Request, Size, channels};
use crate::journal::redis::follower::Shown;
use crate::journal::redis::log::script::Verdict;
use crate::types::{ChannelName, Ending, Timestamp};

const NODES: usize = 3;
const CHANNELS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Publish(usize, usize, Ending, Size),
    Forget(usize, usize),
    Load(usize, usize),
    Unload(usize, usize),
    Check(usize, usize),
    /// Redis executes what has come from a node.
    Execute(usize),
    Receive(usize),
    Hear(usize),
    /// All that is on its way to and from a node arrives.
    Deliver(usize),
    /// An announcement is lost, although the subscription stands.
    LoseOne(usize),
    LoseSubscription(usize),
    Subscribe(usize),
    LoseCommands(usize),
    Wait(u16),
    Save,
    Lose,
    Restart,
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 0..NODES;
    let channel = || 0..CHANNELS;
    let ending = prop_oneof![30 => Just(Ending::Open), 1 => Just(Ending::Close)];
    let size = prop_oneof![4 => Just(Size::Announced), 1 => Just(Size::TooLarge)];
    let publish = (node(), channel(), ending, size);
    prop_oneof![
        20 => publish.prop_map(|(node, channel, ending, size)| Step::Publish(node, channel, ending, size)),
        1 => (node(), channel()).prop_map(|(node, channel)| Step::Forget(node, channel)),
        5 => (node(), channel()).prop_map(|(node, channel)| Step::Load(node, channel)),
        1 => (node(), channel()).prop_map(|(node, channel)| Step::Unload(node, channel)),
        3 => (node(), channel()).prop_map(|(node, channel)| Step::Check(node, channel)),
        30 => node().prop_map(Step::Execute),
        30 => node().prop_map(Step::Receive),
        40 => node().prop_map(Step::Hear),
        8 => node().prop_map(Step::Deliver),
        1 => node().prop_map(Step::LoseOne),
        1 => node().prop_map(Step::LoseSubscription),
        3 => node().prop_map(Step::Subscribe),
        1 => node().prop_map(Step::LoseCommands),
        8 => (1u16..150).prop_map(Step::Wait),
        2 => Just(Step::Save),
        1 => Just(Step::Lose),
        1 => Just(Step::Restart),
        1 => Just(Step::Flush),
    ]
}

impl Step {
    /// Redis does not go back to an earlier state.
    fn goes_on(&self) -> bool {
        !matches!(self, Self::Lose | Self::Flush)
    }
}

struct World {
    redis: Redis,
    nodes: Vec<Node>,
    channels: Vec<ChannelName>,
    now: Timestamp,
    /// How many publishes and checks there were.
    published: usize,
    silence: Silence,
    /// Whether Redis went back to an earlier state.
    went_back: bool,
}

/// Whether something happened that only shows when a state is asked for or something else is announced.
#[derive(PartialEq, Eq)]
enum Silence {
    Noticed,
    Unnoticed,
}

impl World {
    /// Everything is connected, and all channels are in memory everywhere.
    fn begun() -> Self {
        let mut world = Self::new();
        world.nodes.iter_mut().for_each(Node::subscribe);
        world.calm_down();
        for node in 0..NODES {
            for channel in 0..CHANNELS {
                world.take(&Step::Load(node, channel));
            }
        }
        world.calm_down();
        world
    }

    fn new() -> Self {
        let (partition, channels) = channels(CHANNELS);
        let nodes = (0..NODES).map(|_| Node::new(partition)).collect();
        let (redis, now) = (Redis::default(), Timestamp::from_millis(1_000));
        Self { redis, nodes, channels, now, published: 0, silence: Silence::Noticed, went_back: false }
    }

    fn take(&mut self, step: &Step) {
        self.went_back |= !step.goes_on();
        match *step {
            Step::Publish(node, channel, ending, size) => self.publish(node, channel, ending, size),
            Step::Forget(node, channel) => {
                let channel = self.channels[channel].clone();
                self.nodes[node].send(Request::Forget(channel));
            }
            Step::Load(node, channel) => self.nodes[node].load(&self.channels[channel]),
            Step::Unload(node, channel) => {
                self.nodes[node].memory.logs.borrow_mut().remove(&self.channels[channel]);
            }
            Step::Check(node, channel) => {
                self.published += 1;
                let (check, channel) = (self.published, self.channels[channel].clone());
                let there = self.redis.newest(&channel);
                let last =
                    there.and_then(|(epoch, seq, _)| self.redis.message(&channel, epoch, seq).cloned());
                self.nodes[node].checks.insert(check, Check { channel: channel.clone(), there, last });
                self.nodes[node].send(Request::State(vec![(check, channel)]));
            }
            Step::Execute(node) => self.execute(node),
            Step::Receive(node) => self.nodes[node].receive(self.now),
            Step::Hear(node) => self.nodes[node].hear(self.now),
            Step::Deliver(node) => self.deliver(node),
            Step::LoseOne(node) => {
                let heard = &mut self.nodes[node].heard;
                if let Some(Heard::Announced(_)) = heard.front() {
                    heard.pop_front();
                    self.silence = Silence::Unnoticed;
                }
            }
            Step::LoseSubscription(node) => self.nodes[node].lose_subscription(),
            Step::Subscribe(node) => {
                if !self.nodes[node].is_subscribed {
                    self.nodes[node].subscribe();
                }
            }
            Step::LoseCommands(node) => self.nodes[node].lose_commands(self.now),
            Step::Wait(millis) => self.wait(u64::from(millis)),
            Step::Save => self.redis.save(),
            Step::Lose => {
                self.redis.lose();
                self.cut();
            }
            Step::Restart => {
                self.redis.restart();
                self.cut();
            }
            Step::Flush => {
                self.redis.flush();
                self.silence = Silence::Unnoticed;
            }
        }
        self.react();
    }

    fn react(&mut self) {
        for node in &mut self.nodes {
            node.react(&self.redis);
            let is_news = node.memory.take_news();
            for channel in self.channels.iter().filter(|channel| is_news(channel)) {
                node.looked.insert(channel.clone(), self.redis.newest(channel));
            }
        }
    }

    fn publish(&mut self, node: usize, channel: usize, ending: Ending, size: Size) {
        let (partition, _) = channels(0);
        let node = &mut self.nodes[node];
        if node.follower.publishing(partition) {
            self.published += 1;
            node.publishers.insert(self.published);
            let channel = self.channels[channel].clone();
            node.send(Request::Publish(self.published, channel, ending, size));
        }
    }

    /// A Redis that restarts has no connections.
    fn cut(&mut self) {
        for node in &mut self.nodes {
            node.lose_subscription();
            node.lose_commands(self.now);
        }
    }

    fn execute(&mut self, node: usize) {
        let (partition, _) = channels(0);
        let Some((asked, request)) = self.nodes[node].requests.pop_front() else { return };
        let writes = matches!(request, Request::Publish(..) | Request::Forget(_));
        // Publishes are held after a restart until all nodes have said what they saw.
        let lost = |node: &Node| {
            matches!(self.redis.objection::<()>(node.follower.ask(partition).mark), Some(Verdict::Lost(_)))
        };
        if writes && self.nodes.iter().any(lost) {
            if let Request::Publish(number, ..) = request {
                self.nodes[node].publishers.remove(&number);
            }
            return;
        }
        let (reply, announced) = self.redis.execute(asked.mark, request);
        self.nodes[node].replies.push_back((asked, reply));
        if let Some(announced) = announced {
            for node in self.nodes.iter_mut().filter(|node| node.is_subscribed) {
                node.heard.push_back(Heard::Announced(announced.clone()));
            }
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now.after(Duration::from_millis(millis));
        for node in &mut self.nodes {
            node.follower.tick(self.now, &node.memory);
        }
    }

    fn deliver(&mut self, node: usize) {
        while !self.nodes[node].requests.is_empty() {
            self.execute(node);
        }
        while !self.nodes[node].replies.is_empty() {
            self.nodes[node].receive(self.now);
            self.react();
        }
        while !self.nodes[node].heard.is_empty() {
            self.nodes[node].hear(self.now);
            self.react();
        }
    }

    /// Everything is connected, and everything arrives.
    fn calm_down(&mut self) {
        for node in &mut self.nodes {
            if !node.is_subscribed {
                node.subscribe();
            }
            if self.silence == Silence::Unnoticed {
                node.send(Request::State(Vec::new()));
            }
        }
        for _ in 0..400 {
            (0..NODES).for_each(|node| self.deliver(node));
            if self.nodes.iter().all(Node::is_quiet) {
                return;
            }
            self.wait(25);
            self.react();
        }
    }

    fn judge(&self) {
        let mut shown = HashMap::new();
        for (number, node) in self.nodes.iter().enumerate() {
            assert!(node.publishers.is_empty(), "node {number}: publishers wait {:?}", node.publishers);
            assert!(node.checks.is_empty(), "node {number}: checks wait");
            assert!(node.loading.is_empty(), "node {number} still loads");
            assert!(!node.follower.is_pending(), "node {number}: {}", node.follower.describe());
            for channel in &self.channels {
                let looked = node.looked.get(channel).copied().flatten();
                // A look here asks no script, so it does not learn that what it saw is taken back.
                let is_told = self.went_back || looked == self.redis.newest(channel);
                assert!(is_told, "node {number} was not told of {channel}: it saw {looked:?}");
                let Some((epoch, seq, ending)) = node.memory.newest(channel) else { continue };
                let there = self.redis.newest(channel);
                let here = (seq.get() > 0 || ending == Ending::Close).then_some((epoch, seq, ending));
                assert_eq!(here, there, "node {number}, channel {channel}");
            }
            for (place, message) in &*node.memory.shown.borrow() {
                let first = shown.entry(place.clone()).or_insert_with(|| message.clone());
                assert_eq!(first, message, "two nodes show another message under one number");
                let (epoch, seq, channel) = place;
                if let Some(there) = self.redis.message(channel, *epoch, *seq) {
                    assert_eq!(there, message);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 5_000, ..ProptestConfig::default() })]

    #[test]
    fn all_nodes_show_one_order(steps in prop::collection::vec(step(), 1..300)) {
        run(&steps);
    }

    #[test]
    fn all_nodes_are_told_of_all_changes(
        steps in prop::collection::vec(step().prop_filter("it goes back", Step::goes_on), 1..100)
    ) {
        run(&steps);
    }
}

fn run(steps: &[Step]) {
    let mut world = World::begun();
    for step in steps {
        world.take(step);
    }
    world.calm_down();
    world.judge();
}
