//! The operations that read, and those that concern no channel.

use super::operation::{
    Answer, EVENTS, JSON, LINES, OPEN, Operation, PLAIN, PUSHED, READ, READ_ONE, STOP, STREAMED, UNCHANGED,
    ok,
};

pub(super) fn short_poll() -> Operation {
    Operation {
        name: "poll",
        tag: "read",
        summary: "Short poll: what there is now",
        parameters: &["channels", "cursor", "last_id", "limit", "If-None-Match", "X-Client-ID"],
        body: None,
        answers: vec![
            Answer {
                status: 200,
                description: "The messages after the position, and where to go on.",
                headers: &["Cache-Control", "Content-Encoding", "ETag"],
                content: &[(JSON, "ShortPoll")],
            },
            UNCHANGED,
        ],
        failures: READ,
    }
}

pub(super) fn long_poll() -> Operation {
    Operation {
        name: "longpoll",
        tag: "read",
        summary: "Long poll: what there is, or the next message",
        parameters: &["channels", "cursor", "last_id", "limit", "timeout", "Prefer", "X-Client-ID"],
        body: None,
        answers: vec![Answer {
            status: 200,
            description: "The answer.",
            headers: &["Cache-Control", "Content-Encoding"],
            content: &[(JSON, "LongPoll")],
        }],
        failures: READ,
    }
}

pub(super) fn stream() -> Operation {
    Operation {
        name: "stream",
        tag: "read",
        summary: "Stream: every message as it comes, as JSON lines or server-sent events",
        parameters: STREAM_PARAMETERS,
        body: None,
        answers: vec![
            Answer {
                status: 200,
                description: "Stays open. Each message is a line; lines of other types say what else happened.",
                headers: STREAMED,
                content: &[(LINES, "StreamLines"), (EVENTS, "StreamEvent")],
            },
            STOP,
        ],
        failures: READ,
    }
}

pub(super) fn push() -> Operation {
    Operation {
        name: "push",
        tag: "read",
        summary: "HTTP/2 server push: every message as a response of its own",
        parameters: STREAM_PARAMETERS,
        body: None,
        answers: vec![
            Answer {
                status: 200,
                description: "Stays open. A line names each pushed message; without push the message is in the line.",
                headers: PUSHED,
                content: &[(LINES, "StreamLines"), (EVENTS, "StreamEvent")],
            },
            STOP,
        ],
        failures: READ,
    }
}

pub(super) fn presence() -> Operation {
    Operation {
        name: "presence",
        tag: "read",
        summary: "Which named clients wait on a channel",
        parameters: &["present_channel", "X-Client-ID"],
        body: None,
        answers: vec![ok(&[(JSON, "Presence")])],
        failures: READ,
    }
}

pub(super) fn message() -> Operation {
    Operation {
        name: "message",
        tag: "read",
        summary: "One message by its cursor or number",
        parameters: &["path_channel", "path_cursor", "X-Client-ID"],
        body: None,
        answers: vec![ok(&[(JSON, "Message")])],
        failures: READ_ONE,
    }
}

const STREAM_PARAMETERS: &[&str] =
    &["channels", "cursor", "last_id", "limit", "format", "lastEventId", "Last-Event-ID", "X-Client-ID"];

const STEPS: Answer = Answer {
    status: 200,
    description: "All steps so far, then each new one; ends with the job.",
    headers: STREAMED,
    content: &[(LINES, "StepLines"), (EVENTS, "StepEvent")],
};

pub(super) fn job() -> Operation {
    Operation {
        name: "job",
        tag: "jobs",
        summary: "Follow a job: its steps as JSON lines or server-sent events",
        parameters: &["job", "cursor", "last_id", "format", "lastEventId", "Last-Event-ID", "X-Client-ID"],
        body: None,
        answers: vec![STEPS, STOP],
        failures: READ,
    }
}

