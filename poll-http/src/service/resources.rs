//! Resources that concern no channel, answered at once: health, readiness, metrics, the OpenAPI document, and the files of
//! the site.

use http::StatusCode;

use crate::message::body::Body;
use crate::message::head::Head;
use crate::message::refusal::{ErrorFormat, GOING_DOWN, Refusal};
use crate::message::reply::Reply;
use crate::message::respond;
use crate::service::openapi::{Document, Prefix, Subject};
use crate::service::program::Program;
use crate::service::router::Target;
use crate::worker::Worker;
use crate::worker::drain::Phase;

/// The Prometheus text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The response, if the target is one of these.
pub(super) fn answer(worker: &Worker, program: &Program, target: &Target, head: Head<'_>) -> Option<Reply> {
    match target {
        Target::Health => Some(text(respond::PLAIN, "ok\n")),
        Target::Ready => Some(readiness(worker, program)),
        Target::Metrics => Some(text(PROMETHEUS, (program.metrics_text)())),
        Target::OpenApi => Some(openapi(worker, program, head)),
        Target::File => Some(program.site.answer(head)),
        _ => None,
    }
}

/// The document; under another server's path it names that.
fn openapi(worker: &Worker, program: &Program, head: Head<'_>) -> Reply {
    let authority = worker.authorities().load();
    let subject = Subject { settings: worker.settings(), site: &program.site, anyone: &authority.anyone };
    match Prefix::of(head) {
        None => program.openapi.get(subject).answer(head, worker.now()),
        Some(prefix) => Document::new(subject, prefix).answer(head, worker.now()),
    }
}

/// `ready`, or one line per fault: load balancers and people read it, so it is plain text and not problem details.
fn readiness(worker: &Worker, program: &Program) -> Reply {
    let ready = match worker.drain().phase() {
        Phase::Serving => (program.ready)(),
        Phase::Unready | Phase::Draining { .. } => Err(GOING_DOWN.to_owned()),
    };
    match ready {
        Ok(note) if note.is_empty() => text(respond::PLAIN, "ready\n"),
        Ok(note) => text(respond::PLAIN, format!("ready\n{note}\n")),
        Err(why) => {
            let unready = Refusal::unready(why);
            worker.metrics().refused(unready.reason());
            unready.into_reply(ErrorFormat::Text)
        }
    }
}

fn text(media: &'static str, text: impl Into<bytes::Bytes>) -> Reply {
    respond::whole(StatusCode::OK, media, respond::NO_STORE, Body::full(text))
}
