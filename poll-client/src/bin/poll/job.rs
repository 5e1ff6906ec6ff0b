//! `poll job`: runs a command and reports its progress as a job, or follows a job.

mod command;
mod follow;
mod report;
mod steps;

use crate::arguments::{Job, Server};
use crate::outcome::Done;

pub(crate) async fn run(server: &Server, job: &Job) -> Done {
    match job.command.split_first() {
        Some((program, arguments)) => {
            let client = server.client(None)?;
            command::run(&client, &job.name, program, arguments).await
        }
        None => follow::run(server, job).await,
    }
}
