//! What `/readyz` tells of the certificates: without one there is no connection, so a server without any is not ready.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use poll_core::environment::Environment;

/// How each name stands. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Standing(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    environment: Environment,
    others: Others,
    /// Held for a moment; nothing panics in between.
    names: Mutex<BTreeMap<String, Of>>,
}

/// Whether there are certificates besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    /// From files.
    Some,
    None,
}

#[derive(Clone, Copy, Debug, Default)]
struct Of {
    /// When its certificate expires, since the epoch, if it has one.
    until: Option<Duration>,
    trouble: Trouble,
}

/// Whether the last attempt failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Trouble {
    Some,
    #[default]
    None,
}

impl Standing {
    pub(super) fn new(environment: &Environment, hosts: &[String], others: Others) -> Self {
        let names = Mutex::new(hosts.iter().map(|host| (host.clone(), Of::default())).collect());
        Self(Arc::new(Shared { environment: environment.clone(), others, names }))
    }

    /// A certificate is in force.
    pub(super) fn has(&self, host: &str, until: Duration) {
        self.set(host, |of| of.until = Some(until));
    }

    pub(super) fn trouble(&self, host: &str, trouble: Trouble) {
        self.set(host, |of| of.trouble = trouble);
    }

    fn set(&self, host: &str, change: impl FnOnce(&mut Of)) {
        let mut names = self.0.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.get_mut(host).map(change);
    }

    /// What is to be said, a line for each name; an error if no client can connect.
    pub(crate) fn readiness(&self) -> Result<String, String> {
        let now = Duration::from_micros(self.0.environment.now().as_micros());
        let names = self.0.names.lock().unwrap_or_else(PoisonError::into_inner);
        let is_valid = |of: &Of| of.until.is_some_and(|until| until > now);
        let lines = names.iter().filter_map(|(host, of)| match of.until {
            None => Some(format!("{host} has no certificate yet")),
            Some(until) if until <= now => Some(format!("the certificate of {host} has expired")),
            Some(until) if of.trouble == Trouble::Some => {
                let days = (until - now).as_secs() / 86_400;
                Some(format!("the certificate of {host} could not be renewed: {days} days left"))
            }
            Some(_) => None,
        });
        let lines: Vec<String> = lines.collect();
        if self.0.others == Others::None && !names.values().any(is_valid) {
            return Err(lines.join("\n"));
        }
        Ok(lines.join("\n"))
    }

    /// The same after what is to be said of the rest.
    pub(crate) fn and(&self, rest: Result<String, String>) -> Result<String, String> {
        let (rest, own) = (rest?, self.readiness()?);
        Ok(if rest.is_empty() || own.is_empty() { rest + &own } else { format!("{rest}\n{own}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_is_ready_once_any_client_can_connect_and_names_what_is_wrong() {
        let environment = Environment::seeded(1);
        let hosts = ["a.test", "b.test"].map(str::to_owned);
        let standing = Standing::new(&environment, &hosts, Others::None);
        let ready = || standing.readiness();
        assert_eq!(ready(), Err("a.test has no certificate yet\nb.test has no certificate yet".to_owned()));
        assert_eq!(standing.and(Err("the store is away".to_owned())), Err("the store is away".to_owned()));
        let with_files = Standing::new(&environment, &hosts[..1], Others::Some);
        assert_eq!(
            with_files.and(Ok("note".to_owned())),
            Ok("note\na.test has no certificate yet".to_owned())
        );

        let day = Duration::from_secs(86_400);
        let now = Duration::from_micros(environment.now().as_micros());
        standing.has("a.test", now + 2 * day);
        assert_eq!(ready(), Ok("b.test has no certificate yet".to_owned()));
        standing.has("b.test", now + 4 * day);
        assert_eq!(standing.and(Ok(String::new())), Ok(String::new()));
        standing.trouble("a.test", Trouble::Some);
        assert_eq!(ready(), Ok("the certificate of a.test could not be renewed: 2 days left".to_owned()));
        tokio::time::advance(2 * day).await;
        assert_eq!(ready(), Ok("the certificate of a.test has expired".to_owned()));
        tokio::time::advance(2 * day).await;
        assert!(ready().unwrap_err().contains("the certificate of b.test has expired"));
        standing.trouble("a.test", Trouble::None);
        standing.has("a.test", now + 9 * day);
        assert!(ready().is_ok());
    }
}
