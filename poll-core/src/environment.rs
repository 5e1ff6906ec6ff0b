//! A program's inputs from outside: the time of day, randomness, threads and files.
//!
//! Everything of that kind comes in through an [`Environment`], so that a whole server can be run by a simulation that gives
//! the same every time. Timers and tasks are those of the tokio runtime that a [`Thread`] runs on; where its clock is
//! paused, time passes as the simulation says. Sockets are bound outside and handed to the server.
//!
//! Not here: any use of these.

#[cfg(feature = "disk")]
mod directory;
mod handle;
mod hash_key;
#[cfg(feature = "disk")]
mod location;
mod platform;
mod secret_file;
mod seeded;
mod sync_probe;
mod system;
mod text_file;

#[cfg(feature = "disk")]
pub use directory::Directory;
pub use handle::Environment;
pub(crate) use hash_key::set_hash_key;
pub use hash_key::{KeyedMap, ProcessKey};
#[cfg(feature = "disk")]
pub use location::Location;
pub use platform::{Exit, Platform, Running, Thread};
pub use seeded::Seeded;
