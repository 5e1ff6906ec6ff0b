//! `cargo xtask proxies`: poll behind six proxies, as their packages come and with the files in `deploy`.
//!
//! What is looked at and measured stands in `poll-client/js/test/proxies`, because the client and a native EventSource
//! that must come through are JavaScript. This installs the proxies and chooses how much of it runs.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::js;
use xtask::server::Binary;
use xtask::tools::{self, Install, Tool};

/// Which proxies, and whether their longest waits are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Those that other tests use anyway, without the longest waits: half a minute.
    Short,
    /// All six, and polls up to the default of `--max-poll-seconds`: about a minute.
    Whole,
    /// The 120 s of a golongpoll client as well, through the files in `deploy`.
    Longest,
}

const PURPOSE: &str = "poll behind a proxy";
/// The proxies that the whole test runs, beside those of every test.
const PROXIES: &[Tool] = &[
    Tool { program: "nginx", package: "nginx-light", purpose: PURPOSE },
    Tool { program: "haproxy", package: "haproxy", purpose: PURPOSE },
    Tool { program: "varnishd", package: "varnish", purpose: PURPOSE },
    Tool { program: "caddy", package: "caddy", purpose: PURPOSE },
    Tool { program: "squid", package: "squid", purpose: PURPOSE },
    Tool { program: "apache2", package: "apache2", purpose: PURPOSE },
];

/// The command's arguments.
#[derive(Args)]
pub(crate) struct Proxies {
    /// Put this server behind them instead of a fresh release build
    #[arg(long)]
    server: Option<PathBuf>,
    /// Wait as long as a golongpoll client may, too: two minutes
    #[arg(long)]
    longest: bool,
}

impl Proxies {
    pub(crate) fn run(&self) -> Result<()> {
        let binary = Binary::given_or_built(self.server.as_deref())?;
        let extent = if self.longest { Extent::Longest } else { Extent::Whole };
        check(&binary, extent, Install::Allowed)
    }
}

/// Puts a server behind the proxies.
pub(crate) fn check(binary: &Binary, extent: Extent, install: Install) -> Result<()> {
    let (proxies, waits) = match extent {
        Extent::Short => (Some("nginx,HAProxy,Varnish"), "none"),
        Extent::Whole => (None, "default"),
        Extent::Longest => (None, "golongpoll"),
    };
    // The short form's are among the tools of the tests.
    if extent != Extent::Short {
        tools::ensure_these(PROXIES, "the proxies' test", install)?;
    }
    let variables = proxies.map(|names| ("POLL_PROXIES", names)).into_iter();
    js::run_proxies(binary, variables.chain([("POLL_PROXIES_WAITS", waits)]), install)
}
