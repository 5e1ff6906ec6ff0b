//! The journal as lines of JSON, out and in, while no server has it open.
//!
//! Each channel is one line that describes it, then one line a message. On import, channels keep their epochs and messages
//! their numbers, so the cursors that readers hold stay valid; an import that was interrupted can be repeated. A line of
//! golongpoll's event files is taken too: it becomes the next message of its category, each time that it is imported.
//!
//! Not exported: idempotency keys, whose window is over in minutes.

mod error;
mod export;
mod import;
mod output;
mod record;

pub use error::{BackupError, Report};
pub use export::export;
pub use import::import;
pub(super) use output::Output;
pub use record::{ChannelRecord, EventRecord, LostRecord, MessageRecord, Record};
