//! The address of a shared log, as one URL.
//!
//! | URL | what it names |
//! | --- | --- |
//! | `redis://user:password@host:6379/0` | one server; `valkey://` is the same |
//! | `rediss://…`, `valkeys://…` | the same over TLS |
//! | `unix:/path/to/socket?db=0&user=…&password=…` | one server on this machine |
//! | `redis+sentinel://host:26379,host:26379/MASTER/0` | the master that these Sentinels name |
//! | `redis+cluster://host:6379,host:6379` | a cluster that has these servers among others |
//!
//! The last two also start with `rediss+`, `valkey+` and `valkeys+`. User and password are percent-encoded, and are those of
//! the servers; Sentinels take their own as `?sentinel_user=…&sentinel_password=…`. Nothing here ever shows a password.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

/// Where the log is, and as whom to log in.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    pub(super) place: Place,
    pub(super) login: Login,
    /// As whom to log in to Sentinels.
    pub(super) sentinel_login: Login,
    pub(super) transport: Transport,
    pub(super) database: i64,
}

/// What has to be asked where the log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing: this is it.
    Server(Address),
    /// Sentinels, by the name of the master.
    Sentinel { sentinels: Vec<Address>, master: String },
    /// Members of a cluster.
    Cluster(Vec<Address>),
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Plain,
    Tls,
}

/// A user and a password, both optional.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

/// What is wrong with a URL. Displays without any password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisUrlError {
    /// It begins with none of the schemes.
    Scheme,
    /// There is no host.
    NoHost,
    /// A host is not one.
    Host(String),
    /// The port of this host is not a number from 1 to 65535.
    Port(String),
    /// Only Sentinels and clusters have several hosts.
    ManyHosts,
    /// A Sentinel URL does not name the master.
    NoMaster,
    /// There is no path to a socket.
    NoPath,
    /// The database is not a number from 0 on.
    Database,
    /// A cluster has only database 0.
    ClusterDatabase,
    /// The user or the password is not valid percent-encoded UTF-8.
    Login,
    /// There is no such parameter.
    Parameter(String),
    /// There is more after the part that this comes after.
    Rest(&'static str),
}

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

impl FromStr for RedisUrl {
    type Err = RedisUrlError;

    fn from_str(text: &str) -> Result<Self, RedisUrlError> {
        let (text, query) = text.split_once('?').unwrap_or((text, ""));
        let mut parameters = Parameters::parse(query)?;
        let url = match text.strip_prefix("unix:") {
            Some(path) => unix(path, &mut parameters)?,
            None => over_network(text, &mut parameters)?,
        };
        parameters.none_left().map(|()| url)
    }
}

/// `unix:/path` or `unix:///path`.
fn unix(path: &str, parameters: &mut Parameters) -> Result<RedisUrl, RedisUrlError> {
    let path = path.strip_prefix("//").unwrap_or(path);
    if !path.starts_with('/') {
        return Err(RedisUrlError::NoPath);
    }
    let database = parameters.take("db").map_or(Ok(0), |number| database(&number))?;
    Ok(RedisUrl {
        place: Place::Server(Address::Unix(path.into())),
        login: Login { user: parameters.take("user"), password: parameters.take("password") },
        sentinel_login: Login::default(),
        transport: Transport::Plain,
        database,
    })
}

