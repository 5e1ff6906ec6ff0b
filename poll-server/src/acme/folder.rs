//! The files that are kept: an account, and for each name its certificate with the key.
//!
//! Each directory of an authority has a folder of its own, so a trial with one leaves nothing in the way of another. A
//! certificate and its key are in one file, so they always fit.

use std::io;
use std::path::PathBuf;

use instant_acme::AccountCredentials;
use poll_core::environment::Environment;
use rustls::crypto::CryptoProvider;
use serde::{Deserialize, Serialize};

use crate::config::{Acme, Fault};
use crate::tls::{Pair, PairFault};

/// See the [module](self).
pub(super) struct Folder {
    environment: Environment,
    path: PathBuf,
}

/// An account, and the address that the authority has of it.
#[derive(Deserialize, Serialize)]
pub(super) struct Account {
    pub(super) email: Option<String>,
    pub(super) credentials: AccountCredentials,
}

impl Folder {
    /// Makes sure that something can be kept there: an authority is asked for nothing that would be lost.
    pub(super) fn open(environment: &Environment, acme: &Acme) -> Result<Self, Fault> {
        let directory = acme.directory.to_string();
        let name = directory.trim_start_matches("https://").trim_end_matches('/');
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '_' };
        let path = acme.folder.join(name.chars().map(plain).collect::<String>());
        let about = format!(
            "The ACME account and the certificates that poll-server has from\n{directory}\nThe files hold private keys.\n"
        );
        let folder = Self { environment: environment.clone(), path };
        folder.write("README", &about).map_err(|error| {
            Fault(format!("acme-folder: {}: cannot write there: {error}", folder.path.display()))
        })?;
        Ok(folder)
    }

    pub(super) fn name(&self) -> impl std::fmt::Display + '_ {
        self.path.display()
    }

    /// The account that is kept, if one is.
    ///
    /// # Errors
    /// If the file cannot be used.
    pub(super) fn account(&self) -> Result<Option<Account>, String> {
        let Some(text) = self.read("account.json").map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        serde_json::from_str(&text).map(Some).map_err(|error| error.to_string())
    }

    pub(super) fn keep_account(&self, account: &Account) -> io::Result<()> {
        self.write("account.json", &serde_json::to_string(account).map_err(io::Error::other)?)
    }

    /// The certificate that is kept for `host`, if one is.
    ///
    /// # Errors
    /// If the file cannot be used, or is for another host.
    pub(super) fn certificate(&self, host: &str, provider: &CryptoProvider) -> Result<Option<Pair>, String> {
        let Some(text) = self.read(&file_of(host)).map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        pair_for(host, &text, provider).map(Some)
    }

    /// Keeps a certificate, `text` being its key and its chain.
    pub(super) fn keep_certificate(&self, host: &str, text: &str) -> io::Result<()> {
        self.write(&file_of(host), text)
    }

    fn read(&self, name: &str) -> io::Result<Option<String>> {
        match self.environment.read_file(&self.path.join(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        self.environment.write_secret(&self.path.join(name), text)
    }
}

fn file_of(host: &str) -> String {
    format!("{host}.pem")
}

/// The certificate and key in `text`, which have to be for `host`.
pub(super) fn pair_for(host: &str, text: &str, provider: &CryptoProvider) -> Result<Pair, String> {
    let pair = Pair::parse(text, text, provider).map_err(|fault| match fault {
        PairFault::Certificate(what) | PairFault::Key(what) => what,
    })?;
    if pair.hosts.iter().any(|name| name == host) {
        Ok(pair)
    } else {
        Err(format!("it is for {}", pair.hosts.join(", ")))
    }
}
