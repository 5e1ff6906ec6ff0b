//! Publishing: the answer comes when the message is kept and every reader can see it.

use bytes::Bytes;
use http::request::Parts;
use http::{Response, StatusCode};
use poll_core::ChannelName;

use crate::body::{Body, RequestBody};
use crate::dialect::native::{self, Incoming};
use crate::dialect::{channel, chat, golongpoll};
use crate::error::Refusal;
use crate::intake;
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
    let most = incoming.most_bytes(settings.max_payload_bytes);
    let body = content(&service, body, most).await?;
    let publish = native::publish(&head, incoming, &body, settings.max_payload_bytes, settings.demo)?;
    drop(body);
    let published = service.publish_for(head, &channel, publish).await?;
    Ok(native::published(&channel, &published, incoming))
}

/// Takes one step of a job; the one with a final status ends it.
pub(crate) async fn report(
    service: Service,
    head: Parts,
    job: ChannelName,
    body: RequestBody,
) -> Result<Response<Body>, Refusal> {
    let body = content(&service, body, service.settings().max_payload_bytes).await?;
    let published = service.publish_for(head, &job, native::progress_report(&body)?).await?;
    let mut response = native::published(&job, &published, Incoming::STEP);
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

/// Takes an event of the golongpoll dialect.
pub(crate) async fn event(
    service: Service,
    head: Parts,
    body: RequestBody,
) -> Result<Response<Body>, Refusal> {
    let most = service.settings().max_payload_bytes;
    let body = content(&service, body, most.saturating_add(golongpoll::ENVELOPE_BYTES)).await?;
    let (channel, publish) = golongpoll::publish(&body, most)?;
    service.publish_for(head, &channel, publish).await?;
    Ok(golongpoll::published())
}

/// Takes a message of the chat dialect.
pub(crate) async fn chat(
    service: Service,
    head: Parts,
    body: RequestBody,
) -> Result<Response<Body>, Refusal> {
    let body = content(&service, body, chat::MOST_BYTES).await?;
    let (publish, text) = chat::publish(&body, service.settings().max_payload_bytes)?;
    let published = service.publish_for(head, &chat::channel()?, publish).await?;
    Ok(chat::published(&published, &text))
}

/// Takes a message of the channel dialect.
pub(crate) async fn to_channel(
    service: Service,
    head: Parts,
    channel: ChannelName,
    body: RequestBody,
) -> Result<Response<Body>, Refusal> {
    let most = service.settings().max_payload_bytes;
    let body = content(&service, body, most).await?;
    let published = service.publish_for(head, &channel, channel::publish(&body, most)?).await?;
    Ok(channel::published(&published))
}

async fn content(service: &Service, body: RequestBody, most: usize) -> Result<Bytes, Refusal> {
    intake::read(body, most, service.settings().body, service.deadlines()).await
}
