//! What every journal promises.

use std::sync::Arc;

use poll_core::environment::Environment;
use poll_core::journal::Tail;
use poll_core::journal::disk::{DiskJournal, Options};
use poll_core::{Retention, Store};

use crate::contract::{Backend, Opened, contract_tests};
use crate::fake::FakeDisk;

struct OnDisk;

impl Backend for OnDisk {
    async fn open(&self, servers: usize, retention: Retention, tail: Tail) -> Opened {
        let (disk, options) = (FakeDisk::default(), Options { tail, ..Options::default() });
        let journal = DiskJournal::start(&Environment::system(), disk.port(), options, |_| ()).unwrap();
        journal.opened().await.unwrap();
        let store = Store::new(Arc::new(journal), retention);
        Opened { stores: vec![store; servers], _holds: Box::new(()) }
    }
}

contract_tests!(OnDisk);
