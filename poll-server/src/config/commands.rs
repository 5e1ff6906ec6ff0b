//! The commands of the binary besides serving, for help and for faults.
//!
//! What: their names, and what each is for in a few words.
//! Why here: `--help` lists them, and a word that is none of them is a fault of the command line like any other.
//! Not here: what they do (`store_command.rs`), and their own help.

/// Each command's name and what it is for, in the order of `--help`.
pub(crate) const COMMANDS: &[(&str, &str)] = &[
    ("export", "write the store to standard output as lines of JSON"),
    ("import", "read such lines from standard input into a store"),
    ("check", "look through the whole store, and change nothing"),
    ("salvage", "write out what is whole of a damaged store"),
    ("doctor", "look at this machine and a proxy in front: do they suit the configuration?"),
    ("token", "print the token of a signed link: one right on one channel"),
    ("completions", "print a script that completes arguments in a shell"),
    ("man", "print a page of the manual"),
];

/// What a command is for, in a few words.
pub(crate) fn purpose(name: &str) -> &'static str {
    COMMANDS.iter().find(|(other, _)| *other == name).map_or("", |(_, what)| *what)
}

/// The list of `--help`.
pub(crate) fn list() -> String {
    let line = |(name, what): &(&str, &str)| format!("  poll-server {name:<13}{what}\n");
    COMMANDS.iter().map(line).collect()
}

/// The names, for a fault.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|(name, _)| *name)
}
