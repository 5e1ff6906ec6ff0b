//! A file that only its owner reads: a key, or what a key signs.
//!
//! Written under another name first, synced and then renamed, so that there is never half of one. Its folder is the owner's
//! alone as well, if it is created here.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Replaces or creates the file at `path`.
pub(super) fn write(path: &Path, content: &str) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        make_folder(folder)?;
    }
    let unfinished = beside(path)?;
    let written = write_new(&unfinished, content).and_then(|()| std::fs::rename(&unfinished, path));
    if written.is_err() {
        let _is_gone_or_stays = std::fs::remove_file(&unfinished);
    }
    written?;
    // Its name has to survive a power cut just as its content does.
    File::open(folder)?.sync_all()
}

/// Where its content goes first.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut unfinished = OsString::from(".");
    unfinished.push(name);
    unfinished.push(".new");
    Ok(path.with_file_name(unfinished))
}

fn write_new(path: &Path, content: &str) -> io::Result<()> {
    // A crash may have left one, with any permissions.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_reads_it_and_nothing_else_is_left() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("keys/of.test");
        let path = folder.join("one.pem");
        write(&path, "first").unwrap();
        assert_eq!((mode(&path), mode(&folder)), (0o600, 0o700));
        // As a crash, or a copy, may have left them.
        let unfinished = beside(&path).unwrap();
        for left in [&unfinished, &path] {
            std::fs::write(left, "left").unwrap();
            std::fs::set_permissions(left, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
        write(&path, "second").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "second");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_replaced_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("one.pem");
        std::fs::create_dir_all(path.join("is a folder")).unwrap();
        assert!(write(&path, "first").is_err());
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
