//! A job's progress: all its steps so far, then each as it comes, until the one with a status.
//!
//! Lines have no cursor, so a stream that broke is read from its first step again and what was seen is dropped by
//! its time, which grows strictly.

use http::header::{ACCEPT, HeaderValue};
use poll_core::{ChannelName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::error::Error;
use crate::exchange::{Answer, Call};
use crate::ndjson::Lines;
use crate::reader::encode;
use crate::subscription::{Out, Source, Subscription};
use crate::wire::{Line, read, timestamp};

/// One step of a job, as its worker reports it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Step {
    /// How far it is.
    pub step: u64,
    /// How far it will go.
    pub total: u64,
    /// What it is doing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `done` or `failed` ends the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// One step of a job, as its followers read it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Progress {
    /// How far it is.
    pub step: u64,
    /// How far it will go.
    pub total: u64,
    /// The same in hundredths.
    pub percentage: f64,
    /// What it was doing.
    #[serde(default)]
    pub message: Option<String>,
    /// Of the last step only: `done` or `failed`.
    #[serde(default)]
    pub status: Option<String>,
    /// When it was reported.
    #[serde(rename = "timestamp", deserialize_with = "timestamp")]
    pub at: Timestamp,
}

impl Client {
    /// Follows a job to its end; a job not yet reported on is waited for. The stream ends after the step that has a
    /// status. Steps no longer retained are left out: each says how far the job is.
    ///
    /// ```no_run
    /// # async fn example(client: poll_client::Client, job: poll_client::ChannelName) -> Result<(), poll_client::Error> {
    /// use futures_util::TryStreamExt;
    ///
    /// let mut steps = client.follow(&job);
    /// while let Some(step) = steps.try_next().await? {
    ///     println!("{} of {}", step.step, step.total);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn follow(&self, job: &ChannelName) -> Subscription<Progress> {
        let source = Following { client: self.clone(), job: job.clone(), seen: None, open: None };
        Subscription::new(self, std::sync::Arc::default(), source)
    }
}

struct Following {
    client: Client,
    job: ChannelName,
    /// The time of the last step given.
    seen: Option<Timestamp>,
    open: Option<(Answer, Lines)>,
}

impl Following {
    fn line(&mut self, line: &[u8], out: &mut Out<Progress>) -> Result<(), Error> {
        // Steps have no type; what has one is about the stream.
        if let Some(kind) = Line::kind_of(line)? {
            return if kind == "closed" { Err(Error::Draining) } else { Ok(()) };
        }
        // Anyone can publish to the job's channel; what is no step says nothing of how far the job is.
        let Ok(progress) = read::<Progress>(line) else { return Ok(()) };
        if self.seen.is_none_or(|seen| progress.at > seen) {
            out.backoff.reset();
            out.stats.message();
            self.seen = Some(progress.at);
            if progress.status.is_some() {
                out.end();
            }
            out.queue.push_back(progress);
        }
        Ok(())
    }
}

impl Source for Following {
    type Item = Progress;

    async fn step(&mut self, out: &mut Out<Progress>) -> Result<(), Error> {
        let settings = self.client.inner.settings;
        let (mut answer, mut lines) = match self.open.take() {
            Some(open) => open,
            None => {
                let target = format!("/api/progress/{}", encode(self.job.as_str()));
                let call = Call::get(target, settings.answer_within)
                    .header(ACCEPT, HeaderValue::from_static("application/x-ndjson"));
                let answer = self.client.inner.ask(&call, &out.stats, &[200]).await?;
                (answer, Lines::new(settings.max_answer_bytes))
            }
        };
        let Some(piece) = answer.piece(settings.silence()).await? else { return Err(Error::Cut) };
        lines.feed(&piece);
        while let Some(line) = lines.next_line().map_err(|error| Error::Protocol(error.to_string()))? {
            self.line(&line, out)?;
        }
        self.open = Some((answer, lines));
        Ok(())
    }
}
