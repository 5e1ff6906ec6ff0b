//! The header fields of the protocol.

use http::HeaderName;

macro_rules! fields {
    ($($name:ident $text:literal)*) => {
        $(pub(crate) const $name: HeaderName = HeaderName::from_static($text);)*
    };
}

fields! {
    STREAM_TTL "stream-ttl"
    STREAM_EXPIRES_AT "stream-expires-at"
    STREAM_CLOSED "stream-closed"
    STREAM_SEQ "stream-seq"
    STREAM_NEXT_OFFSET "stream-next-offset"
    STREAM_UP_TO_DATE "stream-up-to-date"
    STREAM_CURSOR "stream-cursor"
    STREAM_SSE_DATA_ENCODING "stream-sse-data-encoding"
    STREAM_FORKED_FROM "stream-forked-from"
    STREAM_FORK_OFFSET "stream-fork-offset"
    STREAM_FORK_SUB_OFFSET "stream-fork-sub-offset"
    PRODUCER_ID "producer-id"
    PRODUCER_EPOCH "producer-epoch"
    PRODUCER_SEQ "producer-seq"
    PRODUCER_EXPECTED_SEQ "producer-expected-seq"
    PRODUCER_RECEIVED_SEQ "producer-received-seq"
}
