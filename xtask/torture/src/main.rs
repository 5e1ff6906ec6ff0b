//! The program of `cargo xtask torture`; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    xtask_torture::main()
}
