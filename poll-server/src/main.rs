//! The poll server's binary: configuration, logs, runtime, listeners, run, exit.
//!
//! What: the order of a start, and the exit code of each failure. Not here: everything else (`lib.rs`).

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use poll_core::environment::Environment;
use poll_server::config::{Config, Fault, Given, Reread, Start};
use poll_server::listen::{BindError, Inherited, Listener};
use poll_server::{
    Doctor, Ended, ManualCommand, Outcome, Shutdown, StoreCommand, TokenCommand, Verdict, listen, logs, run,
};

/// A waiter costs an eighth less than with the system's allocator.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[cfg(all(feature = "mimalloc", not(feature = "jemalloc")))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// EX_USAGE of sysexits(3).
const BAD_CONFIGURATION: u8 = 64;
/// What was looked at is not as it should be: the store is damaged, or something does not suit the server.
const FOUND: u8 = 2;

fn main() -> ExitCode {
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let command = StoreCommand::named(arguments.first());
    if let Some(command) = command {
        arguments.remove(0);
        if let Some(help) = command.help(&arguments) {
            return say(&help);
        }
    }
    if TokenCommand::is_named(arguments.first()) {
        arguments.remove(0);
        return print_token(arguments);
    }
    let doctor = match Doctor::take(&mut arguments) {
        Ok(doctor) => doctor,
        Err(fault) => return give_up(BAD_CONFIGURATION, &[fault]),
    };
    if let Some(doctor) = doctor {
        return Doctor::help(&arguments).map_or_else(|| examine(&doctor, arguments), |help| say(&help));
    }
    if let Some(command) = ManualCommand::named(arguments.first()) {
        return match command.run(arguments.into_iter().skip(1)) {
            Ok(text) => say(&text),
            Err(fault) => give_up(BAD_CONFIGURATION, &[fault]),
        };
    }
    let mut config = match read(arguments.clone()) {
        Ok(Start::Serve(config)) => *config,
        Ok(Start::Say(text)) => return say(&text),
        Err(faults) => return give_up(BAD_CONFIGURATION, &faults),
    };
    config.reread = Some(Reread::new(move || match read(arguments.clone())? {
        Start::Serve(config) => Ok(*config),
        Start::Say(_) => Err(Vec::new()),
    }));
    logs::start(&config);
    logs::warn(&config);
    if let Some(command) = command {
        return match command.run(&config, std::io::stdin().lock(), std::io::stdout().lock()) {
            Ok(Outcome::Moved(moved)) => {
                command.log(moved);
                ExitCode::SUCCESS
            }
            Ok(Outcome::Whole) => ExitCode::SUCCESS,
            Ok(Outcome::Damaged) => ExitCode::from(FOUND),
            Err(error) => give_up(1, &[error]),
        };
    }
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(serve(config)),
        Err(error) => give_up(1, &[format!("cannot start: {error}")]),
    }
}

/// The configuration, as flags, environment and file have it now.
fn read(arguments: Vec<OsString>) -> Result<Start, Vec<Fault>> {
    let variable = |name: &str| std::env::var_os(name);
    let variables = std::env::vars_os().map(|(name, _)| name).collect();
    // Not what can be read only once: all files are read again on SIGHUP.
    let file = |path: &Path| Environment::system().read_file(path);
    Config::read(&Given { arguments, variable: &variable, variables, file: &file })
}

fn print_token(arguments: Vec<OsString>) -> ExitCode {
    // It is read once, so a key may come through a pipe.
    let file = |path: &Path| std::fs::read_to_string(path);
    match TokenCommand::run(arguments, Environment::system().now(), &file) {
        Ok(TokenCommand::Print(token)) => say(&format!("{token}\n")),
        Ok(TokenCommand::Help(text)) => say(&text),
        Err(fault) => give_up(BAD_CONFIGURATION, &[fault]),
    }
}

fn examine(doctor: &Doctor, arguments: Vec<OsString>) -> ExitCode {
    let config = match read(arguments) {
        Ok(Start::Serve(config)) => config,
        Ok(Start::Say(text)) => return say(&text),
        Err(faults) => return give_up(BAD_CONFIGURATION, &faults),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let examined = runtime.and_then(|runtime| {
        runtime.block_on(doctor.run(&Environment::system(), &config, &mut std::io::stdout().lock()))
    });
    match examined {
        Ok(Verdict::Fault) => ExitCode::from(FOUND),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => give_up(1, &[error]),
    }
}

async fn serve(config: Config) -> ExitCode {
    let shutdown = match Shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => return give_up(1, &[format!("cannot listen to signals: {error}")]),
    };
    let inherited = match Inherited::from_environment() {
        Ok(inherited) => inherited,
        Err(error) => return give_up(1, &[format!("cannot use a socket that was handed over: {error}")]),
    };
    let listeners = match bind(&config, inherited) {
        Ok(listeners) => listeners,
        Err(error) => return give_up(1, &[error]),
    };
    match run(Environment::system(), config, listeners, shutdown).await {
        Ok(Ended::Drained { cut: 0 }) => tracing::info!("drained: everyone was answered"),
        Ok(Ended::Drained { cut }) => tracing::warn!(cut, "drained: {cut} connections were cut"),
        // After a second signal nothing may delay the exit, not even a destructor.
        Ok(Ended::AtOnce) => std::process::exit(1),
        Err(error) => return give_up(1, &[error]),
    }
    ExitCode::SUCCESS
}

/// Inherited sockets stand for `--listen`, but for those whose address is for something else.
fn bind(config: &Config, mut inherited: Inherited) -> Result<Vec<Listener>, BindError> {
    let stall = config.wire.stall;
    let administering = inherited.take_or_bind(&config.trust.admin.listen, stall)?;
    let redirecting = inherited.take_or_bind(&config.redirect_listen, stall)?;
    let mut listeners = inherited.take_all(stall)?;
    if listeners.is_empty() {
        listeners = listen::bind(&config.listen, stall)?;
    }
    listeners.extend(administering.into_iter().map(Listener::administering));
    listeners.extend(redirecting.into_iter().map(Listener::redirecting));
    Ok(listeners)
}

fn say(text: &str) -> ExitCode {
    let _closed = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn give_up<T: Display>(code: u8, faults: &[T]) -> ExitCode {
    for fault in faults {
        let _closed = writeln!(std::io::stderr(), "poll-server: {fault}");
    }
    ExitCode::from(code)
}
