//! What is answered, and what is sent to receivers.

use http::StatusCode;
use poll_core::{Timestamp, escape_line_separators};
use serde_json::{Value, json};

use super::fault::Fault;
use super::state::{Link, NextWake, Subscription};
use super::wake::Wake;
use crate::dialect::durable_streams::offset;
use crate::message::body::Body;
use crate::message::reply::Reply;
use crate::message::respond;

/// The answer to a request that is refused.
pub(crate) fn refuse(fault: &Fault) -> Reply {
    let (status, code, message) = fault.parts();
    let mut error = json!({ "code": code, "message": message });
    if let Fault::AlreadyClaimed { holder, generation } = fault {
        error["current_holder"] = json!(holder);
        error["generation"] = json!(generation);
    }
    json_reply(status, &json!({ "error": error }))
}

/// The answer that shows a subscription.
pub(crate) fn created(status: StatusCode, subscription: &Subscription, id: &str, key: &str) -> Reply {
    let base = &subscription.base;
    let mut fields = subscription.configuration.to_json();
    fields.insert("id".into(), id.into());
    fields.insert("subscription_id".into(), id.into());
    let stream = |(name, link): (&str, &Link)| json!({ "path": name, "link_type": kind(link), "acked_offset": offset::text(link.acked.seq) });
    fields.insert("streams".into(), subscription.links().map(stream).collect());
    if let Some(Value::Object(webhook)) = fields.get_mut("webhook") {
        let keys = format!("{base}{}", super::address::KEYS);
        webhook.insert("signing".into(), json!({ "alg": "ed25519", "kid": key, "jwks_url": keys }));
    }
    fields.insert("created_at".into(), time(subscription.created).into());
    fields.insert("status".into(), if subscription.is_failing() { "failed" } else { "active" }.into());
    if subscription.left_out > 0 {
        fields.insert("streams_left_out".into(), subscription.left_out.into());
    }
    json_reply(status, &Value::Object(fields))
}

/// The answer to a claim.
pub(crate) fn claimed(subscription: &Subscription, wake: &Wake, token: &str) -> Reply {
    let body = json!({
        "wake_id": wake.id,
        "generation": wake.generation,
        "token": token,
        "streams": streams(subscription),
        "lease_ttl_ms": subscription.configuration.lease_millis(),
    });
    json_reply(StatusCode::OK, &body)
}

/// The answer to an acknowledgement.
pub(crate) fn turned(next: NextWake) -> Reply {
    json_reply(StatusCode::OK, &json!({ "ok": true, "next_wake": next == NextWake::Yes }))
}

/// The answer where there is nothing to say.
pub(crate) fn done() -> Reply {
    respond::bare(StatusCode::NO_CONTENT)
}

/// The public keys that webhooks are signed with (RFC 7517).
pub(crate) fn key_set(keys: &[(String, String)]) -> Reply {
    let key = |(id, public): &(String, String)| json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "use": "sig", "alg": "EdDSA", "x": public });
    let body = json!({ "keys": keys.iter().map(key).collect::<Vec<_>>() });
    // That there are none yet may change at any time.
    let caching = if keys.is_empty() { "no-store" } else { "public, max-age=300" };
    respond::whole(StatusCode::OK, "application/jwk-set+json", caching, Body::full(body.to_string()))
}

/// The content of a webhook.
pub(crate) fn delivery(subscription: &Subscription, id: &str, wake: &Wake, token: &str) -> Vec<u8> {
    let base = &subscription.base;
    text(&json!({
        "subscription_id": id,
        "wake_id": wake.id,
        "generation": wake.generation,
        "streams": streams(subscription),
        "callback_url": format!("{base}{}{}/callback", super::ROOT, super::address::encoded(id)),
        "callback_token": token,
    }))
}

/// The message that tells workers of a wake.
pub(crate) fn wake_event(id: &str, wake: &Wake, now: Timestamp) -> Vec<u8> {
    text(&json!({
        "type": "wake",
        "subscription_id": id,
        "stream": wake.stream,
        "generation": wake.generation,
        "ts": now.as_millis(),
    }))
}

fn streams(subscription: &Subscription) -> Value {
    let stream = |(name, link): (&str, &Link)| {
        json!({
            "path": name,
            "link_type": kind(link),
            "acked_offset": offset::text(link.acked.seq),
            "tail_offset": offset::text(link.end.seq),
            "has_pending": link.is_pending(),
        })
    };
    subscription.links().map(stream).collect()
}

fn kind(link: &Link) -> &'static str {
    if link.explicit { "explicit" } else { "glob" }
}

fn time(at: Timestamp) -> String {
    String::from_utf8_lossy(&at.to_rfc3339()).into_owned()
}

fn json_reply(status: StatusCode, value: &Value) -> Reply {
    respond::json(status, text(value))
}

fn text(value: &Value) -> Vec<u8> {
    let mut text = value.to_string().into_bytes();
    escape_line_separators(&mut text, 0);
    text
}
