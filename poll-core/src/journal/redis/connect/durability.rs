//! What a server of the log is, and whether it can keep what the durability promises.

use std::time::Duration;

use redis::{Cmd, Value, cmd};

use super::connection::{Connection, LinkError};
use super::refusal::Refusal;
use crate::journal::redis::log::generation::Process;
use crate::journal::redis::options::Durability;
use crate::journal::redis::url::Place;
use crate::journal::{Fault, FaultKind};

/// How long a publish may wait for replicas or a file.
const WAIT_MILLIS: u64 = 1_000;

/// What a server says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) process: Process,
    /// How long the process has been running.
    pub(crate) uptime: Duration,
    /// Major and minor.
    version: (u16, u16),
    file: File,
    mode: Mode,
    eviction: Eviction,
}

/// Whether the server is a member of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Alone,
    Member,
}

/// What the server does when its memory is full.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Eviction {
    /// It refuses writes.
    None,
    /// It throws keys away, by this policy.
    Policy(String),
}

/// How safe the server's file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum File {
    /// Each write is synced before it is answered.
    Always,
    /// There is one; when it is synced is unknown or later.
    Later,
    None,
}

/// What has to be waited for after a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Replicas(u8),
    File,
}

/// What was waited for did not happen in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotMet(pub(crate) String);

impl Server {
    /// Asks a server what it is. It has to be a master.
    pub(crate) async fn of(connection: &mut Connection) -> Result<Self, LinkError> {
        if let Value::Array(role) = connection.ask(&cmd("ROLE")).await?
            && text(role.first()) != Some("master")
        {
            let fault = Fault::new(FaultKind::ReadOnly, "it is a replica");
            return Err(LinkError::Refused(Refusal::Refused(fault)));
        }
        let info = connection.ask(&cmd("INFO")).await?;
        let info = text(Some(&info)).unwrap_or_default().to_owned();
        let mut setting = cmd("CONFIG");
        setting.arg("GET").arg("appendfsync");
        // A hosted Redis may not allow the question.
        let fsync = match connection.ask(&setting).await {
            Ok(answer) => last_text(&answer),
            Err(LinkError::Refused(_)) => None,
            Err(error) => return Err(error),
        };
        Self::parse(&info, fsync.as_deref())
            .ok_or_else(|| LinkError::Unfit("it is no Redis or Valkey".to_owned()))
    }

    fn parse(info: &str, fsync: Option<&str>) -> Option<Self> {
        let field = |name: &str| {
            info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim_end)
        };
        let mut numbers = field("redis_version")?.split('.').map(|number| number.parse().unwrap_or(0));
        let version = (numbers.next()?, numbers.next().unwrap_or(0));
        let file = match (field("aof_enabled"), fsync) {
            (Some("1"), Some("always")) => File::Always,
            (Some("1"), _) => File::Later,
            _ => File::None,
        };
        let mode = if field("cluster_enabled") == Some("1") { Mode::Member } else { Mode::Alone };
        let eviction = match field("maxmemory_policy") {
            None | Some("noeviction") => Eviction::None,
            Some(policy) => Eviction::Policy(policy.to_owned()),
        };
        let uptime = field("uptime_in_seconds").and_then(|seconds| seconds.parse().ok());
        // One that does not say it has not just been started.
        let uptime = uptime.map_or(Duration::MAX, Duration::from_secs);
        Some(Self { process: process(field("run_id")?), uptime, version, file, mode, eviction })
    }

    /// Whether it can be used as what the URL says it is.
    pub(crate) fn is_of(&self, place: &Place) -> Result<(), LinkError> {
        let unfit = |why: &str| Err(LinkError::Unfit(why.to_owned()));
        match (place, self.mode) {
            (Place::Cluster(_), Mode::Alone) => unfit("it is not a cluster"),
            (Place::Server(_) | Place::Sentinel { .. }, Mode::Member) => {
                unfit("it is a member of a cluster: use redis+cluster://")
            }
            (Place::Cluster(_), Mode::Member) if self.version < (7, 0) => {
                unfit("a cluster has to have version 7.0 or later")
            }
            _ if self.version < (6, 2) => unfit("it has to have version 6.2 or later"),
            _ => Ok(()),
        }
    }

    /// What an operator should know before something happens.
    pub(crate) fn warning(&self) -> Option<String> {
        match &self.eviction {
            Eviction::None => None,
            Eviction::Policy(policy) => Some(format!(
                "maxmemory-policy is {policy}: Redis may throw channels away; set it to noeviction"
            )),
        }
    }

    /// What has to be waited for to keep what is promised.
    pub(crate) fn fits(&self, durability: Durability) -> Result<Option<Wait>, LinkError> {
        match (durability, self.file) {
            (Durability::Memory, _) | (Durability::Disk, File::Always) => Ok(None),
            (Durability::Replicas(number), _) => Ok(Some(Wait::Replicas(number))),
            (Durability::Disk, File::Later) if self.version >= (7, 2) => Ok(Some(Wait::File)),
            (Durability::Disk, File::Later) => Err(LinkError::Unfit(
                "durability `disk` needs `appendfsync always`, or WAITAOF, which came with version 7.2"
                    .to_owned(),
            )),
            (Durability::Disk, File::None) => {
                Err(LinkError::Unfit("durability `disk` needs `appendonly yes`".to_owned()))
            }
        }
    }
}

