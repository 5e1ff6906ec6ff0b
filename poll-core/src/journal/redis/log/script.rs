//! The one script: everything that reads or changes a partition does it in one atomic step.
//!
//! A [`Call`] is one operation. It becomes one command, and reads the reply to it. Every call says how far the partition
//! had got as far as this node knows ([`Known`]), and the script compares before it does anything: a partition that is
//! behind has lost something, and one of another generation has been renewed ([`Verdict`]).
//!
//! All checks come before the first write, and the first write is one that Redis refuses when it is out of memory, so a
//! refused call has changed nothing. Each call does a bounded amount of work. `load`, `read`, `locate`, `newest`,
//! `state`, `survey` and `forks` write nothing.
//!
//! Not here: connections, and when a call is sent again.

mod call;
mod life;
mod partition;
mod publish;
mod reading;
mod seal;
#[cfg(test)]
mod tests;

pub(crate) use call::{Announce, Call, Known, Script, Verdict};
pub(crate) use life::{Lapsed, ListForks, Look};
pub(crate) use partition::{HasLife, Names, Newest, Place, Renew, State, Status, Writer};
pub(crate) use publish::{Births, KeyHashes, Publish, PublishChange, Published};
pub(crate) use reading::{Load, Locate, Range, Read};
pub(crate) use seal::{Seal, Sealed};
