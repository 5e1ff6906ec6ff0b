//! Reports steps to the server, the newest first: a command that prints faster than the server answers is not slowed.

use poll_client::backoff::{Backoff, BackoffSettings};
use poll_client::{ChannelName, Client, Step};
use tokio::sync::watch;

use crate::notices::{self, Connection};

/// How often the last step is tried.
const LAST_TRIES: u32 = 5;

/// Where a running command is.
#[derive(Debug, Clone)]
pub(super) enum State {
    Running(Step),
    Over(Step),
}

impl State {
    /// After the command has ended, for the reason given if it failed.
    pub(super) fn ended(&self, why: Option<String>) -> Self {
        let (Self::Running(Step { step, total, message, .. })
        | Self::Over(Step { step, total, message, .. })) = self;
        Self::Over(match why {
            None => Step {
                step: *total,
                total: *total,
                message: message.clone().filter(|_| *step > 0),
                status: Some("done".to_owned()),
            },
            Some(why) => {
                Step { step: *step, total: *total, message: Some(why), status: Some("failed".to_owned()) }
            }
        })
    }
}

/// What became of the first step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    Reported,
    /// The server could not be reached.
    Due,
}

/// Reports the first step. Only a server that answers no keeps the command from running.
pub(super) async fn begin(
    client: &Client,
    job: &ChannelName,
    step: &Step,
    connection: &Connection,
) -> Result<First, Box<dyn std::error::Error>> {
    match client.report(job, step).await {
        Ok(()) => Ok(First::Reported),
        Err(error) if error.is_transient() => {
            connection.failed(&error);
            Ok(First::Due)
        }
        Err(error) if error.status() == Some(409) => {
            Err(format!("the job {job} has ended; give this one another name").into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Reports until the state is over and reported. What fails is said, and the command goes on.
pub(super) async fn report(
    client: &Client,
    job: &ChannelName,
    first: First,
    mut states: watch::Receiver<State>,
    connection: &Connection,
) {
    if first == First::Reported && states.changed().await.is_err() {
        return;
    }
    let mut backoff = Backoff::new(BackoffSettings::default());
    let mut last_tries = 0;
    loop {
        let state = states.borrow_and_update().clone();
        let (step, is_over) = match &state {
            State::Running(step) => (step, false),
            State::Over(step) => (step, true),
        };
        match client.report(job, step).await {
            Ok(()) => {
                connection.recovered();
                backoff.reset();
                if is_over || states.changed().await.is_err() {
                    return;
                }
            }
            // The one before had no answer and ended the job all the same.
            Err(error) if last_tries > 0 && error.status() == Some(409) => return,
            Err(error) if error.is_transient() && last_tries < LAST_TRIES => {
                connection.failed(&error);
                let wait = backoff.failed(error.retry_after()).unwrap_or_default();
                if is_over {
                    last_tries += 1;
                    tokio::time::sleep(wait).await;
                } else {
                    // The end is tried at once.
                    let over = states.wait_for(|state| matches!(state, State::Over(_)));
                    let _either = tokio::time::timeout(wait, over).await;
                }
            }
            Err(error) => {
                notices::say(&format!("the job {job} is not reported any more: {}", notices::chain(&error)));
                return;
            }
        }
    }
}
