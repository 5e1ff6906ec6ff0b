//! Whether a user name is free, while it is typed: one question a keystroke, and news when another user takes the name that
//! is in the form. Under axum, with the mount nested below a router.
//!
//! `cargo run -p poll-http --example form_validation [PORT]`, then open the address that it prints in two windows.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

mod shared;

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
use poll_http::{Ask, Mount, Refusal, Service, Site};

const PAGE: &str = include_str!("pages/form_validation.html");

#[derive(Clone)]
struct App {
    service: Service,
    taken: Arc<Mutex<HashSet<String>>>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let service = Service::builder(Store::in_memory(Retention::default()))
        .site(Site { files: shared::files(), ..Site::default() })
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

    let listener = shared::listen().await?;
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
