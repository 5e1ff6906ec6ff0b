//! Whether a table in memory has what the journal kept.

/// Whether a table has what the journal kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Recall {
    /// It has, or the journal kept nothing.
    #[default]
    Done,
    /// The journal has to be asked first.
    Due,
}
