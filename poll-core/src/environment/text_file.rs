//! A file that an operator may replace at any time: a configuration, a certificate, a key.
//!
//! What: its text as it is now. Only a regular file has one: to open a pipe waits until something is written to it, which
//! may be never, and what was read from it once is gone when the file is looked at again.

use std::io;
use std::path::Path;

/// The text of the file at `path`, or of the one that a link there leads to.
pub(super) fn read(path: &Path) -> io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    std::fs::read_to_string(path)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_a_regular_file_or_a_link_to_one_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "text").unwrap();
        symlink("file", path("link")).unwrap();
        for name in ["file", "link"] {
            assert_eq!(read(&path(name)).unwrap(), "text", "{name}");
        }
        let _socket = UnixListener::bind(path("socket")).unwrap();
        for other in [folder.path().to_owned(), path("socket"), "/dev/null".into()] {
            assert_eq!(read(&other).unwrap_err().to_string(), "not a regular file", "{}", other.display());
        }
        assert_eq!(read(&path("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
