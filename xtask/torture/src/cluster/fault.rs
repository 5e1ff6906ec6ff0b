//! The faults: on what system each is inflicted, what Redis itself may lose by it, and which nodes must notice.

use std::time::Duration;

use clap::ValueEnum;

use super::system::{Clocks, Topology};
use super::verdict::Loss;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Fault {
    /// Nothing, on one node with a log on its disk: proves the harness
    Control,
    /// The same, but what stands in front of the node lies: proves that every lie is found
    Planted,
    /// Nothing, on three nodes of which two have clocks an hour off
    ClockOff,
    /// Redis ends all subscriptions (`CLIENT KILL TYPE pubsub`)
    PubsubKilled,
    /// A subscription overruns its output buffer
    Overrun,
    /// Redis is killed and started again on its file, synced after every command
    Restart,
    /// The same on a file that is synced once a second
    RestartEverysec,
    /// `FLUSHALL`
    Flushall,
    /// Redis has no memory left
    Full,
    /// Redis takes no writes
    ReadOnly,
    /// A node is killed and started again
    NodeKilled,
    /// A node is stopped, and goes on later
    NodeStopped,
    /// No byte passes between a node and Redis
    CutBoth,
    /// No byte passes from a node to Redis
    CutThere,
    /// No byte passes from Redis to a node
    CutBack,
    /// Every byte between the nodes and Redis is late
    Slow,
    /// Sentinel: the master is killed
    FailoverKill,
    /// Sentinel: the same, and what is acknowledged is on a replica
    FailoverReplicas,
    /// Sentinel: the master sleeps, and wakes as an old master
    FailoverSleep,
    /// Cluster: a master is killed
    ClusterKill,
}

/// What a node must say of itself while something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Red {
    /// Not ready within [`NOTICE`], if it lasts longer.
    Must,
    May,
    /// It has nothing to do with the fault.
    MustNot,
}

/// How soon a node must say that it is not ready.
pub(super) const NOTICE: Duration = Duration::from_secs(5);

impl Fault {
    /// Those whose rounds are over soon, and one failover of each kind.
    pub(super) const QUICK: [Self; 14] = [
        Self::Planted,
        Self::ClockOff,
        Self::PubsubKilled,
        Self::Overrun,
        Self::Restart,
        Self::Flushall,
        Self::Full,
        Self::NodeKilled,
        Self::NodeStopped,
        Self::CutBoth,
        Self::CutThere,
        Self::CutBack,
        Self::FailoverKill,
        Self::ClusterKill,
    ];

    pub(super) fn topology(self) -> Topology {
        match self {
            Self::Control | Self::Planted => Topology::Disk,
            Self::RestartEverysec => Topology::EverySecond,
            Self::FailoverKill | Self::FailoverReplicas | Self::FailoverSleep => Topology::Trio,
            Self::ClusterKill => Topology::Six,
            _ => Topology::Always,
        }
    }

    pub(super) fn durability(self) -> Option<&'static str> {
        match self {
            Self::Restart => Some("disk"),
            // The sentinels choose the replica that has the most.
            Self::FailoverReplicas => Some("replicas=1"),
            _ => None,
        }
    }

    pub(super) fn clocks(self) -> Clocks {
        if self == Self::ClockOff { Clocks::HourOff } else { Clocks::Right }
    }

    pub(super) fn loss(self) -> Loss {
        match self {
            Self::Flushall => Loss::Everything,
            // A file is synced once a second, and two seconds late at most.
            Self::RestartEverysec => Loss::Newest(Duration::from_secs(3)),
            // Replicas are milliseconds behind.
            Self::FailoverKill | Self::FailoverSleep | Self::ClusterKill => {
                Loss::Newest(Duration::from_secs(1))
            }
            Self::FailoverReplicas => Loss::Unacknowledged,
            _ => Loss::Nothing,
        }
    }
}
