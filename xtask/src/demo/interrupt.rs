//! What Ctrl-C does to a demo.

/// The first Ctrl-C ends the publishing, so that there are figures to show; the second ends everything.
pub(super) async fn interrupted_twice() {
    for _ in 0..2 {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
