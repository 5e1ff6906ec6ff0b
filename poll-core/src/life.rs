//! A channel's life: when it begins and ends, what it holds, how long it lasts, and whom it descends from.
//!
//! A channel is its messages and its life. One that is born by a publish has none and needs none: it holds JSON, lasts
//! as long as there is room, and is retained as the store's bounds say. A life is made by
//! [creating](crate::Store::create) a channel, or by the first thing that has to be remembered of one.
//!
//! All rules are in `rules`: pure functions of what is known of a channel, whatever journal is below. A journal only
//! carries what they decided, as a [`Change`] beside the messages that it belongs to, in the same commit. To a journal
//! a life is an encoded value; it looks at the bounds, at the origin and at whether a channel is removed.
//!
//! Nothing here waits, locks, or reads a clock.

mod ancestry;
mod bounds;
mod change;
mod codec;
mod content_type;
mod error;
mod ledger;
mod producer;
mod record;
mod request;
mod rules;
mod text;

pub use ancestry::{Ancestry, Segment};
pub use bounds::{Bound, Bounds};
pub use change::{Change, Content};
pub use codec::{LifeError, LifeRecord};
pub use content_type::{ContentType, ContentTypeError};
pub use error::{AppendError, CreateError};
pub(crate) use ledger::Ledger;
pub use producer::{Producer, ProducerStamp};
pub use record::{Life, Lifetime, Origin, Phase};
pub use request::{
    Appended, Condition, Configured, Create, Created, Deleted, Description, ForkPoint, Purged, Standing, Use,
};
pub(crate) use rules::{End, Existence, Facts, Ruling, Seen};
pub use text::{Order, ProducerId, TextError};
