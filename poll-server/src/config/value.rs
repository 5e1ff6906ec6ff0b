//! Parses single values: text in, a checked type or one plain sentence out.
//!
//! What: one function per kind of value, all of the form `fn(&str) -> Result<T, String>`.
//! Why: the resolved configuration needs no further checks.
//! Not here: names, sources and defaults. Messages never repeat a secret.

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use ipnet::IpNet;
#[cfg(feature = "redis")]
use poll_core::journal::redis;
use tracing_subscriber::EnvFilter;

use super::resolved::{
    CorsOrigin, Durability, LogFormat, MaxSockets, MaxSocketsPerAddress, StoreUrl, Switch, Token,
};
use super::suggest::{did_you_mean, nearest};

/// A century: beyond it sums of instants could overflow, and no wait is that long.
const LONGEST_SECONDS: f64 = 3_155_760_000.0;

/// A whole number in plain digits; `+5`, `1e3` and `1_000` are typing errors here, not numbers.
fn digits(text: &str) -> Result<u64, String> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain {
        return Err(format!("{text:?} is not a whole number"));
    }
    text.parse().map_err(|_| format!("{text} is too large"))
}

/// A decimal in plain digits with at most one point: no sign, exponent, `inf` or `nan`.
fn decimal(text: &str) -> Result<f64, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().filter(|&byte| byte == b'.').count() <= 1;
    match text.parse::<f64>() {
        Ok(number) if plain && number.is_finite() => Ok(number),
        _ => Err(format!("{text:?} is not a number")),
    }
}

/// Seconds, decimals allowed, zero allowed.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let number = decimal(text)?;
    if number > LONGEST_SECONDS {
        return Err(format!("{text} seconds is more than a century"));
    }
    Ok(Duration::from_secs_f64(number))
}

/// Seconds, at least a millisecond: zero would cut everyone off.
pub(super) fn some_seconds(text: &str) -> Result<Duration, String> {
    let time = seconds(text)?;
    if time < Duration::from_millis(1) {
        return Err(format!("{text} is too short: at least 0.001 seconds"));
    }
    Ok(time)
}

/// Whole seconds from 1 up, as in golongpoll's `timeout`.
pub(super) fn whole_seconds(text: &str) -> Result<Duration, String> {
    match digits(text)? {
        0 => Err("0 is too short: at least 1 second".to_owned()),
        number if number > 86_400 => Err(format!("{text} is too long: at most 86400 seconds")),
        number => Ok(Duration::from_secs(number)),
    }
}

/// A count; the meaning of zero is up to the setting.
pub(super) fn count(text: &str) -> Result<u64, String> {
    digits(text)
}

/// A number of bytes, with or without a binary unit (IEC 80000-13): `65536`, `64KiB`, `128MiB`, `1GiB`; also as nginx and
/// Docker write them, `64k`, `128m`, `1g`. `MB`, which may mean either, is refused.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let units = [("kib", 10), ("mib", 20), ("gib", 30), ("k", 10), ("m", 20), ("g", 30), ("", 0)];
    let lower = text.to_ascii_lowercase();
    let (number, shift) = units
        .into_iter()
        .find_map(|(unit, shift)| Some((lower.strip_suffix(unit)?.trim_end(), shift)))
        .unwrap_or((&lower, 0));
    let is_unit = number.ends_with(|last: char| last.is_ascii_alphabetic());
    if is_unit && number.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(format!("{text:?} has no unit that is known: KiB, MiB, GiB, or none for bytes"));
    }
    digits(number)?.checked_mul(1 << shift).ok_or_else(|| format!("{text} is too large"))
}

/// A count that fits 32 bits.
pub(super) fn small_count(text: &str) -> Result<u32, String> {
    digits(text).and_then(|number| u32::try_from(number).map_err(|_| format!("{text} is too large")))
}

