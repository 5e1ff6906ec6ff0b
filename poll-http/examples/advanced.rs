//! The golongpoll library's advanced example: several users, public and private events, published as JSON by an HTTP
//! handler of the program's own; a check refuses other people's categories. On a hyper server, mounted at `/news`.
//!
//! `cargo run -p poll-http --example advanced [PORT]`, then open `/as/alice` and `/as/bob` of the address it prints.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use poll_core::{ChannelName, Payload, Publish, Retention, Store};
use poll_http::{Ask, Body, Mount, Refusal, Service};
use tokio::net::TcpListener;

const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// `TOKEN` and `USER` are put in for each user.
const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>USER</title>
<h1>USER</h1><label><input type="checkbox" id="public" checked> public</label>
<button>waves</button> <button>sings</button> <button>leaves</button>
<h2>Mine</h2><ul id="private/USER"></ul><h2>Everybody's</h2><ul id="public"></ul>
<script>
const headers = { Authorization: "Bearer TOKEN" };
for (const button of document.querySelectorAll("button")) button.onclick = () => fetch("/act", {
  method: "POST", headers, body: JSON.stringify({ action: button.textContent, public: document.querySelector("input").checked }),
});
async function follow(category) {
  let since = Date.now() - 60000, last = "";
  for (;;) {
    try {
      const query = new URLSearchParams({ timeout: 45, category, since_time: since });
      if (last) query.set("last_id", last);
      const answer = await (await fetch("/news/events?" + query, { headers })).json();
      if (answer.error) throw new Error(answer.error);
      for (const { timestamp, data, id } of answer.events || []) {
        const line = document.createElement("li");
        line.textContent = new Date(timestamp).toLocaleTimeString() + ` ${data.user} ${data.action}`;
        document.querySelector(`ul[id="${category}"]`).prepend(line);
        [since, last] = [timestamp, id];
      }
      if (answer.timestamp) since = answer.timestamp;
    } catch (error) {
      console.warn(error);
      await new Promise((done) => setTimeout(done, 3000));
    }
  }
}
["private/USER", "public"].forEach(follow);
</script>"#;

struct App {
    service: Service,
    mount: Mount,
    tokens: Arc<HashMap<String, &'static str>>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse::<u16>())?;
    let token = || format!("{:032x}", rand::random::<u128>());
    let tokens: Arc<HashMap<_, _>> = Arc::new(USERS.into_iter().map(|user| (token(), user)).collect());
    let known = tokens.clone();
    let service = Service::builder(Store::in_memory(Retention::golongpoll()))
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

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
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
        *response.body_mut() = Body::full(PAGE.replace("USER", user).replace("TOKEN", token));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    } else if path == "/act" && request.method() == Method::POST {
        *response.status_mut() = act(&app, request).await.unwrap_or_else(|refused| refused);
    } else {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(response)
}

/// Publishes what a user does: to the user, and to everybody if it is public.
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
