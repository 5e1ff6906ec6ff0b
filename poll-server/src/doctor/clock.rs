//! The clock: messages have its times, and their age is reckoned by it.

use std::process::Command;
use std::time::Duration;

use poll_core::Timestamp;
use poll_core::environment::Environment;
use tokio::time::Instant;

use super::finding::Finding;

/// What a slew does not reach while this runs, and a jump exceeds.
const JUMP: Duration = Duration::from_millis(250);
const SERVICE: &str = "run chrony or systemd-timesyncd";

/// Both clocks at the beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    time: Timestamp,
    instant: Instant,
}

impl Clock {
    pub(super) fn start(environment: &Environment) -> Self {
        Self { time: environment.now(), instant: Instant::now() }
    }

    /// Whether the time of day went on as time did.
    pub(super) fn jumped(self, environment: &Environment) -> Finding {
        judge(self.time, environment.now(), self.instant.elapsed())
    }
}

fn judge(before: Timestamp, after: Timestamp, passed: Duration) -> Finding {
    let expected = before.after(passed);
    let apart = Duration::from_micros(after.as_micros().abs_diff(expected.as_micros()));
    if apart < JUMP {
        return Finding::ok("clock", format!("went on evenly for {passed:.1?}"));
    }
    let direction = if after > expected { "ahead" } else { "back" };
    let change =
        format!("{SERVICE}, and let it slew the clock: after a step back messages are kept that much longer");
    Finding::warning("clock", format!("jumped {direction} by {apart:.1?} within {passed:.1?}"), change)
}

/// Whether the kernel's clock is synchronised, which systemd knows.
pub(super) fn synchronised() -> Finding {
    let asked = Command::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]).output();
    let said = asked.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    match said.as_deref() {
        Ok("yes") => Finding::ok("clock", "is synchronised"),
        Ok("no") => Finding::warning("clock", "is not synchronised", SERVICE),
        _ => {
            let what = "whether it is synchronised cannot be told without systemd";
            Finding::warning(
                "clock",
                what,
                "see that this machine, or the container's, runs chrony or the like",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_clock_that_does_not_keep_pace_has_jumped() {
        let start = Timestamp::from_millis(1_000_000);
        let second = Duration::from_secs(1);
        for (after, verdict, words) in [
            (1_001_000, Verdict::Fine, "evenly"),
            (1_001_100, Verdict::Fine, "evenly"),
            (1_061_000, Verdict::Warning, "ahead by 60.0s"),
            (941_000, Verdict::Warning, "back by 60.0s"),
        ] {
            let finding = judge(start, Timestamp::from_millis(after), second);
            assert_eq!(finding.verdict, verdict);
            assert!(finding.to_string().contains(words), "{finding}");
        }
    }
}
