//! Spans as a collector gets them: what is in them, whose trace they are of, and what happens without a collector.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use rustix::process::Signal;

use crate::process::{Server, command, curl, output};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Listens as a collector does.
struct Collector(TcpListener);

/// What arrived at once.
struct Batch {
    head: String,
    request: ExportTraceServiceRequest,
}

impl Collector {
    fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn base(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    /// The next batch, which is answered with this status.
    fn batch(&self, status: &str) -> Batch {
        let (mut socket, _) = self.0.accept().unwrap();
        let mut reader = BufReader::new(socket.try_clone().unwrap());
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
        }
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut content = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut content).unwrap();
        write!(socket, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").unwrap();
        Batch { head, request: ExportTraceServiceRequest::decode(&*content).unwrap() }
    }

    /// Takes batches until a span of this path is there.
    fn span(&self, path: &str) -> Span {
        loop {
            let spans = self.batch("200 OK").spans();
            if let Some(span) =
                spans.into_iter().find(|span| attributes(&span.attributes)["url.path"] == path)
            {
                return span;
            }
        }
    }
}

impl Batch {
    fn spans(self) -> Vec<Span> {
        let scopes = self.request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    fn resource(&self) -> BTreeMap<String, String> {
        attributes(&self.request.resource_spans[0].resource.as_ref().unwrap().attributes)
    }
}

fn attributes(all: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    all.iter().map(|one| (one.key.clone(), text(&one.value))).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A server with one more argument or variable.
fn server(set: impl FnOnce(&mut Command)) -> Server {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--store", "memory:"]);
    set(&mut command);
    Server::start_command(command, 1)
}

#[test]
fn a_request_is_a_span_of_its_callers_trace_with_what_became_of_it() {
    let collector = Collector::new();
    let server = server(|command| {
        command.args(["--access-log", "--otlp-endpoint", &collector.base()]);
        command.env("OTEL_SERVICE_NAME", "news").env("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=hush");
    });
    let parent = format!("traceparent: 00-{TRACE}-b7ad6b7169203331-01");
    let publish = server.url("/api/message?channel=a&content=x&access_token=hush");
    output(curl(&["-X", "POST", "-H", &parent, "-H", "X-Request-Id: from-me", &publish]));
    let batch = collector.batch("200 OK");
    assert!(batch.head.starts_with("post /v1/traces http/1.1\r\n"), "{}", batch.head);
    assert!(batch.head.contains("content-type: application/x-protobuf\r\n"), "{}", batch.head);
    assert!(batch.head.contains("x-api-key: hush\r\n"), "{}", batch.head);
    let resource = batch.resource();
    assert_eq!(resource["service.name"], "news");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    let [span] = &batch.spans()[..] else { panic!("one request") };
    assert_eq!((&*span.name, span.kind), ("POST publish", SpanKind::Server as i32));
    assert_eq!(hexadecimal(&span.trace_id), TRACE);
    assert_eq!(hexadecimal(&span.parent_span_id), "b7ad6b7169203331");
    assert!(span.span_id.iter().any(|byte| *byte != 0) && span.span_id != span.parent_span_id);
    assert!(span.start_time_unix_nano > 0 && span.start_time_unix_nano <= span.end_time_unix_nano);
    let found = attributes(&span.attributes);
    for (key, value) in [
        ("http.request.method", "POST"),
        ("url.path", "/api/message"),
        ("http.response.status_code", "201"),
        ("network.protocol.version", "1.1"),
        ("client.address", "127.0.0.1"),
        ("poll.pattern", "publish"),
        ("poll.channel", "a"),
        ("poll.delivered", "0"),
        ("poll.end", "complete"),
        ("poll.request_id", "from-me"),
    ] {
        assert_eq!(found.get(key).map(String::as_str), Some(value), "{key}: {found:?}");
    }
    assert!(!format!("{found:?}").contains("hush"), "{found:?}");
    let line = server.lines("id=from-me").remove(0);
    assert!(line.contains(&format!(" trace={TRACE} ")), "{line}");

    // A trace begins here, and the log has it, too.
    output(curl(&[
        "-H",
        "X-Request-Id: first",
        "-H",
        "traceparent: 00-0-0-01",
        &server.url("/api/poll?channel=a"),
    ]));
    let span = collector.span("/api/poll");
    assert_eq!((&*span.name, hexadecimal(&span.parent_span_id)), ("GET short", String::new()));
    assert_eq!(attributes(&span.attributes)["poll.delivered"], "1");
    let line = server.lines("id=first").remove(0);
    assert!(line.contains(&format!(" trace={} ", hexadecimal(&span.trace_id))), "{line}");
    assert!(server.get_until("/metrics", "poll_spans_sent_total 2").contains("poll_spans_dropped_total 0"));
}

#[test]
fn what_is_not_sampled_is_left_out_and_the_last_spans_are_sent_in_a_drain() {
    let collector = Collector::new();
    let mut server = server(|command| {
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("{}/", collector.base()));
    });
    let not_sampled = format!("traceparent: 00-{TRACE}-b7ad6b7169203331-00");
    output(curl(&["-H", &not_sampled, &server.url("/api/poll?channel=silent")]));
    // The answer to this one ends with the server.
    let waiting = curl(&[&server.url("/api/longpoll?channel=last")]);
    server.get_until("/metrics", "poll_waiters{pattern=\"long\"} 1");
    server.signal(Signal::TERM);
    let mut spans = Vec::new();
    while !spans.iter().any(|span: &Span| attributes(&span.attributes)["url.path"] == "/api/longpoll") {
        spans.extend(collector.batch("200 OK").spans());
    }
    output(waiting);
    assert!(server.wait().success());
    let channel = |span: &Span| attributes(&span.attributes).get("poll.channel").cloned();
    let channels: Vec<_> = spans.iter().filter_map(channel).collect();
    assert_eq!(channels, ["last"]);
}

#[test]
fn of_traces_that_begin_here_a_part_is_sampled_and_callers_decide_on_theirs() {
    let by_flag: &dyn Fn(&mut Command) = &|command| {
        command.args(["--otlp-sample-ratio", "0"]).env("OTEL_TRACES_SAMPLER", "parentbased_always_on");
    };
    let by_name: &dyn Fn(&mut Command) = &|command| {
        command.env("OTEL_TRACES_SAMPLER", "parentbased_traceidratio").env("OTEL_TRACES_SAMPLER_ARG", "0");
    };
    for set in [by_flag, by_name] {
        let collector = Collector::new();
        let server = server(|command| {
            command.args(["--otlp-endpoint", &collector.base()]);
            set(command);
        });
        server.wait_for(1, ", of 0 of the traces that begin here");
        output(curl(&[&server.url("/api/poll?channel=left-out")]));
        let sampled = format!("traceparent: 00-{TRACE}-b7ad6b7169203331-01");
        output(curl(&["-H", &sampled, &server.url("/api/poll?channel=sampled")]));
        let spans = collector.batch("200 OK").spans();
        let channels: Vec<_> =
            spans.iter().map(|span| attributes(&span.attributes)["poll.channel"].clone()).collect();
        assert_eq!(channels, ["sampled"]);
    }
}

#[test]
fn a_collector_that_takes_nothing_costs_spans_which_are_counted_and_told_once() {
    let collector = Collector::new();
    let server = server(|command| {
        command.args(["--otlp-endpoint", &collector.base()]);
    });
    for _ in 0..2 {
        output(curl(&[&server.url("/api/poll")]));
        while !collector.batch("403 Forbidden").spans().iter().any(|span| span.name == "GET short") {}
    }
    server.get_until("/metrics", "poll_spans_sent_total 0\n");
    server.wait_for(1, "takes no spans");
    let told = server.lines("takes no spans");
    assert!(told.len() == 1 && told[0].contains("it answered 403"), "{told:?}");
    let metrics = server.get("/metrics");
    assert!(!metrics.contains("poll_spans_dropped_total 0\n"), "{metrics}");
}

#[test]
fn a_collector_that_cannot_be_one_is_refused_and_one_of_the_environment_ignored() {
    let check = |flags: &[&str], variable: Option<&str>| {
        let mut command = command();
        command.arg("--check").args(flags);
        if let Some(value) = variable {
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", value);
        }
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, text) = check(&["--otlp-endpoint", "127.0.0.1:4318"], None);
    assert!(code == Some(64) && text.contains("--otlp-endpoint: "), "{text}");
    let (code, text) = check(&[], Some("collector:4317"));
    assert!(code == Some(0) && text.contains("OTEL_EXPORTER_OTLP_ENDPOINT is ignored: "), "{text}");
    let (code, text) = check(&["--otlp-sample-ratio", "2"], None);
    assert!(code == Some(64) && text.contains("--otlp-sample-ratio: "), "{text}");
    let (code, text) = check(&["--otlp-endpoint", "http://user:hush@127.0.0.1:4318"], None);
    assert!(code == Some(64) && !text.contains("hush"), "{text}");
}
