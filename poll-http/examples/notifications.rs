//! Notifications under axum: each user has a channel, sees only that, and finds there what came while the page was closed.
//!
//! `cargo run -p poll-http --example notifications [PORT]`, then open the address that it prints, and notify yourself:
//! `curl -d 'Your tea is ready' ADDRESS/notify/ann`. Who sends a request is settled by a layer of the program's own; the
//! check only compares.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

mod shared;

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use poll_core::{ChannelName, Payload, Publish, Retention, Store};
use poll_http::{Ask, Mount, Refusal, Service, Site};

const PAGE: &str = include_str!("pages/notifications.html");

/// Who sends a request, in its extensions.
#[derive(Clone)]
struct User(String);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // A week of them for each user, but no more than 250.
    let retention = Retention { age: Duration::from_secs(7 * 24 * 60 * 60), ..Retention::golongpoll() };
    let service = Service::builder(Store::in_memory(retention))
        .site(Site { files: shared::files(), ..Site::default() })
        .check(|head, ask| {
            let user = head.extensions.get::<User>();
            let own = user.is_some_and(|user| ask.channel().as_str().strip_prefix("user/") == Some(&user.0));
            match ask {
                Ask::Read(_) if own => Ok(()),
                _ => Err(Refusal::new(StatusCode::FORBIDDEN, "not for you")),
            }
        })
        .on_publish(|channel, published| println!("{} to {channel}", published.stamps[0].id))
        .build();
    let mount = Mount::new(service.clone(), "/poll")
        .peer_of(|head| head.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0));
    let app = Router::new()
        .route_service("/poll/{*path}", mount)
        .route("/", get(|| async { Html(PAGE) }))
        .route("/login/{user}", get(login))
        .route("/notify/{user}", post(notify))
        .layer(middleware::from_fn(who))
        .with_state(service);

    let listener = shared::listen().await?;
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

/// A real program would ask for a password here, and put a secret into the cookie.
async fn login(Path(user): Path<String>) -> Response {
    if !user.chars().all(|letter| letter.is_ascii_alphanumeric()) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let cookie = format!("user={user}; Path=/; HttpOnly; SameSite=Strict");
    ([(SET_COOKIE, cookie)], Redirect::to(&format!("/?user={user}"))).into_response()
}

/// Settles who sends a request.
async fn who(mut request: Request, next: Next) -> Response {
    if let Some(user) = cookie(request.headers(), "user") {
        request.extensions_mut().insert(User(user));
    }
    next.run(request).await
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let fields = headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
    let mut pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(key, value)| (key == name).then(|| value.to_owned()))
}

/// Publishes from a handler. Anyone may notify anyone; that too would be the program's to decide.
async fn notify(State(service): State<Service>, Path(user): Path<String>, text: String) -> StatusCode {
    let Ok(channel) = ChannelName::parse(&format!("user/{user}")) else { return StatusCode::BAD_REQUEST };
    match service.publish(&channel, Publish::one(Payload::text(text))).await {
        Ok(_) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