/// A count where zero means no limit.
pub(super) fn count_or_unlimited(text: &str) -> Result<Option<NonZeroU64>, String> {
    digits(text).map(NonZeroU64::new)
}

/// `--max-sockets`: a count where zero means no limit.
pub(super) fn max_sockets(text: &str) -> Result<MaxSockets, String> {
    Ok(count_or_unlimited(text)?.map_or(MaxSockets::Unlimited, MaxSockets::At))
}

/// `--max-sockets-per-address`: a count where zero means no limit.
pub(super) fn max_sockets_per_address(text: &str) -> Result<MaxSocketsPerAddress, String> {
    Ok(count_or_unlimited(text)?.map_or(MaxSocketsPerAddress::Unlimited, MaxSocketsPerAddress::At))
}

/// `--max-control-frames`: a rate; bursts of ten seconds' worth are allowed.
pub(super) fn control_frames(text: &str) -> Result<u32, String> {
    let most = 100_000_000;
    match digits(text).map(u32::try_from)? {
        Ok(number) if number <= most => Ok(number),
        _ => Err(format!("{text} is out of range: at most {most} a second")),
    }
}

/// HTTP/2 streams: the setting has 31 bits on the wire (RFC 9113 section 6.5.2), zero is all of them.
pub(super) fn streams(text: &str) -> Result<u32, String> {
    let most = u64::from(u32::MAX >> 1);
    match digits(text)? {
        0 => Ok(u32::MAX >> 1),
        number if number > most => Err(format!("{text} is more than HTTP/2 can say: at most {most}")),
        number => u32::try_from(number).map_err(|_| format!("{text} is too large")),
    }
}

/// A number of bytes between `least` and `most`.
fn bytes_within(text: &str, least: usize, most: usize) -> Result<usize, String> {
    match bytes(text).map(usize::try_from)? {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("{text} is out of range: {least} to {most} bytes")),
    }
}

/// `--max-payload-bytes`: at most what one response can hold in memory.
pub(super) fn payload_bytes(text: &str) -> Result<usize, String> {
    bytes_within(text, 1, 1 << 30)
}

/// `--max-head-bytes`: 8 KiB is the smallest buffer that hyper works with.
pub(super) fn head_bytes(text: &str) -> Result<usize, String> {
    bytes_within(text, 8_192, 1 << 20)
}

/// `--workers`.
pub(super) fn workers(text: &str) -> Result<NonZeroUsize, String> {
    let number = digits(text)?;
    let number = usize::try_from(number).ok().filter(|&number| number <= 1_024);
    number.and_then(NonZeroUsize::new).ok_or_else(|| format!("{text} is out of range: 1 to 1024"))
}

/// Requests a second; `off` and zero are none.
pub(super) fn rate(text: &str) -> Result<Option<f64>, String> {
    if text == "off" {
        return Ok(None);
    }
    let number = decimal(text)?;
    if number > 1e9 || (number > 0.0 && number < 1e-6) {
        return Err(format!("{text} is out of range: 0.000001 to 1000000000 a second"));
    }
    Ok((number > 0.0).then_some(number))
}

/// A bucket must hold at least one request, or nothing ever passes.
pub(super) fn burst(text: &str) -> Result<f64, String> {
    let number = decimal(text)?;
    if (1.0..=1e9).contains(&number) {
        Ok(number)
    } else {
        Err(format!("{text} is out of range: 1 to 1000000000 requests"))
    }
}

/// The name of a file, which is read later.
pub(super) fn file(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("the name of the file is empty".to_owned()) } else { Ok(text.into()) }
}

/// What is asked by https, or by http on this machine; `why` says what could go wrong otherwise.
pub(super) fn trusted_url(text: &str, why: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|_| format!("{text:?} is not a URL"))?;
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    let credentials = url.authority().is_some_and(|authority| authority.as_str().contains('@'));
    match url.scheme_str() {
        _ if host.is_empty() => Err(format!("{text:?} is not a URL")),
        // Not repeated: it may be a secret.
        _ if credentials => Err("a URL with a user is not fetched".to_owned()),
        Some("https") if cfg!(feature = "tls") => Ok(url),
        Some("https") => Err("this build of poll-server was made without the feature tls".to_owned()),
        Some("http") if is_here => Ok(url),
        _ => Err(format!("{text:?} is not https, nor http to this machine: {why}")),
    }
}

