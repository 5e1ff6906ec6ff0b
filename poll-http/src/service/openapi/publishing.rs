//! The operations that publish.

use super::operation::{Answer, JSON, Operation, PUBLISH, PUBLISH_NATIVE, ok};

pub(super) fn publish() -> Operation {
    Operation {
        name: "publish",
        tag: "publish",
        summary: "Publish one message, or many as lines",
        parameters: &["channel", "content", "Idempotency-Key", "X-Client-ID"],
        body: Some("Message"),
        answers: vec![
            Answer {
                status: 201,
                description: "The message is stored as durably as the server promises.",
                headers: &["Cache-Control", "Location"],
                content: &[(JSON, "Published")],
            },
            Answer {
                status: 200,
                description: "It was published before under the same `Idempotency-Key`.",
                headers: &["Cache-Control", "Location"],
                content: &[(JSON, "Published")],
            },
        ],
        failures: PUBLISH_NATIVE,
    }
}

pub(super) fn report_step() -> Operation {
    Operation {
        name: "reportStep",
        tag: "jobs",
        summary: "Report a step of a job",
        parameters: &["job", "X-Client-ID"],
        body: Some("Step"),
        answers: vec![Answer {
            status: 202,
            description: "The step is stored.",
            headers: &["Cache-Control"],
            content: &[(JSON, "Published")],
        }],
        failures: PUBLISH,
    }
}

pub(super) fn golongpoll_publish() -> Operation {
    Operation {
        name: "golongpollPublish",
        tag: "golongpoll",
        summary: "Publish an event",
        parameters: &["X-Client-ID"],
        body: Some("Event"),
        answers: vec![ok(&[(JSON, "GolongpollPublished")])],
        failures: PUBLISH,
    }
}

pub(super) fn chat_publish() -> Operation {
    Operation {
        name: "chatPublish",
        tag: "chat",
        summary: "Publish a chat message",
        parameters: &["X-Client-ID"],
        body: Some("ChatMessage"),
        answers: vec![ok(&[(JSON, "ChatMessage")])],
        failures: PUBLISH,
    }
}

pub(super) fn channel_publish() -> Operation {
    Operation {
        name: "channelPublish",
        tag: "channel",
        summary: "Publish an object",
        parameters: &["path_channel", "X-Client-ID"],
        body: Some("ChannelMessage"),
        answers: vec![ok(&[(JSON, "ChannelPublished")])],
        failures: PUBLISH,
    }
}
