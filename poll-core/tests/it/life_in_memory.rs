//! The life of channels in memory against the model.

use std::time::Duration;

use poll_core::{Retention, Store, Timestamp};
use proptest::prelude::*;

use crate::life_model::{Disturbance, World, is_like_the_model, steps};

struct InMemory(Store);

impl World for InMemory {
    fn store(&self) -> &Store {
        &self.0
    }

    async fn disturb(&mut self, _: Disturbance, _: Timestamp) {}
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn a_store_is_like_the_model(steps in steps(1)) {
        let unbounded = Retention { messages: 0, age: Duration::ZERO, bytes: 0, ..Retention::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(is_like_the_model(&steps, &mut InMemory(Store::in_memory(unbounded))));
    }
}
