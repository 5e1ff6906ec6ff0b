//! The two state machines against tables and plain models.

mod attendance;
mod ledger;
