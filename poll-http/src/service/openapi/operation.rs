//! What an operation is made of, and the answers and refusals that several have. Names are those of `components.json`.

/// One method of a path.
pub(super) struct Operation {
    /// Unique among all paths, but for the suffix of HEAD and OPTIONS.
    pub(super) name: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) parameters: &'static [&'static str],
    pub(super) body: Option<&'static str>,
    pub(super) answers: Vec<Answer>,
    /// The statuses of its refusals.
    pub(super) failures: &'static [u16],
}

/// One status, and what comes with it.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) description: &'static str,
    /// Besides those of every answer.
    pub(super) headers: &'static [&'static str],
    /// Media types with the names of their schemas; without a name it is text.
    pub(super) content: &'static [(&'static str, &'static str)],
}

pub(super) const TAGS: [(&str, &str); 11] = [
    ("publish", "Publish messages."),
    ("read", "Read channels, by any pattern."),
    ("jobs", "Report and follow the progress of a job."),
    ("golongpoll", "For clients of golongpoll."),
    ("chat", "For clients of a chat with one channel."),
    ("channel", "For clients that poll by UUID or by time in seconds."),
    ("streams", "Durable Streams 1.0: create, append, read from any offset, follow, close, fork and delete."),
    ("subscriptions", "Subscriptions of Durable Streams: wakes by webhook or through a stream, with leases."),
    ("server", "Health, metrics and this document."),
    (
        "administration",
        "For operators: channels and connections. Behind a token or on a listener of their own.",
    ),
    ("page", "The files of the live page."),
];

/// Of any request.
pub(super) const OPEN: &[u16] = &[400, 421, 431, 501];
/// Where the path may name no message.
pub(super) const OPEN_MESSAGE: &[u16] = &[400, 404, 421, 431, 501];
pub(super) const READ: &[u16] = &[400, 401, 403, 421, 429, 431, 500, 501, 503];
pub(super) const READ_ONE: &[u16] = &[400, 401, 403, 404, 410, 421, 429, 431, 500, 501, 503];
pub(super) const PUBLISH: &[u16] = &[400, 401, 403, 408, 409, 413, 421, 429, 431, 501, 503, 507];
pub(super) const PUBLISH_NATIVE: &[u16] =
    &[400, 401, 403, 408, 409, 413, 415, 421, 422, 429, 431, 501, 503, 507];

pub(super) const JSON: &str = "application/json";
pub(super) const LINES: &str = "application/x-ndjson";
pub(super) const EVENTS: &str = "text/event-stream";
pub(super) const PLAIN: &str = "text/plain";

pub(super) const STREAMED: &[&str] = &["Cache-Control", "Vary", "X-Accel-Buffering"];
pub(super) const PUSHED: &[&str] = &["Cache-Control", "Vary", "X-Accel-Buffering", "Push-Policy"];
pub(super) const STOP: Answer = Answer {
    status: 204,
    description: "Everything has been read and the channel has ended: an EventSource stops.",
    headers: &["Cache-Control", "Vary"],
    content: &[],
};
pub(super) const UNCHANGED: Answer = Answer {
    status: 304,
    description: "Nothing has changed since the response with this `ETag`.",
    headers: &["Cache-Control", "ETag"],
    content: &[],
};
pub(super) const OPTIONS: Answer = Answer {
    status: 204,
    description: "The methods of this path; to a page of an allowed origin also what it may send.",
    headers: &["Allow"],
    content: &[],
};

pub(super) const fn ok(content: &'static [(&'static str, &'static str)]) -> Answer {
    Answer { status: 200, description: "The answer.", headers: &["Cache-Control"], content }
}

/// What an error status means, and the headers that may come with it.
pub(super) fn meaning(status: u16) -> (&'static str, &'static [&'static str]) {
    match status {
        400 => ("Malformed: a parameter, header or body is not what it must be.", &[]),
        401 => ("A token is needed, or the one given is not known.", &["WWW-Authenticate"]),
        403 => (
            "The token does not grant this, or a page of another origin tried to write.",
            &["WWW-Authenticate"],
        ),
        404 => ("There is no such message, stream or subscription.", &[]),
        408 => ("The body did not arrive in time.", &[]),
        409 => ("The channel has ended, or is another than the request takes it for.", &[]),
        410 => ("It was there, and is no longer retained or cannot be read.", &[]),
        413 => ("The content is larger than allowed.", &[]),
        415 => ("A multipart body without a usable part.", &[]),
        421 => ("A server on loopback was addressed by another host's name.", &[]),
        422 => ("The `Idempotency-Key` was used with other content.", &[]),
        429 => ("A limit is reached.", &["Retry-After"]),
        431 => ("The head of the request is larger than allowed. The response has no content.", &[]),
        500 => ("What the store holds of this channel is damaged.", &[]),
        501 => ("A transfer coding other than `chunked`, or subscriptions where the server has none.", &[]),
        503 => (
            "The store is unavailable or the server is stopping. Nothing was published, unless `type` says otherwise.",
            &["Retry-After"],
        ),
        507 => ("The store is full, or the share of memory for receipts.", &["Retry-After"]),
        _ => ("An error.", &[]),
    }
}

impl Operation {
    /// Whether it is refused without a token, where the server asks for one.
    pub(super) fn asks_for_tokens(&self) -> bool {
        self.failures.contains(&401)
    }
}
