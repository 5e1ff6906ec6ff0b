//! What is seen on a terminal while the demo of several nodes runs: a bar a node, and one for nginx.

use std::cell::Cell;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// All bars, in the order of the nodes; nginx is last.
pub(super) struct Bars {
    bars: Vec<NodeBar>,
    messages: ProgressBar,
}

/// What was given at one address, and to how many readers at a time. A clone is the same one.
#[derive(Clone)]
pub(super) struct NodeBar {
    bar: ProgressBar,
    given: Rc<Cell<u64>>,
    readers: Rc<Cell<usize>>,
    /// The longest bar so far, by which all are scaled.
    most: Rc<Cell<u64>>,
    state: Rc<Cell<&'static str>>,
}

impl Bars {
    pub(super) fn new(nodes: usize) -> Result<Self> {
        let all = MultiProgress::new();
        let style = ProgressStyle::with_template("{prefix:8} [{bar:32}] {msg}")
            .context("cannot draw bars")?
            .progress_chars("=> ");
        let most = Rc::new(Cell::new(1));
        let names = (1..=nodes).map(|number| format!("node {number}")).chain(["nginx".to_owned()]);
        let bar = |name: String| NodeBar {
            bar: all.add(ProgressBar::new(1).with_style(style.clone()).with_prefix(name)),
            given: Rc::default(),
            readers: Rc::default(),
            most: most.clone(),
            state: Rc::new(Cell::new("")),
        };
        let bars = names.map(bar).collect();
        let style = ProgressStyle::with_template("{prefix:8} {pos}").context("cannot draw bars")?;
        let messages = all.add(ProgressBar::no_length().with_style(style).with_prefix("messages"));
        Ok(Self { bars, messages })
    }

    /// The bar of one address.
    pub(super) fn of(&self, index: usize) -> NodeBar {
        self.bars[index].clone()
    }

    /// So many messages are published.
    pub(super) fn published(&self, messages: u64) {
        self.messages.set_position(messages);
    }

    /// What happened to a node.
    pub(super) fn say(&self, index: usize, state: &'static str) {
        let bar = &self.bars[index];
        bar.state.set(state);
        bar.draw();
    }

    /// Leaves the bars as they stand.
    pub(super) fn finish(&self) {
        self.bars.iter().for_each(|bar| bar.bar.abandon());
        self.messages.abandon();
    }
}

impl NodeBar {
    /// A message was given to a reader here.
    pub(super) fn gave(&self) {
        self.given.set(self.given.get() + 1);
        self.most.set(self.most.get().max(self.given.get()));
        self.draw();
    }

    /// A reader has come here.
    pub(super) fn enter(&self) {
        self.readers.set(self.readers.get() + 1);
        self.draw();
    }

    /// A reader has left.
    pub(super) fn leave(&self) {
        self.readers.set(self.readers.get() - 1);
        self.draw();
    }

    fn draw(&self) {
        self.bar.set_length(self.most.get());
        self.bar.set_position(self.given.get());
        let (given, readers, state) = (self.given.get(), self.readers.get(), self.state.get());
        self.bar.set_message(format!("{given:>6} given {readers:>2} readers {state}"));
    }
}
