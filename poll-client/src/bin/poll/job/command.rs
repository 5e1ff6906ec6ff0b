//! Runs a command: passes its output on, reads steps from it, and ends the job as it ends.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::process::{ExitCode, ExitStatus, Stdio};

use poll_client::{ChannelName, Client, Step};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::report::{self, State};
use super::steps::Output;
use crate::notices::Connection;
use crate::outcome::Done;

/// What a shell exits with when it cannot run a command: not found, or not executable.
const NOT_FOUND: u8 = 127;
const NOT_RUN: u8 = 126;

pub(super) async fn run(client: &Client, job: &ChannelName, program: &OsStr, arguments: &[OsString]) -> Done {
    let name = program.to_string_lossy();
    let first = Step { step: 0, total: 1, message: Some(format!("running {name}")), status: None };
    let connection = Connection::default();
    let begun = report::begin(client, job, &first, &connection).await?;
    let (states, watched) = watch::channel(State::Running(first));
    let work = async {
        let end = match start(program, arguments) {
            Ok(mut child) => End::of(watch_over(&mut child, &states).await?),
            Err(error) => {
                crate::notices::say(&format!("cannot run {name}: {error}"));
                let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUN };
                End { code, why: Some(format!("cannot run {name}: {error}")) }
            }
        };
        let code = end.code;
        states.send_modify(|state| *state = state.ended(end.why));
        Ok::<_, io::Error>(code)
    };
    let (code, ()) = tokio::join!(work, report::report(client, job, begun, watched, &connection));
    Ok(ExitCode::from(code?))
}

/// How a command ended.
struct End {
    /// What a shell would exit with.
    code: u8,
    /// Why it failed.
    why: Option<String>,
}

impl End {
    fn of(status: ExitStatus) -> Self {
        #[cfg(unix)]
        if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
            let code = u8::try_from(128 + signal).unwrap_or(u8::MAX);
            return Self { code, why: Some(format!("ended by signal {signal}")) };
        }
        let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX);
        let why = (!status.success()).then(|| format!("ended with status {code}"));
        Self { code, why }
    }
}

fn start(program: &OsStr, arguments: &[OsString]) -> io::Result<Child> {
    Command::new(program).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

/// Until the command has ended and all it printed is passed on.
async fn watch_over(child: &mut Child, states: &watch::Sender<State>) -> io::Result<ExitStatus> {
    let (stdout, stderr, signals) = (child.stdout.take(), child.stderr.take(), signals::forward(child.id()));
    let over = async {
        let copies =
            (pass_on(stdout, io::stdout(), states), pass_on(stderr, io::stderr(), states), child.wait());
        let (_, _, status) = tokio::join!(copies.0, copies.1, copies.2);
        status
    };
    tokio::select! {
        status = over => status,
        never = signals => match never {},
    }
}

/// Copies output as it arrives. When the copy has no reader any more, the pipe is closed, and the command notices at its
/// next write.
async fn pass_on<R: AsyncRead + Unpin>(from: Option<R>, mut to: impl Write, states: &watch::Sender<State>) {
    let Some(mut from) = from else { return };
    let (mut output, mut piece) = (Output::default(), vec![0; 16 * 1024]);
    let show = |step: Option<Step>| {
        if let Some(step) = step {
            states.send_replace(State::Running(step));
        }
    };
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        if to.write_all(&piece[..length]).and_then(|()| to.flush()).is_err() {
            return;
        }
        show(output.feed(&piece[..length]));
    }
    show(output.finish());
}

#[cfg(unix)]
mod signals {
    //! A command at a terminal gets its interrupts from the terminal, as this program does, which outlives them to report
    //! how the command ended. Other requests to end come to this program alone, and are handed on.

    use std::convert::Infallible;

    use rustix::process::{Pid, Signal, kill_process};
    use tokio::signal::unix::{SignalKind, signal};

    pub(super) async fn forward(process: Option<u32>) -> Infallible {
        let process = process.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let (Ok(mut interrupts), Ok(mut ends), Ok(mut hangups)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()))
        else {
            return std::future::pending().await;
        };
        loop {
            let signal = tokio::select! {
                _ = interrupts.recv() => continue,
                _ = ends.recv() => Signal::TERM,
                _ = hangups.recv() => Signal::HUP,
            };
            if let Some(process) = process {
                // It may just have ended.
                let _ended = kill_process(process, signal);
            }
        }
    }
}

#[cfg(not(unix))]
mod signals {
    //! Interrupts go to all programs of a terminal. This one outlives them to report how the command ended.

    use std::convert::Infallible;

    pub(super) async fn forward(_: Option<u32>) -> Infallible {
        loop {
            if tokio::signal::ctrl_c().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}
