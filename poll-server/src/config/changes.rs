//! What differs between two readings of the configuration.

use super::resolved::Config;
use super::settings::{Changes as When, SETTINGS};

/// The names of settings that were changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Those that take effect at once.
    pub(crate) in_force: Vec<&'static str>,
    /// Those that need a restart.
    pub(crate) at_start: Vec<&'static str>,
}

impl Config {
    /// What was changed since `before`.
    pub(crate) fn changes_since(&self, before: &Self) -> Changes {
        let mut changes = Changes::default();
        for setting in SETTINGS {
            if self.texts.0.get(setting.name) != before.texts.0.get(setting.name) {
                match setting.changes {
                    When::OnReload => changes.in_force.push(setting.name),
                    When::AtStart => changes.at_start.push(setting.name),
                }
            }
        }
        changes
    }

    /// Whether a setting was set.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.texts.0.contains_key(name)
    }
}

impl Changes {
    /// Logs them.
    pub(crate) fn log(&self) {
        if self.in_force.is_empty() && self.at_start.is_empty() {
            tracing::info!("the configuration was read again: nothing has changed");
        }
        if !self.in_force.is_empty() {
            tracing::info!("the configuration was read again: in force now: {}", self.in_force.join(", "));
        }
        if !self.at_start.is_empty() {
            tracing::warn!(
                "the configuration was read again: changes only at the next start: {}",
                self.at_start.join(", ")
            );
        }
    }
}
