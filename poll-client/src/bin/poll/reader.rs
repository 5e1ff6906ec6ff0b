//! Whoever reads our stdout, and when they left.
//!
//! A write to a closed pipe fails, but a quiet channel has nothing to write: `poll tail … | head -1` would hang until
//! the next message. So the pipe is watched as well, as `tail -f` does.

/// Returns once nobody can read stdout any more; never, where that cannot be known.
#[cfg(unix)]
pub(crate) async fn gone() {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsFd;

    use tokio::io::Interest;
    use tokio::net::unix::pipe::Sender;

    // Watched only and never written to, so it may stay a blocking one.
    let watched =
        io::stdout().as_fd().try_clone_to_owned().map(File::from).and_then(Sender::from_file_unchecked);
    match watched {
        Ok(stdout) if stdout.ready(Interest::ERROR).await.is_ok() => {}
        // A regular file, which has no reader, cannot be watched.
        Ok(_) | Err(_) => std::future::pending().await,
    }
}

/// Returns once nobody can read stdout any more; here that shows only when writing.
#[cfg(not(unix))]
pub(crate) async fn gone() {
    std::future::pending().await
}