/// `IP:PORT`. Names are not looked up: a start must not depend on DNS.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is not IP:PORT, such as 127.0.0.1:8080 or [::1]:8080"))
}

/// What `--store` may be.
const STORES: &str = if cfg!(feature = "redis") {
    "memory:, disk:PATH, redis://HOST, rediss://HOST, valkey://HOST, unix:PATH, redis+sentinel://HOST,HOST/MASTER, \
     redis+cluster://HOST,HOST"
} else {
    "memory:, disk:PATH"
};

/// `memory:`, `disk:PATH`, or the address of a store that several servers share. A fault repeats nothing of what may be a
/// password.
pub(super) fn store(text: &str) -> Result<StoreUrl, String> {
    if text == "memory:" {
        return Ok(StoreUrl::Memory);
    }
    if let Some(path) = text.strip_prefix("disk:").filter(|path| !path.is_empty()) {
        return Ok(StoreUrl::Disk(PathBuf::from(path)));
    }
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    match scheme.split('+').next() {
        Some("redis" | "rediss" | "valkey" | "valkeys" | "unix") => shared_store(text),
        _ => Err(format!("not one of {STORES}{}", did_you_mean(meant_store(text).as_deref()))),
    }
}

/// The store that was probably meant.
fn meant_store(text: &str) -> Option<String> {
    let scheme = text.split_once(':').map_or(text, |(scheme, _)| scheme);
    if text.starts_with(['/', '.', '~']) {
        return Some("disk:PATH".to_owned());
    }
    let schemes = if cfg!(feature = "redis") {
        &["memory", "disk", "redis", "rediss", "valkey", "valkeys", "unix", "redis+sentinel", "redis+cluster"]
            [..]
    } else {
        &["memory", "disk"]
    };
    let meant = nearest(scheme, schemes.iter().copied())?;
    let form = STORES.split(", ").find(|form| form.split(':').next() == Some(meant));
    Some(form.map_or_else(|| format!("{meant}://HOST"), str::to_owned))
}

#[cfg(feature = "redis")]
fn shared_store(text: &str) -> Result<StoreUrl, String> {
    text.parse().map(StoreUrl::Redis).map_err(|error: redis::RedisUrlError| match error {
        redis::RedisUrlError::Scheme => format!("{error}{}", did_you_mean(meant_store(text).as_deref())),
        error => error.to_string(),
    })
}

#[cfg(not(feature = "redis"))]
fn shared_store(_: &str) -> Result<StoreUrl, String> {
    Ok(StoreUrl::Redis)
}

/// `--redis-prefix`: braces would change where Redis keeps a key.
#[cfg(feature = "redis")]
pub(super) fn redis_prefix(text: &str) -> Result<String, String> {
    let fits = |character: char| !"{}".contains(character) && !character.is_control() && character != ' ';
    if !(1..=100).contains(&text.len()) || !text.chars().all(fits) {
        return Err(format!("{text:?} is not 1 to 100 bytes without braces, spaces and control characters"));
    }
    Ok(text.to_owned())
}

/// `memory`, `replicas=N` or `disk`.
#[cfg(feature = "redis")]
pub(super) fn redis_durability(text: &str) -> Result<redis::Durability, String> {
    let meant = || nearest(text, ["memory", "replicas=N", "disk"]).filter(|_| !text.starts_with("replicas="));
    let fault = |_| format!("{text:?} is not memory, replicas=N (1 to 255) or disk{}", did_you_mean(meant()));
    text.parse().map_err(fault)
}

