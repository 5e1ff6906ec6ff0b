//! The golongpoll library's advanced example: several users, public and private events, published as JSON by an HTTP
//! handler of the program's own; a check refuses other people's categories. On a hyper server, mounted at `/news`.
//!
//! `cargo run -p poll-http --example advanced [PORT]`, then open the address that it prints in two windows.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

mod shared;

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use poll_core::{ChannelName, Payload, Publish, Retention, Store};
use poll_http::{Ask, Body, Mount, Refusal, Service, Site};

const USERS: [&str; 3] = ["alice", "bob", "carol"];

const LOGIN: &str = include_str!("pages/advanced_login.html");

/// `TOKEN` and `USER` are put in for each user.
const PAGE: &str = include_str!("pages/advanced.html");

struct App {
    service: Service,
    mount: Mount,
    tokens: Arc<HashMap<String, &'static str>>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let token = || format!("{:032x}", rand::random::<u128>());
    let tokens: Arc<HashMap<_, _>> = Arc::new(USERS.into_iter().map(|user| (token(), user)).collect());
    let known = tokens.clone();
    let service = Service::builder(Store::in_memory(Retention::golongpoll()))
        .site(Site { files: shared::files(), ..Site::default() })
        .check(move |head, ask| {
            let user = user(&known, &head.headers)?;
            let category = ask.channel().as_str();
            let own = category.strip_prefix("private/") == Some(user);
            match ask {
                Ask::Read(_) if category == "public" || own => Ok(()),
                _ => Err(Refusal::new(StatusCode::FORBIDDEN, "not yours")),
            }
        })
        .build();
    let app = Arc::new(App { mount: Mount::new(service.clone(), "/news"), service, tokens });

    let listener = shared::listen().await?;
    loop {
        let (socket, peer) = listener.accept().await?;
        let app = app.clone();
        let answer = service_fn(move |request| answer(app.clone(), peer, request));
        let mut server = hyper::server::conn::http1::Builder::new();
        tokio::spawn(server.timer(TokioTimer::new()).serve_connection(TokioIo::new(socket), answer));
    }
}

/// Who sends this.
fn user(tokens: &HashMap<String, &'static str>, headers: &HeaderMap) -> Result<&'static str, Refusal> {
    let token = headers.get(AUTHORIZATION).and_then(|field| field.to_str().ok()?.strip_prefix("Bearer "));
    let unknown = || Refusal::new(StatusCode::UNAUTHORIZED, "who are you?").challenge("Bearer");
    token.and_then(|token| tokens.get(token).copied()).ok_or_else(unknown)
}

async fn answer(
    app: Arc<App>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path();
    // A real program would ask for a password before it gives a token out.
    let named = |name| app.tokens.iter().find(|(_, user)| **user == name);
    let mut response = Response::new(Body::empty());
    if path.starts_with("/news/") {
        response = app.mount.answer(request, peer).await;
    } else if let Some((token, user)) = path.strip_prefix("/as/").and_then(named) {
        response = html(PAGE.replace("USER", user).replace("TOKEN", token));
    } else if path == "/" {
        response = html(LOGIN);
    } else if path == "/act" && request.method() == Method::POST {
        *response.status_mut() = act(&app, request).await.unwrap_or_else(|refused| refused);
    } else {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(response)
}

fn html(page: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(page));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// Publishes what a user does: to the user, and to everyone if it is public.
async fn act(app: &App, request: Request<Incoming>) -> Result<StatusCode, StatusCode> {
    let user = user(&app.tokens, request.headers()).map_err(|refusal| refusal.status())?;
    let body = Limited::new(request.into_body(), 10_000).collect().await;
    let body = body.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?.to_bytes();
    let act: serde_json::Value = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let action = act["action"].as_str().ok_or(StatusCode::BAD_REQUEST)?;
    let is_public = act["public"] == true;
    let event = serde_json::json!({ "user": user, "action": action, "public": is_public }).to_string();
    for category in [format!("private/{user}")].into_iter().chain(is_public.then(|| "public".to_owned())) {
        let category = ChannelName::parse(&category).map_err(|_| StatusCode::BAD_REQUEST)?;
        let published = app.service.publish(&category, Publish::one(Payload::Json(event.clone().into())));
        published.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    }
    Ok(StatusCode::NO_CONTENT)
}