pub(super) fn demo_job() -> Operation {
    Operation {
        name: "demoJob",
        tag: "jobs",
        summary: "Start and follow a demonstration job: ten steps, one a second",
        parameters: &["format", "X-Client-ID"],
        body: None,
        answers: vec![STEPS],
        failures: READ,
    }
}

pub(super) fn golongpoll_events() -> Operation {
    Operation {
        name: "golongpollEvents",
        tag: "golongpoll",
        summary: "Long poll for events; any other method does the same",
        parameters: &["category", "golongpoll_timeout", "since_time", "golongpoll_last_id", "X-Client-ID"],
        body: None,
        answers: vec![Answer {
            status: 200,
            description: "Events, a timeout, or what was wrong with the request.",
            headers: &["Cache-Control", "Content-Encoding", "Poll-Missed"],
            content: &[(JSON, "Events")],
        }],
        failures: READ,
    }
}

pub(super) fn chat_messages() -> Operation {
    Operation {
        name: "chatMessages",
        tag: "chat",
        summary: "Messages after an id, or the next ones within ten seconds",
        parameters: &["after", "X-Client-ID"],
        body: None,
        answers: vec![missing(&[(JSON, "ChatMessages")])],
        failures: READ,
    }
}

pub(super) fn channel_poll() -> Operation {
    Operation {
        name: "channelPoll",
        tag: "channel",
        summary: "Long poll by id or by time",
        parameters: &["path_channel", "timeout", "last_message_id", "since", "X-Client-ID"],
        body: None,
        answers: vec![missing(&[(JSON, "ChannelPoll")])],
        failures: READ,
    }
}

/// An answer of a dialect that tells in a header what was missed.
const fn missing(content: &'static [(&'static str, &'static str)]) -> Answer {
    let headers = &["Cache-Control", "Content-Encoding", "Poll-Missed"];
    Answer { status: 200, description: "The answer.", headers, content }
}

pub(super) fn server(name: &'static str, summary: &'static str, answers: Vec<Answer>) -> Operation {
    Operation { name, tag: "server", summary, parameters: &[], body: None, answers, failures: OPEN }
}

/// Refusals beside those of all that is open: where the server has a token for operators, or a listener.
pub(super) fn metrics() -> Operation {
    const PROBLEM: &[(&str, &str)] = &[("application/problem+json", "Problem")];
    let refused = |status, description, headers| Answer { status, description, headers, content: PROBLEM };
    let answers = vec![
        ok(&[(PLAIN, "")]),
        refused(401, "The token for operators is needed, or the one given is wrong.", &["WWW-Authenticate"]),
        refused(404, "Metrics are on a listener of their own.", &[]),
        refused(429, "Too many wrong tokens.", &["Retry-After"]),
    ];
    server("metrics", "Metrics in the Prometheus text format", answers)
}

pub(super) fn readiness() -> Operation {
    let unready = Answer {
        status: 503,
        description: "The store is unavailable or the server is stopping: one line a fault.",
        headers: &["Cache-Control", "Retry-After"],
        content: &[(PLAIN, "")],
    };
    server("readyz", "Readiness: a message published now would be stored", vec![ok(&[(PLAIN, "")]), unready])
}

pub(super) fn document() -> Operation {
    let answer = Answer {
        status: 200,
        description: "The document.",
        headers: &["Cache-Control", "ETag"],
        content: &[(JSON, "Json")],
    };
    Operation {
        parameters: &["If-None-Match"],
        ..server("openapi", "This document", vec![answer, UNCHANGED])
    }
}

pub(super) fn file() -> Operation {
    let answer = Answer {
        status: 200,
        description: "The file.",
        headers: &["Cache-Control", "ETag"],
        content: &[(PLAIN, "")],
    };
    Operation {
        tag: "page",
        parameters: &["If-None-Match"],
        ..server("file", "A file of the live page", vec![answer, UNCHANGED])
    }
}
