//! Publishing: the answer comes when the message is kept and every reader can see it.

use http::request::Parts;
use http::{Response, StatusCode};
use poll_core::ChannelName;

use crate::body::{Body, RequestBody};
use crate::dialect::native::{self, Incoming};
use crate::error::Refusal;
use crate::intake;
use crate::respond;
use crate::service::Service;

/// Takes one message, or a body of lines, all or none.
pub(crate) async fn publish(
    service: Service,
    head: Parts,
    body: RequestBody,
) -> Result<Response<Body>, Refusal> {
    let channel = native::channel(&head)?;
    let settings = service.settings();
    let incoming = Incoming::of(&head);
    let most = incoming.most_bytes(&head, settings.max_payload_bytes);
    let body = intake::read(body, most, settings.body, service.deadlines()).await?;
    let publish = native::publish(&head, &body, settings.max_payload_bytes, settings.demo)?;
    drop((head, body));
    let published = service.publish(&channel, publish).await?;
    Ok(native::published(&channel, &published, incoming))
}

/// Takes one step of a job; the one with a final status ends it.
pub(crate) async fn report(
    service: Service,
    job: ChannelName,
    body: RequestBody,
) -> Result<Response<Body>, Refusal> {
    let settings = service.settings();
    let body = intake::read(body, settings.max_payload_bytes, settings.body, service.deadlines()).await?;
    let publish = native::progress_report(&body)?;
    let published = service.publish(&job, publish).await?;
    Ok(native::published(&job, &published, Incoming::One)).map(|mut response| {
        *response.status_mut() = StatusCode::ACCEPTED;
        response.headers_mut().insert(http::header::CACHE_CONTROL, respond::NO_STORE);
        response
    })
}
