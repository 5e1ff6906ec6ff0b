//! The journal's thread: what it is asked to do, what waits for whom, and the tasks that talk to Redis.

pub(crate) mod answer;
pub(crate) mod ask;
pub(crate) mod asking;
pub(crate) mod census;
pub(crate) mod clock;
pub(crate) mod commands;
pub(crate) mod counters;
pub(crate) mod health;
pub(crate) mod inbox;
pub(crate) mod line;
pub(crate) mod link;
pub(crate) mod oversight;
pub(crate) mod publish_queue;
pub(crate) mod publishing;
pub(crate) mod pulse;
pub(crate) mod recount;
pub(crate) mod run;
pub(crate) mod session;
pub(crate) mod shared;
pub(crate) mod subscription;
