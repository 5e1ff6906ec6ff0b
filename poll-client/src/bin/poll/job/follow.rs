//! Follows a job: prints its steps until it ends.

use std::io::{self, Write};
use std::process::ExitCode;

use futures_util::TryStreamExt;
use poll_client::Progress;
use serde_json::json;

use crate::arguments::{Job, Server};
use crate::outcome::Done;

pub(super) async fn run(server: &Server, job: &Job) -> Done {
    let mut steps = server.client(job.retries)?.follow(&job.name);
    let (mut status, mut stdout) = (None, io::stdout().lock());
    loop {
        let step = tokio::select! {
            step = steps.try_next() => step?,
            () = crate::reader::gone() => return Ok(ExitCode::SUCCESS),
        };
        let Some(step) = step else { break };
        writeln!(stdout, "{}", if job.json { as_json(&step) } else { as_text(&step) })?;
        stdout.flush()?;
        status = step.status;
    }
    match status.as_deref() {
        Some("done") => Ok(ExitCode::SUCCESS),
        Some("failed") => Ok(ExitCode::FAILURE),
        _ => {
            crate::notices::say("the job has ended, and its last step is not retained");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn as_text(step: &Progress) -> String {
    let mut line = format!("{}/{} {:.0}%", step.step, step.total, step.percentage);
    for text in [&step.message, &step.status].into_iter().flatten() {
        line.push(' ');
        line.extend(text.chars().filter(|character| !character.is_control()));
    }
    line
}

fn as_json(step: &Progress) -> String {
    json!({
        "step": step.step,
        "total": step.total,
        "percentage": step.percentage,
        "message": step.message,
        "status": step.status,
        "timestamp": step.at.to_string(),
    })
    .to_string()
}
