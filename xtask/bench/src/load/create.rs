//! Makes channels before they are used, for servers that want it: on connections that are closed afterwards.

use std::time::Instant;

use anyhow::{Context as _, Result};

use super::Load;
use crate::counts::Counts;

/// Connections that make channels.
const MAKERS: usize = 16;

impl Load {
    /// Makes all channels of this load, if the server wants it. Leaves the load as new.
    pub(super) fn create_channels(&mut self) -> Result<()> {
        let requests = self.checker.names().map(|name| self.endpoints.create(name));
        let Some(requests) = requests.collect::<Option<Vec<Vec<u8>>>>() else { return Ok(()) };
        self.open_publishers(u32::try_from(requests.len().min(MAKERS))?)?;
        for (number, request) in requests.iter().enumerate() {
            let maker = number % MAKERS;
            self.until_free(maker)?;
            let connection = &mut self.connections[maker];
            connection.sent.push_back(Instant::now());
            connection.write(request)?;
        }
        let all = u64::try_from(requests.len())?;
        self.until("the channels to be made", |load| load.counts().acknowledged == all)
            .context("cannot make the channels")?;
        self.connections.clear();
        self.freed.clear();
        self.checker.counts = Counts::new()?;
        Ok(())
    }
}
