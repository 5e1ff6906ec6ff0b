//! What a client of another dialect, or one that asks conditionally, keeps between two questions.

/// Nothing before the first answer.
#[derive(Default)]
pub(super) struct Kept {
    /// The last message's id in the dialect, or the entity tag of a short poll.
    pub(super) id: Option<String>,
    /// The time to go on from.
    pub(super) time: Option<f64>,
}
