//! The configuration: read from flags, environment and file, and resolved into checked types.
//!
//! What: [`Config::read`] gives a complete, valid [`Config`], or every mistake there is.
//! Why: in two steps (as typed, then resolved), so that precedence is one rule for all settings and no value is checked
//! twice.
//! Not here: acting on any of it; nothing is bound, opened or created.

mod acme;
mod changes;
pub(crate) mod commands;
mod fault;
mod jwt;
mod otlp;
mod resolve;
mod resolved;
mod settings;
pub(crate) mod suggest;
mod typed;
mod value;

pub use self::fault::Fault;
pub(crate) use self::jwt::secret;
use self::resolve::Resolver;
#[cfg(feature = "redis")]
pub use self::resolved::Redis;
pub use self::resolved::{
    Acme, Admin, Config, CorsOrigin, Dialects, DrainTimes, Durability, Jwt, KeySetUrl, Limits, LogFormat,
    MaxSockets, MaxSocketsPerAddress, Otlp, Rate, Reread, StoreUrl, Switch, Tls, TlsPair, Token, Trust, Wire,
};
pub use self::typed::Given;
use self::typed::Purpose;
pub(crate) use self::typed::command;
pub(crate) use self::value::log_filter;

/// What the command line asks the program to do.
#[derive(Debug)]
pub enum Start {
    /// Run with this configuration.
    Serve(Box<Config>),
    /// Print this and exit: help, version, or that `--check` found no mistakes.
    Say(String),
}

impl Config {
    /// Reads flags, environment and file, resolves them, and reports all mistakes together.
    ///
    /// # Errors
    /// Every mistake in the whole configuration, at least one.
    pub fn read(given: &Given<'_>) -> Result<Start, Vec<Fault>> {
        let mut faults = Vec::new();
        let typed = typed::read(given, &mut faults);
        if let Purpose::Say(text) = typed.purpose {
            return Ok(Start::Say(text));
        }
        let filter = (given.variable)("RUST_LOG").map(|text| text.to_string_lossy().into_owned());
        let mut resolver = Resolver::new(&typed, given, faults);
        let config = resolver.resolve(filter.unwrap_or_default());
        let mut faults = resolver.into_faults();
        if let Some(tls) = &config.tls {
            crate::tls::check(tls, given.file, &mut faults);
        }
        match (faults.is_empty(), &typed.purpose) {
            (false, _) => Err(faults),
            (true, Purpose::Check) => {
                let warnings = config.warnings.iter().map(|warning| format!("warning: {warning}\n"));
                Ok(Start::Say(warnings.chain(["configuration ok\n".to_owned()]).collect()))
            }
            (true, _) => Ok(Start::Serve(Box::new(config))),
        }
    }
}
