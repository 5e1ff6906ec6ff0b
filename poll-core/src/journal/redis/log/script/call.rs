//! One operation of the script as a command, and the reply to it.

use std::time::Duration;

use redis::{Cmd, Value};

use crate::journal::redis::log::fields::{Fields, Garbled};
use crate::journal::redis::log::generation::{Mark, Process};
use crate::journal::redis::log::partition::Prefix;
use crate::types::Retention;

const TEXT: &str =
    concat!(include_str!("../setup.lua"), include_str!("../life.lua"), include_str!("../script.lua"));

/// The script with what is the same for all calls of a journal.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// Its SHA-1 in hexadecimal, by which Redis knows it.
    sha: String,
    pub(super) prefix: Prefix,
    announce: Announce,
    pub(super) retention: Retention,
}

/// How changes are announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announce {
    /// With PUBLISH.
    Publish,
    /// With SPUBLISH: in a cluster, only to those who subscribe at the node that has the partition.
    Sharded,
}

/// What a call knows of its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    /// The greatest mark that this node has seen; the default if it has seen none.
    pub(crate) mark: Mark,
    /// The Redis process that the command is sent to.
    pub(crate) process: Process,
}

/// What the script says of the partition, before anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict<T> {
    /// The call was executed, and the partition has got this far.
    Done(Mark, T),
    /// The partition has lost changes that this node has seen, or was never begun. Nothing was done; the mark is what
    /// is there.
    Lost(Mark),
    /// The partition has a later generation. Nothing was done.
    Renewed(Mark),
}

/// One operation.
pub(crate) trait Call {
    /// What it brings when it is executed.
    type Reply;

    /// The command. A call may be sent again, with what is known by then, if it was not executed.
    fn command(&self, script: &Script, known: Known) -> Cmd;

    /// Reads what the script returns behind a good verdict: its first string, and the entries after it.
    fn read(&self, mark: Mark, fields: Fields<'_>, entries: Vec<Vec<u8>>) -> Result<Self::Reply, Garbled>;

    /// Reads the reply to the command, which is not an error reply.
    fn reply(&self, value: Value) -> Result<Verdict<Self::Reply>, Garbled> {
        let (head, entries) = strings(value)?;
        let mut fields = Fields(&head);
        let (verdict, mark) = (fields.byte()?, fields.mark()?);
        match verdict {
            b'D' => Ok(Verdict::Done(mark, self.read(mark, fields, entries)?)),
            b'L' => Ok(Verdict::Lost(mark)),
            b'R' => Ok(Verdict::Renewed(mark)),
            _ => Err(Garbled),
        }
    }
}

/// A string, or an array of strings.
fn strings(value: Value) -> Result<(Vec<u8>, Vec<Vec<u8>>), Garbled> {
    let string = |value| match value {
        Value::BulkString(bytes) => Ok(bytes),
        _ => Err(Garbled),
    };
    match value {
        Value::Array(values) => {
            let mut strings = values.into_iter().map(string);
            let head = strings.next().ok_or(Garbled)??;
            Ok((head, strings.collect::<Result<_, _>>()?))
        }
        value => Ok((string(value)?, Vec::new())),
    }
}

impl Script {
    /// The script for a journal with these keys and bounds.
    pub(crate) fn new(prefix: Prefix, announce: Announce, retention: Retention) -> Self {
        let sha = redis::Script::new(TEXT).get_hash().to_owned();
        Self { sha, prefix, announce, retention }
    }

    /// The command that makes Redis know it; to be sent first on every connection and after NOSCRIPT.
    pub(crate) fn load() -> Cmd {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(TEXT);
        command
    }

    /// The prefix of its keys.
    #[cfg(test)]
    pub(crate) fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// The start of a command: the script, its keys, the operation, what is known.
    pub(super) fn call(&self, operation: &str, keys: &[String], known: Known, settings: &[u8]) -> Cmd {
        let bytes = keys.iter().map(String::len).sum::<usize>() + 160;
        let mut command = Cmd::with_capacity(keys.len() + 5, bytes);
        command.arg("EVALSHA").arg(&self.sha).arg(keys.len()).arg(keys).arg(operation);
        let Known { mark, process } = known;
        let mut head = Vec::with_capacity(28 + settings.len());
        head.extend(mark.generation.get().to_be_bytes());
        head.extend(mark.count.to_be_bytes());
        head.extend(mark.reign.get().to_be_bytes());
        head.extend(process.0);
        head.extend(settings);
        command.arg(head);
        command
    }

    /// The greatest number of messages and their greatest age in microseconds; zero is no bound.
    pub(super) fn bounds(&self) -> [u64; 2] {
        [self.retention.messages, micros(self.retention.age)]
    }

    pub(super) fn sharded(&self) -> u8 {
        (self.announce == Announce::Sharded).into()
    }
}

/// Numbers in the script are exact up to 2^53.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).min(1 << 52)
}
