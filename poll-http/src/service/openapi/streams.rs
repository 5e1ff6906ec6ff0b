//! The operations of the Durable Streams dialect.

use super::operation::{Answer, EVENTS, JSON, Operation, UNCHANGED};

const BYTES: &str = "application/octet-stream";
const PLACE: &[&str] = &["Cache-Control", "Stream-Next-Offset", "Stream-Closed"];
const READ_PLACE: &[&str] = &[
    "Cache-Control",
    "Poll-Missed",
    "Stream-Next-Offset",
    "Stream-Up-To-Date",
    "Stream-Closed",
    "Stream-Cursor",
    "Stream-SSE-Data-Encoding",
];
const READ_STREAM: &[u16] = &[400, 401, 403, 404, 410, 421, 429, 431, 500, 501, 503];
const WRITE_STREAM: &[u16] = &[400, 401, 403, 404, 408, 409, 410, 413, 421, 429, 431, 500, 501, 503, 507];

pub(super) fn read() -> Operation {
    Operation {
        name: "readStream",
        tag: "streams",
        summary: "Read a stream from an offset: what there is, the next content, or all that follows",
        parameters: &["path_name", "offset", "live", "stream_cursor", "If-None-Match", "X-Client-ID"],
        body: None,
        answers: vec![
            Answer {
                status: 200,
                description: "The content after the offset, in the stream's content type; with an `ETag`, unless it is live or at the end.",
                headers: READ_PLACE,
                content: &[(JSON, "Values"), (BYTES, ""), (EVENTS, "")],
            },
            Answer {
                status: 204,
                description: "A long poll has waited for nothing, or the stream is closed.",
                headers: READ_PLACE,
                content: &[],
            },
            UNCHANGED,
        ],
        failures: READ_STREAM,
    }
}

pub(super) fn describe() -> Operation {
    Operation {
        name: "describeStream",
        tag: "streams",
        summary: "What a stream is, without its content",
        parameters: &["path_name", "X-Client-ID"],
        body: None,
        answers: vec![Answer {
            status: 200,
            description: "There is such a stream.",
            headers: &[
                "Cache-Control",
                "Stream-Next-Offset",
                "Stream-Closed",
                "Stream-TTL",
                "Stream-Expires-At",
            ],
            content: &[],
        }],
        failures: READ_STREAM,
    }
}

pub(super) fn append() -> Operation {
    Operation {
        name: "appendToStream",
        tag: "streams",
        summary: "Append to a stream, close it, or both",
        parameters: &[
            "path_name",
            "Stream-Closed",
            "Stream-Seq",
            "Producer-Id",
            "Producer-Epoch",
            "Producer-Seq",
            "X-Client-ID",
        ],
        body: Some("Content"),
        answers: vec![
            Answer {
                status: 204,
                description: "It is stored, or was before.",
                headers: &[
                    "Cache-Control",
                    "Stream-Next-Offset",
                    "Stream-Closed",
                    "Producer-Epoch",
                    "Producer-Seq",
                ],
                content: &[],
            },
            Answer {
                status: 200,
                description: "A producer's append is stored.",
                headers: &[
                    "Cache-Control",
                    "Stream-Next-Offset",
                    "Stream-Closed",
                    "Producer-Epoch",
                    "Producer-Seq",
                ],
                content: &[],
            },
        ],
        failures: WRITE_STREAM,
    }
}

pub(super) fn create() -> Operation {
    Operation {
        name: "createStream",
        tag: "streams",
        summary: "Create a stream, or fork one",
        parameters: &[
            "path_name",
            "Stream-Closed",
            "Stream-TTL",
            "Stream-Expires-At",
            "Stream-Forked-From",
            "Stream-Fork-Offset",
            "Stream-Fork-Sub-Offset",
            "X-Client-ID",
        ],
        body: Some("Content"),
        answers: vec![
            Answer {
                status: 201,
                description: "The stream begins.",
                headers: &["Cache-Control", "Location", "Stream-Next-Offset", "Stream-Closed"],
                content: &[],
            },
            Answer {
                status: 200,
                description: "There was such a stream already.",
                headers: PLACE,
                content: &[],
            },
        ],
        failures: WRITE_STREAM,
    }
}

pub(super) fn delete() -> Operation {
    Operation {
        name: "deleteStream",
        tag: "streams",
        summary: "Delete a stream",
        parameters: &["path_name", "X-Client-ID"],
        body: None,
        answers: vec![Answer {
            status: 204,
            description: "It is gone, or lives on only in those forked from it.",
            headers: &["Cache-Control"],
            content: &[],
        }],
        failures: WRITE_STREAM,
    }
}
