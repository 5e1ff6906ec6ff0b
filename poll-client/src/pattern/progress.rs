//! A job's progress: all steps so far, then each as it is reported, until the job ends.
//!
//! Lines have no cursor, so a stream that broke is read again from the first step. Steps already seen are dropped by
//! their time, which increases strictly.

use http::header::{ACCEPT, HeaderValue};
use poll_core::{ChannelName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::error::Error;
use crate::exchange::{Answer, Call, encode};
use crate::ndjson::Lines;
use crate::source::{Out, Source};
use crate::subscription::Subscription;
use crate::wire::{Line, PollAnswer, read, timestamp};

/// A step of a job, as reported.
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

/// A step of a job, as read.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Progress {
    /// How far it is.
    pub step: u64,
    /// How far it will go.
    pub total: u64,
    /// The same in percent.
    pub percentage: f64,
    /// What it was doing.
    #[serde(default)]
    pub message: Option<String>,
    /// `done` or `failed` on the last step; any other value is the reporter's own.
    #[serde(default)]
    pub status: Option<String>,
    /// When it was reported.
    #[serde(rename = "timestamp", deserialize_with = "timestamp")]
    pub at: Timestamp,
}

impl Client {
    /// Follows a job to its end; a job without reports yet is waited for. The stream ends with the job's channel, usually
    /// after the step with a status of `done` or `failed`. Steps no longer retained and messages that are not steps are
    /// left out.
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
        let source =
            Following { client: self.clone(), job: job.clone(), seen: None, said: Said::Nothing, open: None };
        Subscription::new(self, std::sync::Arc::default(), source)
    }
}

struct Following {
    client: Client,
    job: ChannelName,
    /// The time of the last step returned.
    seen: Option<Timestamp>,
    said: Said,
    open: Option<(Answer, Lines)>,
}

/// The status in the last line. It counts only at the end of the answer, because any publisher can send such a
/// line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    JobEnded,
    Draining,
}

impl Following {
    fn line(&mut self, line: &[u8], out: &mut Out<Progress>) -> Result<(), Error> {
        // Lines about the stream have a type, steps have none.
        match Line::kind_of(line) {
            Ok(Some(kind)) if kind == "closed" => {
                let ended = Line::read(line).is_ok_and(|line| line.reason.as_deref() == Some("ended"));
                self.said = if ended { Said::JobEnded } else { Said::Draining };
                return Ok(());
            }
            Ok(Some(_)) => return Ok(()),
            // Other JSON is not a step; a line that is not JSON is not from a poll server.
            Err(_) => return read::<serde::de::IgnoredAny>(line).map(drop),
            Ok(None) => {}
        }
        // Anyone can publish to the job's channel.
        let Ok(progress) = read::<Progress>(line) else { return Ok(()) };
        let is_final = matches!(progress.status.as_deref(), Some("done" | "failed"));
        self.said = if is_final { Said::JobEnded } else { Said::Nothing };
        if self.seen.is_none_or(|seen| progress.at > seen) {
            out.backoff.reset();
            out.stats.messages.add(1);
            self.seen = Some(progress.at);
            out.queue.push_back(progress);
        }
        Ok(())
    }

    async fn open(&mut self, out: &Out<Progress>) -> Result<(Answer, Lines), Error> {
        self.said = Said::Nothing;
        let settings = &self.client.inner.settings;
        let target = format!("/api/progress/{}", encode(self.job.as_str()));
        let call = Call::get(target, settings.answer_within)
            .header(ACCEPT, HeaderValue::from_static("application/x-ndjson"));
        let answer = self.client.inner.ask(&call, &out.stats, &[200]).await?;
        Ok((answer, Lines::new(settings.max_answer_bytes)))
    }

    /// Whether the job has ended, if its last message is no longer retained or was not a step.
    async fn has_ended(&self, out: &Out<Progress>) -> Result<bool, Error> {
        let (inner, channel) = (&self.client.inner, encode(&format!("progress/{}", self.job)).to_string());
        let mut target = format!("/api/poll?channel={channel}");
        loop {
            let call = Call::get(target, inner.settings.answer_within);
            let answer = inner.ask(&call, &out.stats, &[200]).await?;
            let body = answer.whole(inner.settings.max_answer_bytes, inner.settings.answer_within).await?;
            let answer: PollAnswer<'_> = read(&body)?;
            if answer.closed || answer.messages.is_empty() {
                return Ok(answer.closed);
            }
            target = format!("/api/poll?channel={channel}&cursor={}", answer.cursor);
        }
    }
}

impl Source for Following {
    type Item = Progress;

    async fn step(&mut self, out: &mut Out<Progress>) -> Result<(), Error> {
        let (mut answer, mut lines) = match self.open.take() {
            Some(open) => open,
            None => self.open(out).await?,
        };
        let piece = match (answer.piece(self.client.inner.settings.silence()).await, self.said) {
            (Ok(Some(piece)), _) => piece,
            (Ok(None) | Err(_), Said::JobEnded) => {
                out.end();
                return Ok(());
            }
            (Ok(None), Said::Draining) => return Err(Error::Draining),
            (Ok(None), Said::Nothing) if self.has_ended(out).await? => {
                out.end();
                return Ok(());
            }
            (Ok(None), Said::Nothing) => return Err(Error::Cut),
            (Err(error), _) => return Err(error),
        };
        lines.feed(&piece);
        while let Some(line) = lines.next_line()? {
            self.line(&line, out)?;
        }
        self.open = Some((answer, lines));
        Ok(())
    }
}
