//! Whatever is asked is answered: no path, query, field or body makes the service panic or hang.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use poll_core::{Retention, Store};
use poll_http::{
    ConnectionInfo, EarlyHints, Handle, Protocol, PushPolicy, RequestBody, Service, ServiceSettings, Target,
    Unread,
};
use proptest::prelude::*;

const PATHS: [&str; 14] = [
    "/api/message",
    "/api/poll",
    "/api/longpoll",
    "/api/stream",
    "/api/push",
    "/api/progress",
    "/events",
    "/publish",
    "/messages",
    "/api/poll/",
    "/api/publish/",
    "/api/messages/",
    "/api/progress/",
    "/",
];
const NAMES: [&str; 14] = [
    "channel",
    "category",
    "timeout",
    "since_time",
    "last_id",
    "cursor",
    "limit",
    "lastEventId",
    "after",
    "since",
    "last_message_id",
    "access_token",
    "content",
    "%6cast_id",
];

fn path() -> impl Strategy<Value = String> {
    let known = (proptest::sample::select(&PATHS[..]), "[a-z0-9%/.+-]{0,12}");
    prop_oneof![known.prop_map(|(path, rest)| format!("{path}{rest}")), "/[!-~]{0,40}"]
}

fn query() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        "[!-~]{0,20}",
        "-?[0-9]{0,25}(\\.[0-9]{0,9})?(e-?[0-9]{0,4})?",
        "(inf|nan|%[0-9a-f]{0,2}|\\+){0,5}",
        "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "[0-9a-f]{32}",
    ];
    let pair =
        (proptest::sample::select(&NAMES[..]), value).prop_map(|(name, value)| format!("{name}={value}"));
    proptest::collection::vec(prop_oneof![4 => pair, 1 => "[!-~]{0,12}"], 0..6)
        .prop_map(|pairs| pairs.join("&"))
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let json = "\\{(\"(body|category|data|step|total|status|[a-z]{0,3})\":(null|-?[0-9]{1,22}|\"\\PC{0,5}\"|\\[\\]|\\{\\}),?){0,4}\\}?";
    prop_oneof![json.prop_map(String::into_bytes), proptest::collection::vec(any::<u8>(), 0..40)]
}

fn ask(service: &Service, request: Request<RequestBody>) -> impl Future<Output = u16> + use<> {
    let connection = ConnectionInfo {
        peer: ([192, 0, 2, 1], 1).into(),
        secured: None,
        protocol: Protocol::Http11,
        push: PushPolicy::Off,
        early_hints: EarlyHints::None,
        unread: Unread::Little,
        record: None,
    };
    let (head, body) = request.into_parts();
    let answering = service.handle(poll_http::Request::new(&head, body), &connection);
    async { answering.await.status().as_u16() }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn a_path_is_a_target_or_is_refused(path in "\\PC{0,60}|(/[a-z%]{0,9}){0,5}") {
        if let Err(refusal) = Target::of(&path) {
            prop_assert!(refusal.status().is_client_error());
        }
    }

    #[test]
    fn a_question_is_answered_whatever_it_says(
        path in path(),
        query in query(),
        method in proptest::sample::select(&["GET", "HEAD", "POST", "OPTIONS", "PUT"][..]),
        content_type in proptest::sample::select(&["application/json", "application/x-ndjson", "text/x", "application/x-www-form-urlencoded", ""][..]),
        field in "[ -~]{0,40}",
        body in body(),
    ) {
        let Ok(uri) = format!("{path}?{query}").parse::<Uri>() else { return Ok(()) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let status = runtime.block_on(async {
            let service = Service::builder(Store::in_memory(Retention::default()))
                .settings(ServiceSettings::default())
                .build();
            let mut request = Request::builder().method(method).uri(uri).header("host", "a");
            for name in ["accept", "last-event-id", "prefer", "if-none-match", "idempotency-key", "x-client-id", "authorization"] {
                request = request.header(name, field.as_str());
            }
            let request = request.header("content-type", content_type).body(RequestBody::Full(Bytes::from(body)));
            let answer = ask(&service, request.unwrap());
            tokio::time::timeout(Duration::from_secs(130), answer).await.expect("an answer within every wait")
        });
        prop_assert!((200..500).contains(&status), "{status}");
    }
}