fn over_network(text: &str, parameters: &mut Parameters) -> Result<RedisUrl, RedisUrlError> {
    let (scheme, rest) = text.split_once("://").ok_or(RedisUrlError::Scheme)?;
    let (protocol, kind) = scheme.split_once('+').unwrap_or((scheme, "server"));
    let transport = match protocol {
        "redis" | "valkey" => Transport::Plain,
        "rediss" | "valkeys" => Transport::Tls,
        _ => return Err(RedisUrlError::Scheme),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    // A password may contain an `@`, if it was not encoded; a host may not.
    let (login, hosts) = match authority.rsplit_once('@') {
        Some((login, hosts)) => (Login::parse(login)?, hosts),
        None => (Login::default(), authority),
    };
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut sentinel_login = Login::default();
    let (place, number) = match kind {
        "server" => {
            let [address] = addresses(hosts, REDIS_PORT)?.try_into().map_err(|_| RedisUrlError::ManyHosts)?;
            (Place::Server(address), path)
        }
        "sentinel" => {
            let (master, number) = path.split_once('/').unwrap_or((path, ""));
            if master.is_empty() {
                return Err(RedisUrlError::NoMaster);
            }
            sentinel_login.user = parameters.take("sentinel_user");
            sentinel_login.password = parameters.take("sentinel_password");
            let sentinels = addresses(hosts, SENTINEL_PORT)?;
            (Place::Sentinel { sentinels, master: decode(master)? }, number)
        }
        "cluster" => (Place::Cluster(addresses(hosts, REDIS_PORT)?), path),
        _ => return Err(RedisUrlError::Scheme),
    };
    let database = if number.is_empty() { 0 } else { database(number)? };
    if database != 0 && matches!(place, Place::Cluster(_)) {
        return Err(RedisUrlError::ClusterDatabase);
    }
    Ok(RedisUrl { place, login, sentinel_login, transport, database })
}

fn addresses(hosts: &str, default_port: u16) -> Result<Vec<Address>, RedisUrlError> {
    hosts.split(',').map(|host| address(host, default_port)).collect()
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn address(text: &str, default_port: u16) -> Result<Address, RedisUrlError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(|| RedisUrlError::Host(text.to_owned()))?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(RedisUrlError::Host(text.to_owned())),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err(RedisUrlError::NoHost);
    }
    if host.contains(|character: char| character.is_whitespace() || "/@[]".contains(character)) {
        return Err(RedisUrlError::Host(host.to_owned()));
    }
    let port = match port {
        None => default_port,
        Some(port) => match port.parse() {
            Ok(number) if number > 0 => number,
            _ => return Err(RedisUrlError::Port(host.to_owned())),
        },
    };
    Ok(Address::Tcp { host: host.to_owned(), port })
}

fn database(text: &str) -> Result<i64, RedisUrlError> {
    match text.parse() {
        Ok(number) if number >= 0 => Ok(number),
        _ if text.contains('/') => Err(RedisUrlError::Rest("the database")),
        _ => Err(RedisUrlError::Database),
    }
}

fn decode(text: &str) -> Result<String, RedisUrlError> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| RedisUrlError::Login)?;
    Ok(decoded.into_owned())
}

impl Login {
    fn parse(text: &str) -> Result<Self, RedisUrlError> {
        let (user, password) = match text.split_once(':') {
            Some((user, password)) => (user, Some(decode(password)?)),
            None => (text, None),
        };
        let user = if user.is_empty() { None } else { Some(decode(user)?) };
        Ok(Self { user, password })
    }
}

/// What stands after the question mark.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn parse(query: &str) -> Result<Self, RedisUrlError> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((name.to_owned(), decode(value)?))
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(has, _)| has == name)?;
        Some(self.0.swap_remove(at).1)
    }

    fn none_left(self) -> Result<(), RedisUrlError> {
        match self.0.into_iter().next() {
            Some((name, _)) => Err(RedisUrlError::Parameter(name)),
            None => Ok(()),
        }
    }
}

/// Without user and password.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Plain => "redis",
            Transport::Tls => "rediss",
        };
        let list = |f: &mut fmt::Formatter<'_>, addresses: &[Address]| {
            for (at, address) in addresses.iter().enumerate() {
                let comma = if at == 0 { "" } else { "," };
                write!(f, "{comma}{address}")?;
            }
            Ok(())
        };
        match &self.place {
            Place::Server(address @ Address::Unix(_)) => return write!(f, "{address}?db={}", self.database),
            Place::Server(address) => write!(f, "{scheme}://{address}")?,
            Place::Sentinel { sentinels, master } => {
                write!(f, "{scheme}+sentinel://")?;
                list(f, sentinels)?;
                write!(f, "/{master}")?;
            }
            Place::Cluster(members) => {
                write!(f, "{scheme}+cluster://")?;
                return list(f, members);
            }
        }
        write!(f, "/{}", self.database)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for RedisUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str(
                "it begins with none of redis://, rediss://, valkey://, valkeys://, unix:, redis+sentinel:// and \
                 redis+cluster://",
            ),
            Self::NoHost => f.write_str("a host is missing"),
            Self::Host(host) => write!(f, "`{host}` is not a host"),
            Self::Port(host) => write!(f, "the port of `{host}` is not a number from 1 to 65535"),
            Self::ManyHosts => {
                f.write_str("it has several hosts, which only redis+sentinel:// and redis+cluster:// have")
            }
            Self::NoMaster => f.write_str("the master's name is missing: redis+sentinel://host:26379/MASTER"),
            Self::NoPath => f.write_str("the path of the socket is missing: unix:/path/to/socket"),
            Self::Database => f.write_str("the database is not a number from 0 on"),
            Self::ClusterDatabase => f.write_str("a cluster has only database 0"),
            Self::Login => f.write_str("the user or the password is not valid percent-encoded UTF-8"),
            Self::Parameter(name) => write!(f, "there is no parameter `{name}`"),
            Self::Rest(part) => write!(f, "there is more after {part}"),
        }
    }
}