/// `commit` or `interval=MS`.
pub(super) fn durability(text: &str) -> Result<Durability, String> {
    let interval = text.strip_prefix("interval=").map(digits);
    match interval {
        _ if text == "commit" => Ok(Durability::Commit),
        Some(Ok(milliseconds)) if (1..=3_600_000).contains(&milliseconds) => {
            Ok(Durability::Interval(Duration::from_millis(milliseconds)))
        }
        _ => {
            let meant = nearest(text, ["commit", "interval=MS"]).filter(|_| interval.is_none());
            Err(format!("{text:?} is not commit or interval=MS (1 to 3600000){}", did_you_mean(meant)))
        }
    }
}

/// A network; a single address is a network of its own.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let whole = text.parse::<IpNet>().ok();
    whole
        .or_else(|| text.parse::<IpAddr>().map(IpNet::from).ok())
        .ok_or_else(|| format!("{text:?} is not an address or network, such as 10.0.0.0/8 or ::1"))
}

/// `*`, or an origin as browsers send it: scheme, host and port, in lower case (RFC 6454 section 6.2).
pub(super) fn origin(text: &str) -> Result<CorsOrigin, String> {
    if text == "*" {
        return Ok(CorsOrigin::Any);
    }
    let fault = || format!("{text:?} is not an origin, such as https://app.example.org (no path), or *");
    let (scheme, host) = text.split_once("://").ok_or_else(fault)?;
    let (scheme, host) = (scheme.to_lowercase(), host.to_lowercase());
    let name_fits = |byte: u8| byte.is_ascii_graphic() && !b"/?#@\\,*\"'<>".contains(&byte);
    let scheme_fits = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if scheme.is_empty()
        || host.is_empty()
        || !scheme.bytes().all(scheme_fits)
        || !host.bytes().all(name_fits)
    {
        return Err(fault());
    }
    // Browsers omit the scheme's default port, so an origin typed with it would never match.
    let usual = match scheme.as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    let host = host.strip_suffix(usual).unwrap_or(&host);
    Ok(CorsOrigin::Named(format!("{scheme}://{host}")))
}

/// A host name as in `Host`, without a port, in lower case.
pub(super) fn host(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_v6 = bare.unwrap_or(text).parse::<std::net::Ipv6Addr>().is_ok();
    let is_name = !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if is_v6 {
        Ok(format!("[{}]", bare.unwrap_or(text).to_lowercase()))
    } else if is_name {
        Ok(text.to_lowercase())
    } else {
        Err(format!("{text:?} is not a host name (without scheme or port)"))
    }
}

/// A bearer token: the characters of RFC 6750 section 2.1, so that it can be sent at all.
pub(super) fn token(text: &str) -> Result<Token, String> {
    if text.is_empty() {
        return Err(
            "the token is empty, which would let everybody in: give one, or leave the setting out".to_owned()
        );
    }
    let body = text.trim_end_matches('=');
    if body.is_empty() || !body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
    {
        return Err("a token is letters, digits and -._~+/ with = only at its end".to_owned());
    }
    Ok(Token(text.into()))
}

/// On or off, in the usual spellings.
pub(super) fn on_off(text: &str) -> Result<Switch, String> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Ok(Switch::On),
        "off" | "false" | "no" | "0" => Ok(Switch::Off),
        _ => Err(format!("{text:?} is not on or off")),
    }
}

/// `text` or `json`.
pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("{text:?} is not text or json{}", did_you_mean(nearest(text, ["text", "json"])))),
    }
}

/// The default of `RUST_LOG`: events that an operator acts on, not every request.
const DEFAULT_FILTER: &str = "info";

/// The text of `RUST_LOG`; empty means the default.
pub(crate) fn log_filter(text: &str) -> Result<EnvFilter, String> {
    let text = if text.trim().is_empty() { DEFAULT_FILTER } else { text };
    EnvFilter::builder().parse(text).map_err(|error| format!("{text:?}: {error}"))
}
