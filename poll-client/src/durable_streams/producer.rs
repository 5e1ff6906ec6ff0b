//! Producers: appends that may be repeated, because the server knows each by its number.

use bytes::Bytes;
use http::Method;
use http::header::{HeaderName, HeaderValue};

use super::answer::{Answered, CLOSED, EPOCH, PRODUCER, PRODUCER_SEQ};
use super::append::{Append, closing};
use super::error::AppendError;
use super::offset::Offset;
use super::stream::DurableStream;
use crate::client::header_value;
use crate::error::Error;
use crate::exchange::{Call, Repeat, Sent};
use crate::retry::Attempts;

/// Appends exactly once: each append has the producer's id, its epoch and a number, and is repeated after failures until it
/// is answered. One is on its way at a time.
///
/// A program that starts again takes a later epoch ([`Self::epoch`], or [`Claim::Next`]), and what still runs under an
/// earlier one is refused from then on.
#[derive(Debug)]
pub struct Producer {
    stream: DurableStream,
    id: HeaderValue,
    epoch: u64,
    /// The number of the next append.
    seq: u64,
    claim: Claim,
    /// Sent, and not answered.
    pending: Option<Pending>,
    ending: Ending,
}

/// Whether the producer has closed its stream.
#[derive(Debug)]
enum Ending {
    Open,
    Closed(Option<Offset>),
}

/// What a producer does when a later epoch is in force.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Claim {
    /// It fails: the later one is the producer.
    #[default]
    Never,
    /// It begins the epoch after that, unless the append may have been stored under its own.
    Next,
}

#[derive(Debug)]
struct Pending {
    call: Call,
    doubt: Doubt,
}

/// Whether an attempt may have been stored without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    None,
    MayBeStored,
}

impl Producer {
    /// A producer of this name, in epoch 0 and at append 0.
    ///
    /// # Errors
    /// [`Error::Usage`] if the id is empty or has a character that headers cannot carry.
    pub fn new(stream: &DurableStream, id: &str) -> Result<Self, Error> {
        if id.is_empty() {
            return Err(Error::Usage("a producer's id is not empty".to_owned()));
        }
        let id = header_value("producer's id", id)?;
        Ok(Self {
            stream: stream.clone(),
            id,
            epoch: 0,
            seq: 0,
            claim: Claim::default(),
            pending: None,
            ending: Ending::Open,
        })
    }

    /// Starts in this epoch. A new epoch begins at append 0.
    #[must_use]
    pub fn epoch(mut self, epoch: u64) -> Self {
        self.epoch = epoch;
        self
    }

    /// Goes on within an epoch, at this append. One that the server has already, from an earlier run, is taken for the same.
    #[must_use]
    pub fn seq(mut self, seq: u64) -> Self {
        self.seq = seq;
        self
    }

    /// What to do when a later epoch is in force.
    #[must_use]
    pub fn claim(mut self, claim: Claim) -> Self {
        self.claim = claim;
        self
    }

    /// Its epoch and the number of its next append.
    #[must_use]
    pub const fn position(&self) -> (u64, u64) {
        (self.epoch, self.seq)
    }

    /// Appends, and returns where the stream ends; the server may leave that out for an append that was stored before.
    ///
    /// # Errors
    /// [`AppendError::InDoubt`] after an append whose future was dropped, that failed with a transient error, or that was
    /// refused after an attempt whose answer was lost. Otherwise those that are not transient, or the last one once the
    /// client's retries are used up.
    pub async fn append(&mut self, append: Append) -> Result<Option<Offset>, AppendError> {
        let call = self.stream.append_call(append);
        self.send(call).await
    }

    /// Closes the stream, with this as its last content or none. Once that is done, it is not done again.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn close(&mut self, last: Option<Append>) -> Result<Option<Offset>, AppendError> {
        if let Ending::Closed(end) = &self.ending {
            return Ok(end.clone());
        }
        let call = match last {
            Some(append) => self.stream.append_call(append),
            None => self.stream.write(Method::POST, None, Bytes::new()),
        };
        self.send(closing(call)).await
    }

    /// Sends once more what is in doubt, if anything is. Once that succeeds, it is stored exactly once; a refusal that says
    /// nothing about the attempts before leaves it in doubt.
    ///
    /// # Errors
    /// As [`Self::append`], but never [`AppendError::InDoubt`].
    pub async fn settle(&mut self) -> Result<Option<Offset>, AppendError> {
        let client = self.stream.client.clone();
        let mut attempts = Attempts::new(&client.inner);
        while let Some(pending) = &mut self.pending {
            // In case this future is dropped.
            let before = std::mem::replace(&mut pending.doubt, Doubt::MayBeStored);
            let answered = match self.stream.once(&pending.call).await {
                Ok(answered) if !Self::says_nothing(&answered) => answered,
                Ok(answered) => {
                    attempts.failed(answered.refusal()).await?;
                    continue;
                }
                Err(error) => {
                    // No connection could be opened, say.
                    if !error.may_have_happened() {
                        pending.doubt = before;
                    }
                    attempts.failed(error).await?;
                    continue;
                }
            };
            attempts.answered();
            let before = if answered.sent == Sent::Twice { Doubt::MayBeStored } else { before };
            if answered.status.is_success() {
                let end = answered.next_offset().ok();
                if pending.call.headers.contains_key(CLOSED) {
                    self.ending = Ending::Closed(end.clone());
                }
                self.pending = None;
                self.seq += 1;
                return Ok(end);
            }
            match (AppendError::refused(&answered), self.claim, before) {
                (AppendError::StaleEpoch { current }, Claim::Next, Doubt::None) => {
                    self.begin(current.saturating_add(1));
                }
                // It is still pending: a new append would get its number, and be taken for it.
                (error, _, Doubt::MayBeStored) if !error.settles() => return Err(error),
                (error, ..) => {
                    self.pending = None;
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    async fn send(&mut self, mut call: Call) -> Result<Option<Offset>, AppendError> {
        if self.pending.is_some() {
            return Err(AppendError::InDoubt);
        }
        call.repeat = match self.claim {
            Claim::Never => Repeat::Harmless,
            // A repeat would leave the first in doubt, and then no epoch is claimed.
            Claim::Next => Repeat::Never,
        };
        call.headers.insert(HeaderName::from_static(PRODUCER), self.id.clone());
        self.pending = Some(Pending { call, doubt: Doubt::None });
        self.number();
        self.settle().await
    }

    /// Begins an epoch with what is pending, which was refused.
    fn begin(&mut self, epoch: u64) {
        (self.epoch, self.seq) = (epoch, 0);
        if let Some(pending) = &mut self.pending {
            pending.doubt = Doubt::None;
        }
        self.number();
    }

    /// Gives what is pending its epoch and number.
    fn number(&mut self) {
        if let Some(Pending { call, .. }) = &mut self.pending {
            call.headers.insert(EPOCH, self.epoch.into());
            call.headers.insert(PRODUCER_SEQ, self.seq.into());
        }
    }

    /// Whether the answer leaves open if the append is stored.
    fn says_nothing(answered: &Answered) -> bool {
        !answered.status.is_success() && answered.refusal().is_transient()
    }
}
