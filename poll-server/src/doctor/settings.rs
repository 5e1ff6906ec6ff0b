//! The settings against the machine.

use super::finding::Finding;
use super::machine::Machine;
use crate::config::{Config, MaxSockets};
use crate::connection_limit::bound;
use crate::listen::BACKLOG;

/// Files that are neither connections nor worth a thought: the store's, the listeners, the log.
const FILES: u64 = 64;
/// Open files below which a server is small.
const FEW_FILES: u64 = 16_384;
/// What the program takes without messages and clients, at most.
const PROGRAM: u64 = 100 << 20;
/// What a waiting client takes, at most.
const WAITER: u64 = 2 << 10;

/// What looks like a mistake in the configuration and is none.
pub(super) fn warnings(config: &Config) -> Vec<Finding> {
    let warning = |what: &String| Finding::warning("settings", what, "mend or remove it");
    config.warnings.iter().map(warning).collect()
}

pub(super) fn check(machine: &Machine, config: &Config) -> Vec<Finding> {
    vec![
        files(machine, config),
        sockets(machine, config),
        queue(machine),
        memory(machine, config),
        workers(machine, config),
    ]
}

fn files(machine: &Machine, config: &Config) -> Finding {
    let raise =
        "raise LimitNOFILE= of the unit, --ulimit nofile= of the container, or ulimit -Hn of the shell";
    match (machine.files, config.limits.max_sockets) {
        (Some(files), MaxSockets::At(most)) if most.get() + FILES > files => Finding::fault(
            "open files",
            format!("--max-sockets {most} is more than the limit of {files} allows"),
            format!("{raise} above {}, or lower --max-sockets", most.get() + FILES),
        ),
        (Some(files), MaxSockets::Unlimited) => Finding::warning(
            "open files",
            format!("--max-sockets 0 is unlimited, the open files are not: {files}"),
            "leave --max-sockets out, and a tenth is kept for the store",
        ),
        (Some(files), _) if files < FEW_FILES => {
            Finding::warning("open files", format!("the limit is {files}"), format!("{raise} to 1048576"))
        }
        (Some(files), _) => Finding::ok("open files", format!("the limit is {files}")),
        (None, _) => Finding::ok("open files", "there is no limit"),
    }
}

fn sockets(machine: &Machine, config: &Config) -> Finding {
    let (sockets, waiting) = (bound(config.limits.max_sockets, machine.files), config.limits.max_connections);
    let sockets = u64::try_from(sockets).unwrap_or(u64::MAX);
    match waiting {
        Some(waiting) if waiting.get() > sockets => Finding::warning(
            "connections",
            format!("--max-connections {waiting} are more than the {sockets} connections that may be open"),
            "that needs HTTP/2 or a proxy that speaks it; else raise the open files or lower --max-connections",
        ),
        Some(waiting) => Finding::ok("connections", format!("{waiting} may wait")),
        None => Finding::ok("connections", "any number may wait"),
    }
}

fn queue(machine: &Machine) -> Finding {
    let wanted = u64::from(BACKLOG.unsigned_abs());
    match machine.somaxconn {
        Some(length) if length < wanted => Finding::warning(
            "somaxconn",
            format!("{length}: clients that reconnect at once are refused beyond that"),
            format!("sysctl -w net.core.somaxconn={wanted}"),
        ),
        Some(length) => Finding::ok("somaxconn", length.to_string()),
        None => Finding::ok("somaxconn", "this system has none"),
    }
}

