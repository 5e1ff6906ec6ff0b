//! Long polls over HTTP/2: many on few connections, by the load that is made for them.
//!
//! Ours alone: what it is beside is one's own HTTP/1.1, as the others here speak no HTTP/2.

use std::time::Duration;

use anyhow::Result;

use super::{Target, grouped};
use crate::figures::Round;
use crate::http2::{Ground, Shape, fan_out, idle};

pub(crate) struct Http2 {
    pub(crate) shape: Shape,
    pub(crate) work: Work,
}

/// What those who wait are there for.
pub(crate) enum Work {
    /// To be given messages, one after another.
    FanOut { publishes: u32 },
    /// To be weighed, once they have been left alone for so long.
    Idle { settle: Duration },
}

impl Http2 {
    pub(super) fn words(&self) -> String {
        let (waiters, connections) = (grouped(self.shape.waiters as u64), self.shape.connections);
        match self.work {
            Work::FanOut { .. } => {
                format!("HTTP/2 long poll, fan-out to {waiters} on {connections} connections")
            }
            Work::Idle { .. } => format!("HTTP/2 long poll, {waiters} idle on {connections} connections"),
        }
    }

    pub(super) fn operation(&self) -> &'static str {
        match self.work {
            Work::FanOut { .. } => "delivery",
            Work::Idle { .. } => "waiter",
        }
    }

    pub(super) fn run(&self, target: &Target) -> Result<Round> {
        let ground =
            Ground { address: target.wire.address, processes: &target.processes, waits: target.waits };
        match self.work {
            Work::FanOut { publishes } => fan_out(ground, self.shape, publishes),
            Work::Idle { settle } => idle(ground, self.shape, settle),
        }
    }
}
