//! Steps that run one after another, and the summary of what they took.
//!
//! The first that fails ends the run; the summary is printed either way, so that the last lines of a log say where it
//! stopped.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// What ran so far.
#[derive(Default)]
pub struct Steps {
    done: Vec<(&'static str, Duration, Outcome)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
}

impl Steps {
    /// Runs one step under its name.
    pub fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        eprintln!("\n==> {name}");
        let start = Instant::now();
        let result = work();
        let outcome = if result.is_ok() { Outcome::Passed } else { Outcome::Failed };
        self.done.push((name, start.elapsed(), outcome));
        result.with_context(|| format!("step `{name}`"))
    }

    /// One line a step, and the sum.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        for (name, took, outcome) in &self.done {
            let word = if *outcome == Outcome::Passed { "passed" } else { "FAILED" };
            text.push_str(&format!("{word}  {:>7.1} s  {name}\n", took.as_secs_f64()));
        }
        let sum: Duration = self.done.iter().map(|(_, took, _)| *took).sum();
        let failed = self.done.iter().any(|(_, _, outcome)| *outcome == Outcome::Failed);
        let word = if failed { "FAILED" } else { "passed" };
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
        let error = steps.step("second", || anyhow::bail!("broken")).unwrap_err();
        assert_eq!(format!("{error:#}"), "step `second`: broken");
        let summary = steps.summary();
        assert!(summary.lines().any(|line| line.starts_with("passed") && line.ends_with("first")));
        assert!(summary.lines().any(|line| line.starts_with("FAILED") && line.ends_with("second")));
        assert!(summary.lines().last().unwrap().starts_with("FAILED"));
    }
}