impl Wait {
    pub(crate) fn command(self) -> Cmd {
        match self {
            Self::Replicas(number) => {
                let mut command = cmd("WAIT");
                command.arg(number).arg(WAIT_MILLIS);
                command
            }
            Self::File => {
                let mut command = cmd("WAITAOF");
                command.arg(1).arg(0).arg(WAIT_MILLIS);
                command
            }
        }
    }

    /// Whether it happened.
    pub(crate) fn check(self, answer: &Value) -> Result<(), NotMet> {
        let not = |what: String| Err(NotMet(what));
        match (self, answer) {
            (Self::Replicas(wanted), Value::Int(have)) if *have >= i64::from(wanted) => Ok(()),
            (Self::Replicas(wanted), Value::Int(have)) => {
                not(format!("{have} of {wanted} replicas had it in time"))
            }
            (Self::File, Value::Array(kept)) if matches!(kept.first(), Some(Value::Int(1..))) => Ok(()),
            (Self::File, Value::Array(_)) => not("the file was not synced in time".to_owned()),
            (_, Value::ServerError(error)) => not(error.to_string()),
            _ => not("it was not said whether it is kept".to_owned()),
        }
    }
}

/// The first half of a `run_id`, which is 40 hexadecimal digits; or a hash of whatever it is.
fn process(run_id: &str) -> Process {
    Process(xxhash_rust::xxh3::xxh3_64(run_id.as_bytes()).to_be_bytes())
}

fn text(value: Option<&Value>) -> Option<&str> {
    match value? {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}

/// The value in the answer to `CONFIG GET`.
fn last_text(answer: &Value) -> Option<String> {
    let value = match answer {
        Value::Map(pairs) => pairs.last().map(|(_, value)| value),
        Value::Array(list) => list.last(),
        _ => None,
    };
    text(value).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::redis::url::Address;

    fn server(version: &str, aof: &str, fsync: Option<&str>) -> Server {
        let info = format!("# Server\r\nredis_version:{version}\r\nrun_id:abc\r\naof_enabled:{aof}\r\n");
        Server::parse(&info, fsync).unwrap()
    }

    #[test]
    fn a_promise_is_kept_or_refused() {
        let disk = |version, aof, fsync| server(version, aof, fsync).fits(Durability::Disk);
        assert_eq!(disk("7.0.15", "1", Some("always")), Ok(None));
        assert_eq!(disk("7.2.0", "1", Some("everysec")), Ok(Some(Wait::File)));
        assert_eq!(disk("8.0.0", "1", None), Ok(Some(Wait::File)));
        assert!(matches!(disk("7.0.15", "1", Some("everysec")), Err(LinkError::Unfit(_))));
        assert!(matches!(disk("7.2.0", "0", Some("always")), Err(LinkError::Unfit(_))));
        assert_eq!(server("7.0.15", "0", None).fits(Durability::Memory), Ok(None));
        assert_eq!(server("7.0.15", "0", None).fits(Durability::Replicas(2)), Ok(Some(Wait::Replicas(2))));
    }

    #[test]
    fn a_server_has_to_be_what_the_url_says() {
        let alone = Place::Server(Address::Unix("/s".into()));
        let cluster = Place::Cluster(Vec::new());
        assert_eq!(server("7.0.15", "0", None).is_of(&alone), Ok(()));
        assert!(server("6.0.16", "0", None).is_of(&alone).is_err());
        assert!(server("7.0.15", "0", None).is_of(&cluster).is_err());
        let member = |version| {
            let info =
                format!("redis_version:{version}\nrun_id:a\ncluster_enabled:1\nmaxmemory_policy:allkeys-lru");
            Server::parse(&info, None).unwrap()
        };
        assert_eq!(member("7.0.0").is_of(&cluster), Ok(()));
        assert!(member("6.2.0").is_of(&cluster).is_err());
        assert!(member("7.0.0").is_of(&alone).is_err());
        assert!(member("7.0.0").warning().is_some_and(|warning| warning.contains("allkeys-lru")));
        assert_eq!(server("7.0.15", "0", None).warning(), None);
    }

    #[test]
    fn what_is_no_redis_is_not_one() {
        assert_eq!(Server::parse("version:1", None), None);
    }

    #[test]
    fn fewer_replicas_than_wanted_are_not_enough() {
        assert_eq!(Wait::Replicas(1).check(&Value::Int(1)), Ok(()));
        assert!(Wait::Replicas(2).check(&Value::Int(1)).is_err());
        let synced = |number| Value::Array(vec![Value::Int(number), Value::Int(0)]);
        assert_eq!(Wait::File.check(&synced(1)), Ok(()));
        assert!(Wait::File.check(&synced(0)).is_err());
        assert!(Wait::File.check(&Value::Nil).is_err());
    }
}
