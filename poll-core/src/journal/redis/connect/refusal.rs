//! What an error reply of Redis means for the command that got it.
//!
//! A command that may have been executed is never sent again. So each error is one of three: it proves that nothing
//! happened and that sending again makes sense; it proves that nothing happened and says why Redis takes nothing now;
//! or it proves nothing.

use redis::{ErrorKind, RedisError, ServerError};

use crate::journal::{Fault, FaultKind};

/// What an error says of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It was not executed, and may be sent again once this is done.
    Resend(Remedy),
    /// It was not executed, and Redis cannot take it now.
    Refused(Fault),
    /// It may have been executed.
    Unknown(String),
}

/// What has to be done before a command is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Load the script.
    LoadScript,
    /// Read the topology anew: the partition is elsewhere, or is moving.
    ReadTopology,
}

impl Refusal {
    /// Of an error reply.
    pub(crate) fn of_reply(error: &ServerError) -> Self {
        Self::of(error.code(), error.details().unwrap_or_default())
    }

    /// Of what a connection says.
    pub(crate) fn of_error(error: &RedisError) -> Self {
        match (error.kind(), error.code()) {
            (ErrorKind::Server(_) | ErrorKind::Extension, Some(code)) => {
                Self::of(code, error.detail().unwrap_or_default())
            }
            _ => Self::Unknown(error.to_string()),
        }
    }

    /// The one table.
    fn of(code: &str, detail: &str) -> Self {
        use FaultKind::{Failing, Full, Loading, ReadOnly, Stalled};
        // Redis before 7 names the error of a command in a script within the text, and after the first of them.
        let code = match code {
            "ERR" => inner(detail).unwrap_or(code),
            code => code,
        };
        let refused = |kind| Self::Refused(Fault::new(kind, format!("{code} {detail}").trim_end()));
        match code {
            "NOSCRIPT" => Self::Resend(Remedy::LoadScript),
            "MOVED" | "ASK" | "TRYAGAIN" | "CROSSSLOT" => Self::Resend(Remedy::ReadTopology),
            "OOM" => refused(Full),
            "LOADING" => refused(Loading),
            "READONLY" | "MASTERDOWN" => refused(ReadOnly),
            "BUSY" => refused(Stalled),
            "MISCONF" | "NOREPLICAS" | "CLUSTERDOWN" | "NOAUTH" | "WRONGPASS" | "NOPERM" | "EXECABORT" => {
                refused(Failing)
            }
            _ => Self::Unknown(format!("{code} {detail}").trim_end().to_owned()),
        }
    }
}

/// The error of a command within the message of a script's.
fn inner(detail: &str) -> Option<&str> {
    let code = detail.split(" -").nth(1).or_else(|| detail.strip_prefix('-'))?;
    let code = code.split(|character: char| !character.is_ascii_uppercase()).next()?;
    (code.len() > 2).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        use FaultKind::{Failing, Full, Loading, ReadOnly, Stalled};
        let refused = [
            ("OOM", "command not allowed when used memory > 'maxmemory'.", Full),
            ("ERR", "Error running script (call to f_1): @user_script:9: -OOM command not allowed", Full),
            ("LOADING", "Redis is loading the dataset in memory", Loading),
            ("READONLY", "You can't write against a read only replica.", ReadOnly),
            ("MISCONF", "Redis is configured to save RDB snapshots", Failing),
            ("NOREPLICAS", "Not enough good replicas to write.", Failing),
            ("CLUSTERDOWN", "The cluster is down", Failing),
            ("MASTERDOWN", "Link with MASTER is down", ReadOnly),
            ("BUSY", "Redis is busy running a script.", Stalled),
        ];
        for (code, detail, kind) in refused {
            assert!(
                matches!(Refusal::of(code, detail), Refusal::Refused(fault) if fault.kind == kind),
                "{code}"
            );
        }
        assert_eq!(Refusal::of("NOSCRIPT", "No matching script."), Refusal::Resend(Remedy::LoadScript));
        for moved in ["MOVED", "ASK", "TRYAGAIN"] {
            assert_eq!(Refusal::of(moved, "1 a:1"), Refusal::Resend(Remedy::ReadTopology));
        }
        // A script that was stopped half way, or whatever is new.
        for unknown in ["ERR", "UNKILLABLE", "NEW"] {
            assert!(matches!(Refusal::of(unknown, "x"), Refusal::Unknown(_)), "{unknown}");
        }
    }
}
