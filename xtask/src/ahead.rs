//! Builds that run ahead of their steps, at the lowest priority, while the tests wait for clocks and sockets.
//!
//! Each is in a target folder of its own, so that it holds no lock that the tests need. What fails here is built again by
//! its step, which then says why.

use std::process::{Child, Command, Stdio};

/// Builds under way. They end with this value.
pub(crate) struct Ahead {
    builds: Vec<Child>,
}

impl Ahead {
    /// Begins all these builds. One that cannot begin is left to its step.
    pub(crate) fn begin(commands: impl IntoIterator<Item = Command>) -> Self {
        let builds = commands.into_iter().filter_map(|command| quietly(&command).spawn().ok());
        Self { builds: builds.collect() }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        for build in &mut self.builds {
            // Neither fails for a child of ours that nothing else waits for.
            let _ = build.kill();
            let _ = build.wait();
        }
    }
}

/// The same command on one processor, which yields to everything else and says nothing.
fn quietly(command: &Command) -> Command {
    let mut quiet = Command::new("nice");
    quiet.args(["-n", "19"]).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        quiet.current_dir(folder);
    }
    quiet.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    quiet.env("CARGO_BUILD_JOBS", "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet
}
