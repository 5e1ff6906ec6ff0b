//! A report made in the background: a text is posted, its words are counted part by part, the page follows the job and
//! then fetches the report. On a hyper server, mounted at `/jobs`.
//!
//! `cargo run -p poll-http --example report_job [PORT]`, then open the address that it prints.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

mod shared;

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use poll_core::{ChannelName, Payload, Publish, Retention, Store};
use poll_http::{Ask, Body, Mount, Refusal, Service, Site};

const PARTS: usize = 10;
/// How long a part takes at least, so that there is something to watch.
const PACE: Duration = Duration::from_millis(150);

const PAGE: &str = include_str!("pages/report_job.html");

struct App {
    service: Service,
    mount: Mount,
    /// Each report once it is made; a real program would let old ones go.
    reports: Mutex<HashMap<String, Bytes>>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let service = Service::builder(Store::in_memory(Retention::default()))
        .site(Site { files: shared::files(), ..Site::default() })
        .check(|_, ask| match ask {
            Ask::Read(_) => Ok(()),
            Ask::Publish(_) => Err(Refusal::new(StatusCode::FORBIDDEN, "jobs report for themselves")),
        })
        .build();
    let mount = Mount::new(service.clone(), "/jobs");
    let app = Arc::new(App { service, mount, reports: Mutex::default() });

    let listener = shared::listen().await?;
    loop {
        let (socket, peer) = listener.accept().await?;
        let app = app.clone();
        let answer = service_fn(move |request| answer(app.clone(), peer, request));
        let mut server = hyper::server::conn::http1::Builder::new();
        tokio::spawn(server.timer(TokioTimer::new()).serve_connection(TokioIo::new(socket), answer));
    }
}

async fn answer(
    app: Arc<App>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, hyper::Error> {
    let path = request.uri().path().to_owned();
    Ok(match (request.method(), path.strip_prefix("/reports")) {
        (&Method::POST, Some("")) => begin(app, request.into_body()).await,
        (&Method::GET, Some(id)) => {
            let reports = app.reports.lock().unwrap_or_else(PoisonError::into_inner);
            let report = reports.get(id.trim_start_matches('/')).cloned();
            report.map_or_else(|| status(StatusCode::NOT_FOUND), |report| Response::new(Body::full(report)))
        }
        (&Method::GET, None) if path == "/" => {
            let mut page = Response::new(Body::full(PAGE));
            page.headers_mut().insert("content-type", HeaderValue::from_static("text/html; charset=utf-8"));
            page
        }
        _ => app.mount.answer(request, peer).await,
    })
}

/// Takes a text, and says where its report will be.
async fn begin(app: Arc<App>, body: Incoming) -> Response<Body> {
    let Ok(text) = Limited::new(body, 10 << 20).collect().await else {
        return status(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let text = String::from_utf8_lossy(&text.to_bytes()).into_owned();
    let id = format!("{:032x}", rand::random::<u128>());
    let Ok(job) = ChannelName::parse(&format!("progress/{id}")) else { return status(StatusCode::NOT_FOUND) };
    let mut response = status(StatusCode::ACCEPTED);
    if let Ok(location) = HeaderValue::from_str(&format!("/reports/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    tokio::spawn(async move {
        if let Err(error) = make(&app, &job, id, &text).await {
            println!("{job} broke off: {error}");
        }
    });
    response
}

/// The job: counts, reports each part, keeps the report, and only then says that it is done.
async fn make(app: &App, job: &ChannelName, id: String, text: &str) -> Result<(), poll_core::PublishError> {
    let step = |step: usize, message: &str| {
        let percentage = step * 100 / PARTS;
        let mut report =
            serde_json::json!({ "step": step, "total": PARTS, "percentage": percentage, "message": message });
        if step == PARTS {
            report["status"] = "done".into();
        }
        Publish::one(Payload::Json(report.to_string().into()))
    };
    let words: Vec<&str> =
        text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let mut counts = HashMap::<String, usize>::new();
    for (index, part) in words.chunks(words.len().div_ceil(PARTS - 1).max(1)).enumerate() {
        part.iter().for_each(|word| *counts.entry(word.to_lowercase()).or_default() += 1);
        tokio::time::sleep(PACE).await;
        app.service
            .publish(job, step(index + 1, &format!("{} different words so far", counts.len())))
            .await?;
    }
    let mut ranked: Vec<_> = counts.into_iter().collect();
    ranked.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let report: String = ranked.iter().take(50).map(|(word, count)| format!("{count:7} {word}\n")).collect();
    app.reports.lock().unwrap_or_else(PoisonError::into_inner).insert(id, report.into());
    app.service.publish(job, step(PARTS, "The report is there").closing()).await?;
    Ok(())
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
