//! What the demo's publisher tells the readers and the screen.

/// What the publisher has done so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Published {
    pub(super) messages: u64,
    pub(super) phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Going,
    /// Nothing is published, and readers wait: what that costs is measured.
    Quiet,
    Over,
}
