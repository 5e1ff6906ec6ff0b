//! One connection to Redis: how it is opened, and how commands go over it.
//!
//! Nothing is ever sent a second time here. Whether a command that got an error was executed, and so whether it may be sent
//! again, is what [`Refusal`](super::refusal::Refusal) says.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, Pipeline,
    ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError, Value,
};
use socket2::TcpKeepalive;

use super::refusal::Refusal;
use crate::journal::redis::url::{Address, Login, RedisUrl, Transport};
use crate::journal::{Fault, FaultKind};

/// How long it may take to open a connection.
pub(crate) const CONNECT: Duration = Duration::from_secs(1);
/// How long an answer may take. A publisher hears by then that its outcome is unknown.
pub(crate) const ANSWER: Duration = Duration::from_secs(3);

/// What may help where there is no handshake.
const WITHOUT_TLS: &str = "a server without TLS is redis:// or valkey://";

/// An open connection. A clone is the same one.
#[derive(Clone)]
pub(crate) struct Connection(MultiplexedConnection);

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LinkError {
    /// The connection could not be opened, or ended. Whatever was on its way may have been executed.
    Lost(String),
    /// No answer came in time. What was on its way may have been executed, or may be yet.
    TimedOut,
    /// Redis refused.
    Refused(Refusal),
    /// Redis is not what the URL or the options say: trying again will not help soon.
    Unfit(String),
}

/// Takes what Redis sends without having been asked. Called by the connection's task: it must not wait.
pub(crate) type OnPush = Box<dyn Fn(PushInfo) + Send + Sync>;

/// Which login a connection uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Sentinel,
}

impl Connection {
    /// Opens a connection to a server of the log, in RESP3.
    pub(crate) async fn open(
        url: &RedisUrl,
        address: &Address,
        role: Role,
        on_push: Option<OnPush>,
    ) -> Result<Self, LinkError> {
        let (login, database) = match role {
            Role::Server => (&url.login, url.database),
            Role::Sentinel => (&url.sentinel_login, 0),
        };
        let info = addr(address, url.transport)
            .into_connection_info()
            .map_err(|error| LinkError::Unfit(error.to_string()))?
            .set_tcp_settings(tcp())
            .set_redis_settings(settings(login, database));
        let client = Client::open(info).map_err(|error| LinkError::Unfit(error.to_string()))?;
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        if let Some(on_push) = on_push {
            config = config.set_push_sender(move |info: PushInfo| {
                on_push(info);
                Ok::<(), redis::aio::SendError>(())
            });
        }
        let opened = client.get_multiplexed_async_connection_with_config(&config).await;
        let over_tls = url.transport == Transport::Tls && matches!(address, Address::Tcp { .. });
        opened.map(Self).map_err(|error| match LinkError::of(&error) {
            // What a port without TLS makes of a handshake: it waits for more, or answers something else.
            LinkError::TimedOut if over_tls => {
                let seconds = CONNECT.as_secs();
                LinkError::Lost(format!("no answer to the TLS handshake within {seconds} s; {WITHOUT_TLS}"))
            }
            LinkError::Lost(why) if over_tls && why.contains("InvalidContentType") => {
                LinkError::Lost(format!("its answer to the TLS handshake is no TLS; {WITHOUT_TLS}"))
            }
            error => error,
        })
    }

    /// The answer to one command. An error that Redis answers is an error.
    pub(crate) async fn ask(&mut self, command: &Cmd) -> Result<Value, LinkError> {
        match self.0.send_packed_command(command).await.map_err(|error| LinkError::of(&error))? {
            Value::ServerError(error) => Err(LinkError::Refused(Refusal::of_reply(&error))),
            value => Ok(value),
        }
    }

    /// The answers to several commands, which may be errors each.
    pub(crate) async fn ask_all(&mut self, commands: &Pipeline) -> Result<Vec<Value>, LinkError> {
        let count = commands.len();
        let answers =
            self.0.send_packed_commands(commands, 0, count).await.map_err(|error| LinkError::of(&error))?;
        match answers.len() == count {
            true => Ok(answers),
            false => Err(LinkError::Lost("it gave fewer answers than were asked for".to_owned())),
        }
    }

    /// How long the next answers may take.
    pub(crate) fn within(&mut self, timeout: Duration) {
        self.0.set_response_timeout(timeout);
    }
}

impl LinkError {
    fn of(error: &RedisError) -> Self {
        if error.is_timeout() {
            return Self::TimedOut;
        }
        let unfit = |why: &str| Self::Unfit(why.to_owned());
        match error.code() {
            Some("WRONGPASS") => return unfit("it accepts neither the user nor the password"),
            Some("NOAUTH") => return unfit("it wants a password"),
            _ => {}
        }
        match error.kind() {
            ErrorKind::AuthenticationFailed => unfit("it accepts neither the user nor the password"),
            ErrorKind::RESP3NotSupported | ErrorKind::InvalidClientConfig => Self::Unfit(error.to_string()),
            ErrorKind::Server(_) | ErrorKind::Extension => Self::Refused(Refusal::of_error(error)),
            _ => Self::Lost(error.to_string()),
        }
    }

    /// What it says about the health of the journal, on the connection to `server`.
    pub(crate) fn fault(&self, server: &Address) -> Fault {
        let kind = match self {
            Self::Lost(_) => FaultKind::Unreachable,
            Self::Unfit(_) | Self::Refused(_) => FaultKind::Failing,
            Self::TimedOut => FaultKind::Stalled,
        };
        match self {
            Self::Refused(Refusal::Refused(fault)) => {
                Fault::new(fault.kind, format!("{server}: {}", fault.why))
            }
            _ => Fault::new(kind, format!("{server}: {self}")),
        }
    }
}

impl std::fmt::Display for LinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost(why) | Self::Unfit(why) => f.write_str(why),
            Self::TimedOut => write!(f, "no answer in time"),
            Self::Refused(Refusal::Refused(fault)) => f.write_str(&fault.why),
            Self::Refused(Refusal::Unknown(why)) => f.write_str(why),
            Self::Refused(Refusal::Resend(_)) => f.write_str("the partition is elsewhere"),
        }
    }
}

fn addr(address: &Address, transport: Transport) -> ConnectionAddr {
    match (address, transport) {
        (Address::Unix(path), _) => ConnectionAddr::Unix(path.clone()),
        (Address::Tcp { host, port }, Transport::Plain) => ConnectionAddr::Tcp(host.clone(), *port),
        (Address::Tcp { host, port }, Transport::Tls) => {
            // Another part of the process may have chosen one before; then that is the one.
            drop(rustls::crypto::ring::default_provider().install_default());
            ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
        }
    }
}

/// Without delay, and with probes: a network that is gone must not look like a quiet one.
fn tcp() -> TcpSettings {
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(5)).with_interval(Duration::from_secs(2));
    TcpSettings::default().set_nodelay(true).set_keepalive(keepalive)
}

fn settings(login: &Login, database: i64) -> RedisConnectionInfo {
    let mut settings = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP3)
        .set_lib_name("poll", env!("CARGO_PKG_VERSION"))
        .set_db(database);
    if let Some(user) = &login.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &login.password {
        settings = settings.set_password(password);
    }
    settings
}
