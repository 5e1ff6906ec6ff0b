//! What is said about channels and messages: names, numbers, times, payloads, requests, answers, bounds and errors.
//!
//! Plain values: no lock, no waiting, no clock. Everything else in this crate is above them.

mod channel_name;
mod cursor;
mod error;
mod fields;
mod followed;
mod idempotency;
mod json;
mod limit;
mod listing;
mod message;
mod position;
mod publish;
mod recall;
mod retention;
mod stored;
mod time;
mod token;

pub use channel_name::{ChannelName, ChannelNameError};
pub(crate) use channel_name::{NameIndexMap, NameMap};
pub use cursor::{Cursor, CursorError, Epoch, Seq};
pub use error::{JournalError, PublishError};
pub(crate) use fields::{Fields, length, put, put_numbers};
pub use followed::{Followed, Run};
pub(crate) use idempotency::fingerprint;
pub use idempotency::{Fingerprint, IdempotencyKey, IdempotencyKeyError, SeqRange};
pub use json::{JsonError, MAX_JSON_DEPTH, compact_json, escape_line_separators};
pub use limit::Limit;
pub use listing::{ListedChannel, Listing, Selection};
pub(crate) use listing::{More, NamePart, merge};
pub use message::{Message, Payload, mint_id, time_of};
pub(crate) use message::{Part, mint_part};
pub use position::{Continuity, Position};
pub use publish::{Ending, Publish, Published, Stamp, Stamps};
pub(crate) use recall::Recall;
pub use retention::Retention;
pub use stored::{KeptKey, Landmark, Loaded, Located, Piece, Stretch};
pub use time::Timestamp;
pub use token::{ChannelKey, CursorSet, Token};
