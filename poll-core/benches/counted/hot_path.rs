//! The command line of a program that runs one hot path a given number of times, so that what it costs can be counted.
//!
//! `counted --list` names the paths, `counted PATH ROUNDS` runs one. Set-up costs the same however many rounds follow,
//! so the difference between twice as many rounds and once as many is the rounds alone: whoever counts needs no mark in
//! the program. Both crates' programs are built with this file; what the paths do is theirs, and counting is left to
//! `cargo xtask bench instructions`.

use std::process::ExitCode;

/// One way through the code that every delivery, question or publish takes.
pub(crate) struct HotPath {
    pub(crate) name: &'static str,
    /// How many rounds are enough for a steady figure.
    pub(crate) rounds: u64,
    /// What a round does how often: a wake of a hundred waiters is a hundred operations.
    pub(crate) operations: u64,
    /// Sets up, and does this many rounds.
    pub(crate) run: fn(u64),
}

/// Does what the command line says.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks on its own streams")]
pub(crate) fn run(paths: &[HotPath]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [flag] if flag == "--list" => {
            for path in paths {
                println!("{} {} {}", path.name, path.rounds, path.operations);
            }
        }
        [name, rounds] => {
            let path = paths.iter().find(|path| path.name == name);
            let (Some(path), Ok(rounds)) = (path, rounds.parse()) else {
                eprintln!("usage: counted --list | counted PATH ROUNDS");
                return ExitCode::FAILURE;
            };
            (path.run)(rounds);
        }
        // `cargo bench` asks for everything; there is nothing to time, so it is shown that each path still runs.
        _ => paths.iter().for_each(|path| (path.run)(1)),
    }
    ExitCode::SUCCESS
}
