//! Notices when stdout is closed.
//!
//! A write to a closed pipe fails, but on a quiet channel `poll tail … | head -1` would hang until the next message. So
//! the pipe is watched, as `tail -f` does.

/// Returns once stdout has no reader, or never, if that cannot be detected.
#[cfg(unix)]
pub(crate) async fn gone() {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsFd;

    use tokio::io::Interest;
    use tokio::net::unix::pipe::Sender;

    // Never written to, so it may stay blocking.
    let watched =
        io::stdout().as_fd().try_clone_to_owned().map(File::from).and_then(Sender::from_file_unchecked);
    match watched {
        Ok(stdout) if stdout.ready(Interest::ERROR).await.is_ok() => {}
        // A regular file cannot be watched.
        Ok(_) | Err(_) => std::future::pending().await,
    }
}

/// Never returns: here a closed pipe is detected only by writing.
#[cfg(not(unix))]
pub(crate) async fn gone() {
    std::future::pending().await
}
