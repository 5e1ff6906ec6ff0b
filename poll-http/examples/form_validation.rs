//! Whether a user name is free, while it is typed: one question a keystroke, and news when somebody else takes the name
//! that is in the form. Under axum, with the mount nested below a router.
//!
//! `cargo run -p poll-http --example form_validation [PORT]`, then open the address in two windows.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::collections::HashSet;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use poll_core::{ChannelName, Payload, Publish, Retention, Store};
use poll_http::{Ask, Mount, Refusal, Service};
use tokio::net::TcpListener;

const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>Sign up</title>
<h1>Sign up</h1><form><input autocomplete="off" autofocus placeholder="user name"><button disabled>Take</button></form>
<p role="status"></p>
<script>
const [input, button, verdict] = ["input", "button", "p"].map((one) => document.querySelector(one));
function say(text, free) {
  verdict.textContent = text;
  button.disabled = !free;
}
async function check() {
  const name = input.value;
  if (!name) return say("", false);
  const answer = await (await fetch("/check/" + encodeURIComponent(name))).json();
  // An answer about what the form no longer says is old.
  if (name === input.value) say(answer.verdict, answer.free);
}
input.addEventListener("input", check);
document.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = input.value;
  const answer = await fetch("/take/" + encodeURIComponent(name), { method: "POST" });
  say(answer.status === 201 ? `${name} is yours.` : `${name} is no longer free.`, false);
});
new EventSource("/poll/api/stream?channel=taken").onmessage = (event) => {
  if (JSON.parse(event.data).message === input.value && !button.disabled) say("Somebody just took it.", false);
};
</script>"#;

#[derive(Clone)]
struct App {
    service: Service,
    taken: Arc<Mutex<HashSet<String>>>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse::<u16>())?;
    let service = Service::builder(Store::in_memory(Retention::default()))
        .check(|_, ask| match ask {
            Ask::Read(channel) if channel.as_str() == "taken" => Ok(()),
            _ => Err(Refusal::new(StatusCode::FORBIDDEN, "only what is taken may be read here")),
        })
        .build();
    let taken = ["admin", "root"].map(str::to_owned).into();
    let app = Router::new()
        .nest_service("/poll", Mount::nested(service.clone(), "/poll"))
        .route("/", get(|| async { Html(PAGE) }))
        .route("/check/{name}", get(check))
        .route("/take/{name}", post(take))
        .with_state(App { service, taken: Arc::new(Mutex::new(taken)) });

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

/// What is wrong with a name by itself.
fn fault(name: &str) -> Option<&'static str> {
    match name.len() {
        0..3 => Some("Three letters at least."),
        3..=20 if name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit()) => None,
        3..=20 => Some("Small letters and digits only."),
        _ => Some("Twenty letters at most."),
    }
}

async fn check(State(app): State<App>, Path(name): Path<String>) -> Response {
    let is_taken = || app.taken.lock().unwrap_or_else(PoisonError::into_inner).contains(&name);
    let fault = fault(&name).or_else(|| is_taken().then_some("It is taken."));
    let verdict = serde_json::json!({ "free": fault.is_none(), "verdict": fault.unwrap_or("It is free.") });
    ([(CONTENT_TYPE, "application/json")], verdict.to_string()).into_response()
}

async fn take(State(app): State<App>, Path(name): Path<String>) -> StatusCode {
    let is_new = fault(&name).is_none()
        && app.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
    if !is_new {
        return StatusCode::CONFLICT;
    }
    let Ok(channel) = ChannelName::parse("taken") else { return StatusCode::INTERNAL_SERVER_ERROR };
    // The name is taken all the same: who is not told is told when they try.
    if let Err(error) = app.service.publish(&channel, Publish::one(Payload::text(name))).await {
        println!("not told: {error}");
    }
    StatusCode::CREATED
}
