//! TLS as clients and an operator meet it: real handshakes of curl, nghttp, openssl and rustls, and files that change.

mod acme;
mod certificates;
mod client;
mod credentials;
mod handshakes;
mod key_set;
mod mutual;
mod redirect;
mod reload;
mod serving;

use crate::process::{Server, command};
use certificates::Pair;

/// A server with these certificates, the first being the default.
fn start(pairs: &[&Pair], arguments: &[&str]) -> Server {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0"]);
    for pair in pairs {
        command.arg("--tls-cert").arg(pair.certificate()).arg("--tls-key").arg(pair.key());
    }
    command.args(arguments);
    Server::start_command(command, 1)
}
