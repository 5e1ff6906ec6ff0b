//! What the project's own commands share: the workspace, the programs they call, and a real server as a child process.
//!
//! The commands themselves are `main.rs` and the crates `bench` and `torture` beside it. Holds no product code.
#![expect(clippy::print_stderr, reason = "a command line tool speaks on its own streams")]

pub mod columns;
pub mod history;
pub mod python;
pub mod server;
pub mod steps;
pub mod tools;
pub mod workspace;