impl std::error::Error for RedisUrlError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RedisUrl, RedisUrlError> {
        text.parse()
    }

    #[test]
    fn every_form_names_its_place() {
        let table = [
            ("redis://h", "redis://h:6379/0"),
            ("valkey://h:1/2", "redis://h:1/2"),
            ("rediss://u:p@[::1]:7", "rediss://[::1]:7/0"),
            ("valkeys://:p@h/", "rediss://h:6379/0"),
            ("unix:/run/redis.sock", "unix:/run/redis.sock?db=0"),
            ("unix:///run/redis.sock?db=3&user=u&password=p", "unix:/run/redis.sock?db=3"),
            ("redis+sentinel://a,b:1/main", "redis+sentinel://a:26379,b:1/main/0"),
            ("rediss+sentinel://u:p@a/main/4?sentinel_password=s", "rediss+sentinel://a:26379/main/4"),
            ("valkey+cluster://a,b:2", "redis+cluster://a:6379,b:2"),
        ];
        for (text, shown) in table {
            assert_eq!(parse(text).map(|url| url.to_string()), Ok(shown.to_owned()), "{text}");
        }
    }

    #[test]
    fn user_and_password_are_decoded() {
        let url = parse("redis://us%3Aer:p%40ss:w@rd@h").unwrap();
        assert_eq!(url.login.user.as_deref(), Some("us:er"));
        assert_eq!(url.login.password.as_deref(), Some("p@ss:w@rd"));
        let url = parse("unix:/s?user=a%26b&password=%3D").unwrap();
        assert_eq!((url.login.user.as_deref(), url.login.password.as_deref()), (Some("a&b"), Some("=")));
    }

    #[test]
    fn a_fault_is_named() {
        let table = [
            ("http://h", RedisUrlError::Scheme),
            ("localhost:6379", RedisUrlError::Scheme),
            ("redis+ring://h", RedisUrlError::Scheme),
            ("redis://", RedisUrlError::NoHost),
            ("redis://a,b", RedisUrlError::ManyHosts),
            ("redis+cluster://a,,b", RedisUrlError::NoHost),
            ("redis://h:0", RedisUrlError::Port("h".into())),
            ("redis://u:secret@h:port", RedisUrlError::Port("h".into())),
            ("redis://h/one", RedisUrlError::Database),
            ("redis://h/1/2", RedisUrlError::Rest("the database")),
            ("redis+cluster://h/1", RedisUrlError::ClusterDatabase),
            ("redis+sentinel://h", RedisUrlError::NoMaster),
            ("unix:redis.sock", RedisUrlError::NoPath),
            ("redis://h?tls=1", RedisUrlError::Parameter("tls".into())),
            ("redis://h?password=p", RedisUrlError::Parameter("password".into())),
            ("redis://u:%ff@h", RedisUrlError::Login),
            ("redis://[::1", RedisUrlError::Host("[::1".into())),
        ];
        for (text, fault) in table {
            assert_eq!(parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        for text in [
            "redis://u:secret@h",
            "redis://u:secret@h:x",
            "redis://u:secret@h:1:2",
            "redis://u:secret@h/one",
            "unix:/s?password=secret",
            "unix:s?password=secret",
            "redis://h?x=secret",
            "redis+sentinel://u:secret@h/m?sentinel_password=secret",
            "redis+ring://u:secret@h",
            "redis://u:secret@[h",
        ] {
            let shown = match parse(text) {
                Ok(url) => format!("{url} {url:?} {:?} {:?}", url.login, url.sentinel_login),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!shown.contains("secret"), "{shown}");
        }
    }
}
