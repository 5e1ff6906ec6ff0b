//! Listening sockets, with every option set deliberately.
//!
//! What: binds the configured addresses, or takes over the sockets that a supervisor such as systemd listens on.
//! Why: accepted sockets inherit their listener's options (Linux, BSD), which saves six system calls a connection; a test
//! checks accepted sockets.
//! Not here: accepting (`accept.rs`). No `SO_REUSEPORT`: it would hide that a port is in use, and reset the connections in
//! the queue of a listener that closes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use listenfd::ListenFd;
#[cfg(target_os = "linux")]
use socket2::SockFilter;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};

use crate::in_process::{self, Backlog, Dialer};

/// Connections that may wait to be accepted; the kernel lowers it to its own maximum (`somaxconn`).
/// A reconnecting crowd after a restart comes faster than one thread accepts.
pub(crate) const BACKLOG: i32 = 4_096;

/// How long a connection may be idle before the kernel probes whether the peer is still there…
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// … the time between two probes…
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// … and how many there are: a peer behind a dead link is noticed after 10 + 3 × 5 seconds.
const KEEPALIVE_PROBES: u32 = 3;

/// How much the kernel buffers beyond what it has sent, in bytes. By default that is megabytes, and a full socket accepts
/// nothing before a third of them has left: a reader of 10 kB a second then looks like a stalled one.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 64 * 1024;

/// Drops segments that would open a connection, those with SYN and without ACK, and accepts all others. As classic BPF over
/// the TCP header, which is what a filter of a TCP socket sees.
#[cfg(target_os = "linux")]
const NO_HANDSHAKES: [SockFilter; 5] = {
    // Operations by their names in linux/bpf_common.h.
    const LD_B_ABS: u16 = 0x30;
    const AND_K: u16 = 0x54;
    const JEQ_K: u16 = 0x15;
    const RET_K: u16 = 0x06;
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    [
        SockFilter::new(LD_B_ABS, 0, 0, FLAGS),
        SockFilter::new(AND_K, 0, 0, SYN | ACK),
        SockFilter::new(JEQ_K, 0, 1, SYN),
        SockFilter::new(RET_K, 0, 0, 0),
        SockFilter::new(RET_K, 0, 0, u32::MAX),
    ]
};

/// What connections are accepted from.
#[derive(Debug)]
pub struct Listener {
    pub(crate) source: Source,
    address: SocketAddr,
    role: Role,
}

/// Sockets that a supervisor listens on and has handed to this process (systemd's `sd_listen_fds(3)`). It keeps them open,
/// so that connections wait while the process is replaced.
#[derive(Debug, Default)]
pub struct Inherited(Vec<std::net::TcpListener>);

/// What is served on the connections of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Everything, over TLS where there are certificates.
    Serve,
    /// Administration and health, the same way.
    Administer,
    /// Redirects to https, without TLS.
    Redirect,
}

#[derive(Debug)]
pub(crate) enum Source {
    /// A bound, listening, non-blocking socket.
    Tcp(std::net::TcpListener),
    /// One that others listen on as well.
    Inherited(std::net::TcpListener),
    InProcess(Backlog),
}

impl Listener {
    /// A listener for connections within the process, which has no socket. `address` is what it calls itself.
    #[must_use]
    pub fn in_process(address: SocketAddr) -> (Self, Dialer) {
        let (dialer, backlog) = in_process::pair();
        (Self { source: Source::InProcess(backlog), address, role: Role::Serve }, dialer)
    }

    /// The same, but its connections are not encrypted, and every request is redirected to https.
    #[must_use]
    pub fn redirecting(self) -> Self {
        Self { role: Role::Redirect, ..self }
    }

