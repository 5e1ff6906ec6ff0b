//! `poll-server token`: prints the token of a signed link.
//!
//! What: its arguments, and the token. It needs the key and no server.
//! Not here: how a link is signed (poll-http).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, ArgGroup, ArgMatches, Command, value_parser};
use poll_core::{ChannelName, Timestamp};
use poll_http::jwt::{Link, LinkRight, SigningKey};

use crate::arguments::{self, Parsed};
use crate::config;

/// The longest that a link may be good for: a century.
const LONGEST: Duration = Duration::from_secs(3_155_760_000);

/// What the command line asks for.
#[derive(Debug)]
pub enum TokenCommand {
    /// To print this token.
    Print(String),
    /// To print this help.
    Help(String),
}

impl TokenCommand {
    /// Whether the first argument names it.
    pub fn is_named(argument: Option<&OsString>) -> bool {
        argument.is_some_and(|argument| argument == "token")
    }

    /// Makes a token as the arguments behind the command's name say.
    ///
    /// # Errors
    /// What is wrong with them, in one line.
    pub fn run(
        arguments: impl IntoIterator<Item = OsString>,
        now: Timestamp,
        file: &dyn Fn(&Path) -> std::io::Result<String>,
    ) -> Result<Self, String> {
        let matches = match arguments::parse(command(), arguments)? {
            Parsed::Matches(matches) => matches,
            Parsed::Help(text) => return Ok(Self::Help(text)),
        };
        let text = |name: &str| matches.get_one::<String>(name).map(String::as_str);
        let channel = ChannelName::parse(text("channel").unwrap_or_default());
        let link = Link {
            channel: &channel.map_err(|error| format!("--channel: {error}"))?,
            right: if text("right") == Some("publish") { LinkRight::Publish } else { LinkRight::Subscribe },
            expires: now.after(matches.get_one("for").copied().unwrap_or_default()),
            subject: text("subject"),
            issuer: text("jwt-issuer"),
            audience: text("jwt-audience"),
        };
        let token = key(&matches, file)?.sign(&link).ok_or("the system has no randomness to sign with")?;
        Ok(Self::Print(token))
    }
}

fn key(matches: &ArgMatches, file: &dyn Fn(&Path) -> std::io::Result<String>) -> Result<SigningKey, String> {
    type Parse = fn(&str) -> Result<SigningKey, poll_http::jwt::KeyError>;
    let kinds: [(&str, Parse); 2] = [
        ("jwt-secret-file", |text| SigningKey::secret(config::secret(text))),
        ("jwt-private-key", |text| SigningKey::from_pem(text.as_bytes())),
    ];
    for (name, parse) in kinds {
        if let Some(path) = matches.get_one::<PathBuf>(name) {
            let fault = |what: &dyn std::fmt::Display| format!("--{name}: {}: {what}", path.display());
            let text = file(path).map_err(|error| fault(&error))?;
            return parse(&text).map_err(|error| fault(&error));
        }
    }
    Err("--jwt-secret-file or --jwt-private-key is needed".to_owned())
}

/// Its flags.
pub(crate) fn command() -> Command {
    let arg = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let path = value_parser!(PathBuf);
    Command::new("token")
        .about("Prints the token of a signed link: one right on one channel, until it expires")
        .after_help(
            "The token goes into a URL as access_token, for a native EventSource: \
             /api/stream?channel=C&access_token=T.\nThe server needs the same secret (--jwt-secret-file), or the \
             public key (--jwt-key).",
        )
        .max_term_width(110)
        .arg(arg("channel", "C", "The channel, exactly").required(true))
        .arg(arg("right", "RIGHT", "What the link allows").value_parser(["subscribe", "publish"]).required(true))
        .arg(arg("for", "TIME", "How long it is good: 90s, 15m, 1h, 7d").value_parser(time).required(true))
        .arg(arg("jwt-secret-file", "FILE", "The server's secret").value_parser(path.clone()).env("POLL_JWT_SECRET_FILE"))
        .arg(arg("jwt-private-key", "FILE", "Private key (PEM, PKCS #8): RSA, P-256, P-384 or Ed25519").value_parser(path))
        .group(ArgGroup::new("key").args(["jwt-secret-file", "jwt-private-key"]).multiple(true))
        .arg(arg("subject", "S", "Whose it is: the client of the limits"))
        .arg(arg("jwt-issuer", "I", "Claim `iss`, where the server wants one"))
        .arg(arg("jwt-audience", "A", "Claim `aud`, where the server wants one"))
}

/// A whole number of seconds, or of the unit behind it.
fn time(text: &str) -> Result<Duration, String> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err("a time is a number with s, m, h or d behind it, such as 1h".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "a time is a number with a unit, such as 1h".to_owned())?;
    let time = number.checked_mul(seconds).map(Duration::from_secs).filter(|time| *time <= LONGEST);
    match time {
        None => Err("a link is good for a century at most".to_owned()),
        Some(Duration::ZERO) => Err("a link that is good for no time is good for nothing".to_owned()),
        Some(time) => Ok(time),
    }
}
