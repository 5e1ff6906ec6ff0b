//! The rows of a run by scenario, and its servers in the order in which they are shown.

use crate::results::{Row, Run};

/// Ours, and those that tables compare it with.
pub(super) const POLL: &str = "poll";
pub(super) const NCHAN: &str = "nchan";
pub(super) const ELECTRIC: &str = "electric";

/// The rows of one scenario.
pub(super) struct Group<'a> {
    pub(super) id: &'a str,
    pub(super) words: &'a str,
    /// Whether it is about memory: it only holds connections open.
    pub(super) idle: bool,
    rows: Vec<&'a Row>,
}

impl<'a> Group<'a> {
    pub(super) fn row(&self, server: &str) -> Option<&'a Row> {
        self.rows.iter().copied().find(|row| row.server == server)
    }
}

/// The scenarios of a run in the order in which they ran.
pub(super) fn groups(run: &Run) -> Vec<Group<'_>> {
    let mut all: Vec<Group<'_>> = Vec::new();
    for row in &run.rows {
        match all.iter_mut().find(|group| group.id == row.id) {
            Some(group) => group.rows.push(row),
            None => all.push(Group {
                id: &row.id,
                words: &row.scenario,
                idle: row.operation == "waiter",
                rows: vec![row],
            }),
        }
    }
    all
}

/// Ours, the one it is compared with, then any others.
pub(super) fn servers(run: &Run) -> Vec<&str> {
    let mut all: Vec<&str> =
        [POLL, NCHAN, ELECTRIC].into_iter().filter(|name| was_measured(run, name)).collect();
    for row in &run.rows {
        if !all.contains(&&*row.server) {
            all.push(&row.server);
        }
    }
    all
}

/// The server that the tables of a run compare ours with.
pub(super) fn rival(run: &Run) -> Option<&'static str> {
    let all = [NCHAN, ELECTRIC];
    if was_measured(run, POLL) { all.into_iter().find(|name| was_measured(run, name)) } else { None }
}

fn was_measured(run: &Run, server: &str) -> bool {
    run.rows.iter().any(|row| row.server == server)
}