fn memory(machine: &Machine, config: &Config) -> Finding {
    let (retained, beside) = (config.retention.bytes, config.memory_bytes);
    let unlimited = [(retained, "--retain-bytes"), (beside, "--memory-bytes")];
    if let Some((_, flag)) = unlimited.into_iter().find(|(bytes, _)| *bytes == 0) {
        let what = format!("{flag} 0 is unlimited, the machine's memory is not");
        return Finding::warning("memory", what, format!("give {flag} a number"));
    }
    let waiting = config.limits.max_connections.map_or(0, |waiting| waiting.get().saturating_mul(WAITER));
    let needed = [retained, beside, waiting, PROGRAM].into_iter().fold(0, u64::saturating_add);
    let Some(memory) = machine.memory else {
        return Finding::ok("memory", format!("up to {}; what there is cannot be told", mebibytes(needed)));
    };
    let what = format!(
        "up to {} of {}: --retain-bytes {}, --memory-bytes {}, {} for waiting clients",
        mebibytes(needed),
        mebibytes(memory),
        mebibytes(retained),
        mebibytes(beside),
        mebibytes(waiting)
    );
    let change = "lower --retain-bytes or --max-connections";
    if needed > memory {
        Finding::fault("memory", what, format!("{change}, or the system ends the server when they are full"))
    } else if needed > memory / 4 * 3 {
        Finding::warning("memory", what, format!("{change}: the kernel needs memory for sockets as well"))
    } else {
        Finding::ok("memory", what)
    }
}

fn workers(machine: &Machine, config: &Config) -> Finding {
    let workers = config.workers.get();
    match machine.cores {
        Some(cores) if workers > cores => Finding::warning(
            "workers",
            format!("{workers} on {cores} cores only switch"),
            format!("--workers {cores}, or leave it out"),
        ),
        Some(cores) => Finding::ok("workers", format!("{workers} on {cores} cores")),
        None => Finding::ok("workers", workers.to_string()),
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Given, Start};
    use crate::doctor::Verdict::{self, Fault, Fine, Warning};

    const MACHINE: Machine =
        Machine { files: Some(1 << 20), somaxconn: Some(4_096), memory: Some(8 << 30), cores: Some(4) };

    fn config(arguments: &[&str]) -> Config {
        let arguments = arguments.iter().map(Into::into).collect();
        let workers = |name: &str| (name == "POLL_WORKERS").then(|| "4".into());
        let file = |_: &std::path::Path| Ok(String::new());
        let given = Given { arguments, variable: &workers, variables: Vec::new(), file: &file };
        match Config::read(&given) {
            Ok(Start::Serve(config)) => *config,
            other => panic!("{other:?}"),
        }
    }

    fn verdicts(machine: Machine, arguments: &[&str]) -> Vec<Verdict> {
        check(&machine, &config(arguments)).iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn what_suits_is_ok_and_what_does_not_is_told_in_its_line() {
        let few = Machine { files: Some(4_096), ..MACHINE };
        let small = Machine { memory: Some(1 << 30), ..MACHINE };
        let short = Machine { somaxconn: Some(128), ..MACHINE };
        for (machine, arguments, expected) in [
            (MACHINE, &[][..], [Fine; 5]),
            (few, &[], [Warning, Warning, Fine, Fine, Fine]),
            (few, &["--max-sockets", "4090"], [Fault, Warning, Fine, Fine, Fine]),
            (MACHINE, &["--max-sockets", "0"], [Warning, Fine, Fine, Fine, Fine]),
            (MACHINE, &["--max-sockets", "1000"], [Fine, Warning, Fine, Fine, Fine]),
            (short, &[], [Fine, Fine, Warning, Fine, Fine]),
            (small, &[], [Fine, Fine, Fine, Fault, Fine]),
            (MACHINE, &["--retain-bytes", "6GiB"], [Fine, Fine, Fine, Warning, Fine]),
            (MACHINE, &["--retain-bytes", "0"], [Fine, Fine, Fine, Warning, Fine]),
            (MACHINE, &["--memory-bytes", "0"], [Fine, Fine, Fine, Warning, Fine]),
            (MACHINE, &["--workers", "8"], [Fine, Fine, Fine, Fine, Warning]),
        ] {
            assert_eq!(verdicts(machine, arguments), expected, "{machine:?} {arguments:?}");
        }
    }

    #[test]
    fn a_machine_that_says_nothing_is_no_fault() {
        let unknown = Machine { files: None, somaxconn: None, memory: None, cores: None };
        assert_eq!(verdicts(unknown, &[]), [Fine; 5]);
    }
}
