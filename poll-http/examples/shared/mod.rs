//! What all examples share: the files of their pages, and where they listen.
//!
//! Every page is one file in `pages/`, and uses the stylesheet here, the JavaScript client of `poll-client/js`, and
//! `page.js`, which shows the client's state in the page's head. Nothing here knows what an example does.

use std::error::Error;
use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use poll_http::Asset;
use tokio::net::TcpListener;

/// The port if none is given.
const PORT: u16 = 8090;

/// What every page includes: for `Site::files`.
pub(crate) fn files() -> Arc<[Asset]> {
    let script = "text/javascript; charset=utf-8";
    [
        file("/poll.js", script, include_bytes!("poll.js")),
        file("/page.js", script, include_bytes!("page.js")),
        file("/style.css", "text/css; charset=utf-8", include_bytes!("style.css")),
        file("/icon.svg", "image/svg+xml", include_bytes!("icon.svg")),
    ]
    .into()
}

fn file(path: &'static str, content_type: &'static str, bytes: &'static [u8]) -> Asset {
    let fields = [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-cache")];
    let headers: HeaderMap =
        fields.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
    // A link would announce the file before the page; these are not announced.
    let link = HeaderValue::from_static("");
    Asset { path: path.to_owned(), headers, body: bytes.into(), link }
}

/// Listens on the port that the first argument, or else `PORT` in the environment, gives (0: any that is free), and
/// prints the address to open.
pub(crate) async fn listen() -> Result<TcpListener, Box<dyn Error>> {
    let given = std::env::args().nth(1).or_else(|| std::env::var("PORT").ok());
    let port =
        given.map_or(Ok(PORT), |given| given.parse::<u16>().map_err(|_| format!("{given:?} is no port")))?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await;
    let listener = listener
        .map_err(|error| format!("cannot listen on port {port}: {error}; give another, or 0 for any"))?;
    println!("open http://{}/", listener.local_addr()?);
    Ok(listener)
}
