//! Steps that run one after another, and the summary of what they took.
//!
//! The first that fails ends the run; a step that cannot run here says why and is skipped. The summary is printed in any
//! case, so that the last lines of a log say where it stopped.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// What ran so far.
#[derive(Default)]
pub struct Steps {
    done: Vec<(&'static str, Duration, Outcome)>,
}

#[derive(PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    Skipped(String),
}

/// The error of a step that cannot run on this machine, and why.
#[derive(Debug)]
pub struct Skip(pub String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

impl Steps {
    /// Runs one step under its name.
    pub fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        eprintln!("\n==> {name}");
        let start = Instant::now();
        let result = work();
        let skipped = result.as_ref().err().and_then(|error| error.downcast_ref::<Skip>());
        let outcome = match (&result, skipped) {
            (Ok(()), _) => Outcome::Passed,
            (_, Some(Skip(why))) => Outcome::Skipped(why.clone()),
            _ => Outcome::Failed,
        };
        let result = if matches!(outcome, Outcome::Skipped(_)) { Ok(()) } else { result };
        self.done.push((name, start.elapsed(), outcome));
        result.with_context(|| format!("step `{name}`"))
    }

    /// One line a step, and the sum.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        for (name, took, outcome) in &self.done {
            let (word, why) = match outcome {
                Outcome::Passed => ("passed ", String::new()),
                Outcome::Failed => ("FAILED ", String::new()),
                Outcome::Skipped(why) => ("skipped", format!(": {why}")),
            };
            text.push_str(&format!("{word}  {:>7.1} s  {name}{why}\n", took.as_secs_f64()));
        }
        let sum: Duration = self.done.iter().map(|(_, took, _)| *took).sum();
        let failed = self.done.iter().any(|(_, _, outcome)| *outcome == Outcome::Failed);
        let word = if failed { "FAILED " } else { "passed " };
        text.push_str(&format!("{word}  {:>7.1} s  in all", sum.as_secs_f64()));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_the_step_that_failed() {
        let mut steps = Steps::default();
        steps.step("first", || Ok(())).unwrap();
        steps.step("skipped", || Err(Skip("there is no `x`".to_owned()).into())).unwrap();
        let error = steps.step("second", || anyhow::bail!("broken")).unwrap_err();
        assert_eq!(format!("{error:#}"), "step `second`: broken");
        let summary = steps.summary();
        assert!(summary.lines().any(|line| line.starts_with("passed") && line.ends_with("first")));
        assert!(summary.lines().any(|line| line.starts_with("skipped") && line.ends_with("there is no `x`")));
        assert!(summary.lines().any(|line| line.starts_with("FAILED") && line.ends_with("second")));
        assert!(summary.lines().last().unwrap().starts_with("FAILED"));
    }
}
