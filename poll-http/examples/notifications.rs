//! Notifications under axum: each user has a category, sees only that, and sees each notification once.
//!
//! `cargo run -p poll-http --example notifications [PORT]`, then open `/login/ann` of the address that it prints, and
//! `curl -d 'Your tea is ready' ADDRESS/notify/ann`. Who somebody is, is settled by a layer of the program's own; the
//! check only compares.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::error::Error;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use poll_core::{ChannelName, Payload, Publish, Retention, Store};
use poll_http::{AfterDelivery, Ask, Mount, Refusal, Service, ServiceSettings};
use tokio::net::TcpListener;

const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>Notifications</title>
<h1>Notifications for <span id="user"></span></h1><ul id="list"></ul>
<script>
const user = new URLSearchParams(location.search).get("user");
document.getElementById("user").textContent = user;
async function follow() {
  // From ever on: what was seen is deleted, so this is what was not.
  let since = 1, last = "";
  for (;;) {
    try {
      const query = new URLSearchParams({ timeout: 45, category: "user/" + user, since_time: since });
      if (last) query.set("last_id", last);
      const answer = await (await fetch("/poll/events?" + query)).json();
      if (answer.error) throw new Error(answer.error);
      for (const event of answer.events || []) {
        const line = document.createElement("li");
        line.textContent = event.data;
        document.getElementById("list").append(line);
        [since, last] = [event.timestamp, event.id];
      }
    } catch (error) {
      console.warn(error);
      await new Promise((done) => setTimeout(done, 3000));
    }
  }
}
follow();
</script>"#;

/// Who sends a request, in its extensions.
#[derive(Clone)]
struct User(String);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse::<u16>())?;
    let settings =
        ServiceSettings { golongpoll_after_delivery: AfterDelivery::Delete, ..ServiceSettings::default() };
    let service = Service::builder(Store::in_memory(Retention::golongpoll()))
        .settings(settings)
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

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
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

/// Settles who somebody is.
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

/// Publishes from a handler. Anybody may notify anybody; that too would be the program's to decide.
async fn notify(State(service): State<Service>, Path(user): Path<String>, text: String) -> StatusCode {
    let Ok(channel) = ChannelName::parse(&format!("user/{user}")) else { return StatusCode::BAD_REQUEST };
    match service.publish(&channel, Publish::one(Payload::text(text))).await {
        Ok(_) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
