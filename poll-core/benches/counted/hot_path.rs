//! Counts the instructions of hot paths, by running each under callgrind for some rounds and for twice as many.
//!
//! Set-up costs the same however many rounds follow, so the difference is the rounds alone. Counts are exact where times
//! differ from run to run, and say nothing about the kernel, caches and waiting. Both crates' programs are built with this
//! file; what the paths do is theirs.

use std::process::{Command, Stdio};

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

/// Prints what an operation of each path costs, or of those with the argument in their name. The program calls itself
/// with `PATH ROUNDS`.
#[expect(clippy::print_stdout, reason = "a program speaks on its own streams")]
pub(crate) fn run(paths: &[HotPath]) {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [name, rounds] = &arguments[..] {
        let path = paths.iter().find(|path| path.name == name).expect("a path of this program");
        return (path.run)(rounds.parse().expect("a number of rounds"));
    }
    for path in paths.iter().filter(|path| arguments.iter().all(|part| path.name.contains(part))) {
        let rounds = instructions(path, 2 * path.rounds) - instructions(path, path.rounds);
        println!("{:<24} {:>9} instructions", path.name, rounds / (path.rounds * path.operations));
    }
}

fn instructions(path: &HotPath, rounds: u64) -> u64 {
    let program = std::env::current_exe().expect("this program is a file");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    let output = valgrind.args([path.name, &rounds.to_string()]).stdin(Stdio::null()).output();
    let output = output.expect("valgrind is installed");
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}");
    // `==1== Collected : 100756165`
    let count = report.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    count.expect("callgrind's summary")
}
