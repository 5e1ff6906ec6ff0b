//! Compressed answers as curl reads them.

use serde_json::Value;

use crate::process::{Server, curl, output};

#[test]
fn curl_reads_compressed_answers_over_each_version() {
    let server = Server::start(&["--compress"]);
    let messages = |channel: &str, count: usize| {
        let line = |number: usize| format!("{{\"n\":{number},\"text\":\"{}\"}}\n", "to and fro ".repeat(60));
        let lines: String = (0..count).map(line).collect();
        let url = server.url(&format!("/api/message?channel={channel}"));
        output(curl(&[
            "--fail",
            "--header",
            "content-type: application/x-ndjson",
            "--data-binary",
            &lines,
            &url,
        ]));
    };
    // One that is rendered whole, and one in pieces.
    messages("few", 5);
    messages("many", 150);
    for path in ["/api/poll?channel=few", "/api/longpoll?channel=many", "/v1/stream/many?offset=-1"] {
        let read = |arguments: &[&str]| {
            let url = server.url(path);
            let measured = ["--fail", "--write-out", "\n%{size_download}", &url];
            let all = output(curl(&[arguments, &measured].concat()));
            let (body, size) = all.rsplit_once('\n').unwrap();
            let mut answer: Value = serde_json::from_str(body).unwrap();
            if let Some(answer) = answer.as_object_mut() {
                answer.retain(|name, _| !matches!(name.as_str(), "timestamp" | "polled_at"));
            }
            (answer, size.parse::<usize>().unwrap())
        };
        let (plain, whole) = read(&[]);
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let (answer, size) = read(&["--compressed", version]);
            assert_eq!(answer, plain, "{path}");
            assert!(size < whole / 4, "{path}: {size} of {whole}");
        }
    }
}
