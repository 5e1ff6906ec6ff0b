//! The project's own commands, run as `cargo xtask <command>`.
//!
//! The build tool is code of the project, so that it needs nothing but a Rust toolchain and is read, linted and tested
//! like the rest. It drives the other crates as programs and holds no product code.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool speaks on its own streams"
)]

mod ahead;
mod ci;
mod demo;
mod features;
mod fences;
mod fuzz;
mod js;
mod lint;
mod nightly;
mod openapi;
mod package;
mod page;
mod programs;
mod proxies;
mod release;
mod sse;
mod streams;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The project's own commands")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a server, run every pattern side by side for some seconds, and compare them
    Demo(demo::Demo),
    /// Run every test, after installing what the tests need
    Test(test::Test),
    /// Run everything that continuous integration runs
    Ci(ci::Ci),
    /// Run what needs another toolchain, a network or hours
    Nightly(nightly::Nightly),
    /// Check the rules of the house: sizes, names, crate directions, paths and examples in the documents
    Tidy(tidy::Tidy),
    /// Publish at the edge of every wait of a real server and prove that nothing is lost or doubled
    #[command(disable_help_flag = true)]
    Torture(programs::Arguments),
    /// Simulate a server, its disk, its network, its clock and its clients, with all that can go wrong
    #[command(disable_help_flag = true)]
    Simulate(programs::Arguments),
    /// Run the fuzz targets
    Fuzz(fuzz::Fuzz),
    /// Build the JavaScript client into the file that the server serves, or test it
    Js(js::Js),
    /// Have redbot look at one resource of each kind: HTTP and its rules of caching
    Lint(lint::Lint),
    /// Check the OpenAPI document, and a server by it
    Openapi(openapi::OpenApi),
    /// Make the pictures of the live page that the documents show
    Screenshots(page::Screenshots),
    /// Follow a server over restarts with clients for server-sent events that are not ours
    Sse(sse::Sse),
    /// Run the conformance suite of the Durable Streams protocol against a server
    Streams(streams::Streams),
    /// Build the Debian package, and take it through a life in a Debian system of its own
    Package(package::Package),
    /// Put a server behind six proxies: how much later things come, and whether anything is cut or gives up
    Proxies(proxies::Proxies),
    /// Measure what a delivery costs, beside other servers in the same run
    #[command(disable_help_flag = true)]
    Bench(programs::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Demo(demo) => demo.run(),
        Command::Test(test) => test.run(),
        Command::Ci(ci) => ci.run(),
        Command::Nightly(nightly) => nightly.run(),
        Command::Tidy(tidy) => tidy.run(),
        Command::Torture(arguments) => programs::torture(&arguments.words),
        Command::Simulate(arguments) => programs::simulate(&arguments.words),
        Command::Fuzz(fuzz) => fuzz.run(),
        Command::Js(js) => js.run(),
        Command::Lint(lint) => lint.run(),
        Command::Openapi(openapi) => openapi.run(),
        Command::Screenshots(screenshots) => screenshots.run(),
        Command::Sse(sse) => sse.run(),
        Command::Streams(streams) => streams.run(),
        Command::Package(package) => package.run(),
        Command::Proxies(proxies) => proxies.run(),
        Command::Bench(arguments) => programs::bench(&arguments.words),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