    /// The same, but its connections reach administration and health alone.
    #[must_use]
    pub fn administering(self) -> Self {
        Self { role: Role::Administer, ..self }
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// The address in force, with the real port where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Inherited {
    /// Those that the environment names for this process (`LISTEN_PID`, `LISTEN_FDS`).
    ///
    /// # Errors
    /// If one of them is no listening TCP socket.
    pub fn from_environment() -> io::Result<Self> {
        let mut given = ListenFd::from_env();
        let mut sockets = Vec::with_capacity(given.len());
        for index in 0..given.len() {
            sockets.extend(given.take_tcp_listener(index)?);
        }
        Ok(Self(sockets))
    }

    /// Listens on all `addresses`: on the socket handed over for it, or else on one that is bound now.
    ///
    /// # Errors
    /// The first address that cannot be had.
    pub fn take_or_bind(
        &mut self,
        addresses: &[SocketAddr],
        stall: Duration,
    ) -> Result<Vec<Listener>, BindError> {
        let is_given = |socket: &std::net::TcpListener| {
            socket.local_addr().is_ok_and(|address| addresses.contains(&address))
        };
        let (given, rest) = std::mem::take(&mut self.0).into_iter().partition(is_given);
        self.0 = rest;
        let mut listeners = Self(given).take_all(stall)?;
        let is_missing = |address: &&SocketAddr| !listeners.iter().any(|taken| taken.address == **address);
        let missing: Vec<_> = addresses.iter().filter(is_missing).copied().collect();
        listeners.extend(bind(&missing, stall)?);
        Ok(listeners)
    }

    /// Listens on all that are left.
    ///
    /// # Errors
    /// The first that cannot be listened on.
    pub fn take_all(self, stall: Duration) -> Result<Vec<Listener>, BindError> {
        self.0.into_iter().map(|socket| take_over(socket, stall)).collect()
    }
}

fn take_over(socket: std::net::TcpListener, stall: Duration) -> Result<Listener, BindError> {
    let address = socket.local_addr().unwrap_or_else(|_| SocketAddr::from(([0; 4], 0)));
    let adopt = || {
        let socket = Socket::from(socket);
        set_connection_options(&socket, stall)?;
        socket.set_nonblocking(true)?;
        Ok(Listener { source: Source::Inherited(socket.into()), address, role: Role::Serve })
    };
    adopt().map_err(|source| BindError { address, source })
}

/// Why an address cannot be listened on, as one line.
#[derive(Debug)]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { address, source } = self;
        write!(f, "cannot listen on {address}: ")?;
        match source.kind() {
            io::ErrorKind::AddrInUse => write!(f, "the port is in use; choose another with --listen IP:PORT"),
            io::ErrorKind::AddrNotAvailable => {
                write!(f, "this machine has no such address; choose another with --listen IP:PORT")
            }
            io::ErrorKind::PermissionDenied => {
                write!(f, "permission denied; choose a port above 1023 with --listen IP:PORT")
            }
            _ => write!(f, "{source}"),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Binds all addresses, or none.
///
/// `stall` is how long sent bytes may stay unacknowledged before the kernel gives the connection up.
///
/// # Errors
/// The first address that cannot be had.
pub fn bind(addresses: &[SocketAddr], stall: Duration) -> Result<Vec<Listener>, BindError> {
    let one = |&address: &SocketAddr| {
        // `[::]` accepts IPv4 too unless IPv4's own wildcard is listed for that port.
        let rival = |other: &SocketAddr| {
            other.is_ipv4() && other.ip().is_unspecified() && other.port() == address.port()
        };
        let families =
            if addresses.iter().any(rival) { Families::OnlyItsOwn } else { Families::BothIfWildcard };
        listen(address, families, stall).map_err(|source| BindError { address, source })
    };
    addresses.iter().map(one).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Families {
    OnlyItsOwn,
    BothIfWildcard,
}

fn listen(address: SocketAddr, families: Families, stall: Duration) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(families == Families::OnlyItsOwn)?;
    }
    // A restart must not wait for the old process's closed connections to be forgotten.
    socket.set_reuse_address(true)?;
    set_connection_options(&socket, stall)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let socket = std::net::TcpListener::from(socket);
    let address = socket.local_addr()?;
    Ok(Listener { source: Source::Tcp(socket), address, role: Role::Serve })
}

/// Drops new handshakes on this listening socket. Connections whose handshake has begun are completed and can be accepted.
///
/// Otherwise, closing a listener would reset the connections that came after the last accept. The kernel of a peer whose
/// handshake was dropped tries again a second later, and is refused by then.
#[cfg(target_os = "linux")]
pub(crate) fn drop_handshakes(listener: &SockRef<'_>) -> io::Result<()> {
    listener.attach_filter(&NO_HANDSHAKES)
}

/// On systems without it, connections that arrive after the last accept are reset.
#[cfg(not(target_os = "linux"))]
pub(crate) fn drop_handshakes(_: &SockRef<'_>) -> io::Result<()> {
    Ok(())
}

/// What accepted sockets inherit.
fn set_connection_options(socket: &Socket, stall: Duration) -> io::Result<()> {
    // An answer is written once and whole: waiting for more to send with it only adds latency.
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(stall))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(UNSENT)?;
    #[cfg(not(target_os = "linux"))]
    let _only_linux_has_it = stall;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_sockets_carry_the_options_of_their_listener() {
        let loopback = "127.0.0.1:0".parse().unwrap();
        let listener = bind(&[loopback], Duration::from_secs(30)).unwrap().remove(0);
        let Source::Tcp(socket) = &listener.source else { panic!("{listener:?}") };
        socket.set_nonblocking(false).unwrap();
        let _client = std::net::TcpStream::connect(listener.address()).unwrap();
        let (accepted, _) = socket.accept().unwrap();
        let accepted = Socket::from(accepted);
        assert!(accepted.tcp_nodelay().unwrap());
        assert!(accepted.keepalive().unwrap());
        assert_eq!(accepted.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
        assert_eq!(accepted.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
        assert_eq!(accepted.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
        assert_eq!(accepted.tcp_user_timeout().unwrap(), Some(Duration::from_secs(30)));
        #[cfg(target_os = "linux")]
        assert_eq!(accepted.tcp_notsent_lowat().unwrap(), UNSENT);
    }

    #[test]
    fn both_wildcards_on_one_port_do_not_collide() {
        let free = bind(&["0.0.0.0:0".parse().unwrap()], Duration::from_secs(1)).unwrap().remove(0);
        let port = free.address().port();
        drop(free);
        let both = [SocketAddr::new([0; 4].into(), port), SocketAddr::new([0; 16].into(), port)];
        match bind(&both, Duration::from_secs(1)) {
            Ok(listeners) => assert_eq!(listeners.len(), 2),
            Err(error) => assert_ne!(error.source.kind(), io::ErrorKind::AddrInUse, "{error}"),
        }
    }
}
