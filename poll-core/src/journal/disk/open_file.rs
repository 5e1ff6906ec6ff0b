//! The database while it is open.

use redb::Database;
use scopeguard::ScopeGuard;

use super::fault::guarded;

/// An open database. When it is dropped, redb writes to it once more, and panics if the pages for that make no sense. Such a
/// panic goes no further: the thread that drops it goes on.
pub(super) type OpenFile = ScopeGuard<Database, fn(Database)>;

pub(super) fn guard(database: Database) -> OpenFile {
    scopeguard::guard(database, close)
}

fn close(database: Database) {
    let closed = guarded(|| {
        drop(database);
        Ok(())
    });
    // The file is closed, and has what was committed.
    drop(closed);
}
