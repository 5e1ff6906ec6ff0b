//! The operating system's clock, randomness and threads.

use std::io;
use std::time::SystemTime;

use tokio::runtime::Builder;

use super::platform::{Exit, Platform, Thread};
use crate::types::Timestamp;

pub(super) struct System;

impl Platform for System {
    fn now(&self) -> Timestamp {
        Timestamp::of(SystemTime::now())
    }

    fn random(&self) -> u64 {
        rand::random()
    }

    fn spawn(&self, thread: Thread) -> io::Result<Exit> {
        let Thread { name, event_interval, on_park, work } = thread;
        let mut builder = Builder::new_current_thread();
        builder.enable_all();
        if let Some(interval) = event_interval {
            builder.event_interval(interval);
        }
        // tokio has no such hook under loom.
        #[cfg(loom)]
        let _ = on_park;
        #[cfg(not(loom))]
        if let Some(on_park) = on_park {
            builder.on_thread_park(on_park);
        }
        let runtime = builder.build()?;
        let (running, exit) = Exit::pair();
        std::thread::Builder::new().name(name).spawn(move || {
            let _running = running;
            runtime.block_on(work);
            // Its tasks end before that is heard of.
            drop(runtime);
        })?;
        Ok(exit)
    }
}
