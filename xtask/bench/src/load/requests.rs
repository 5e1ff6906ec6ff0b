//! From an answer to the next question.
//!
//! Everybody who waits on one channel gets the same answer, so a question is made once for each place in the channel
//! and then used by all: what it depends on is compared, which is a few bytes.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use memchr::memmem::rfind;

use super::answer::Answer;
use crate::wire::{Ask, Next, Place};

/// The questions of one channel.
pub(crate) struct Topic {
    host: SocketAddr,
    channel: String,
    ask: Ask,
    first: Vec<u8>,
    /// What `again` was made of, both parts.
    place: (Vec<u8>, Vec<u8>),
    again: Vec<u8>,
}

impl Topic {
    pub(crate) fn new(host: SocketAddr, channel: String, ask: Ask) -> Self {
        let first = ask.request(host, &channel, Place::default());
        let again = first.clone();
        Self { host, channel, ask, first, place: Default::default(), again }
    }

    pub(crate) fn channel(&self) -> &str {
        &self.channel
    }

    /// The question of somebody who knows nothing yet.
    pub(crate) fn first(&self) -> &[u8] {
        &self.first
    }

    /// The question that was last led to.
    pub(crate) fn again(&self) -> &[u8] {
        &self.again
    }

    /// The question that this answer leads to.
    pub(crate) fn after(&mut self, answer: &Answer<'_>) -> Result<&[u8]> {
        let place = self.ask.next.read(answer)?;
        if (place.one, place.two) != (&*self.place.0, &*self.place.1) {
            self.again = self.ask.request(self.host, &self.channel, place);
            self.place = (place.one.to_vec(), place.two.to_vec());
        }
        Ok(&self.again)
    }
}

impl Next {
    fn read<'a>(self, answer: &'a Answer<'_>) -> Result<Place<'a>> {
        Ok(match self {
            Self::Same => Place::default(),
            Self::Cursor => Place {
                one: text_after(answer.body(), b"\"cursor\":\"").context("the answer has no cursor")?,
                two: b"",
            },
            Self::Headers => Place {
                one: answer.header("last-modified").unwrap_or_default(),
                two: answer.header("etag").context("the answer has no etag")?,
            },
            Self::Golongpoll => Place {
                one: number_after(answer.body(), b"\"timestamp\":").context("the answer has no timestamp")?,
                two: text_after(answer.body(), b"\"id\":\"").unwrap_or_default(),
            },
        })
    }
}

/// What stands behind the last `name`, up to the quote.
fn text_after<'a>(body: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = &body[rfind(body, name)? + name.len()..];
    Some(&rest[..memchr::memchr(b'"', rest)?])
}

/// The digits behind the last `name`.
fn number_after<'a>(body: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = &body[rfind(body, name)? + name.len()..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (digits > 0).then(|| &rest[..digits])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(next: Next, head: &str, body: &str) -> Result<String> {
        let ask = Ask::new("/p?c={cursor}&s={since}&i={id}", next);
        let mut topic = Topic::new("127.0.0.1:80".parse()?, "x".to_owned(), ask);
        let bytes = format!("HTTP/1.1 200 OK\r\n{head}Content-Length: {}\r\n\r\n{body}", body.len());
        let answer = Answer::whole(bytes.as_bytes())?.context("it is whole")?;
        Ok(String::from_utf8(topic.after(&answer)?.to_vec())?)
    }

    #[test]
    fn a_cursor_is_the_last_of_the_answer() {
        let body = r##"{"messages":[{"id":1,"content":"#"}],"cursor":"aa","cursor":"bb","timestamp":"t"}"##;
        assert!(after(Next::Cursor, "", body).unwrap().contains("c=bb&"));
        assert!(after(Next::Cursor, "", "{}").is_err());
    }

    #[test]
    fn validators_are_taken_from_the_head() {
        let next = after(Next::Headers, "Last-Modified: Wed\r\nEtag: 0\r\n", "").unwrap();
        assert!(next.ends_with("If-Modified-Since: Wed\r\nIf-None-Match: 0\r\n\r\n"), "{next}");
        assert!(after(Next::Headers, "", "").is_err());
    }

    #[test]
    fn golongpoll_goes_on_from_the_last_event_or_from_the_timeout() {
        let events =
            r#"{"events":[{"timestamp":7,"id":"a"},{"timestamp":8,"category":"c","data":"d","id":"b"}]}"#;
        assert!(after(Next::Golongpoll, "", events).unwrap().contains("s=8&i=b "));
        let timeout = r#"{"timeout":"no events before timeout","timestamp":9}"#;
        assert!(after(Next::Golongpoll, "", timeout).unwrap().contains("s=9 "));
    }

    #[test]
    fn the_same_question_stays_the_same() {
        assert!(after(Next::Same, "", "").unwrap().starts_with("GET /p HTTP/1.1\r\n"));
    }
}
