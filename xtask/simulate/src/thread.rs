//! A journal's thread on the runtime that everything shares, whose calls to the disk may take time.
//!
//! What blocks a thread would stop the whole simulation. So such a thread has a stack of its own, and a call that takes time
//! is left in the middle, and gone on with when the time is over. Meanwhile everything else runs, as beside a real disk.
//! Nothing may take time while it holds a lock that others wait for, which holds for the syncs of a journal.

use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use generator::{Generator, Gn};
use tokio::time::{Sleep, sleep};

/// Room for the deepest call of a journal, in words.
const STACK: usize = 256 << 10;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Why the stack goes on.
enum Order {
    Poll(Waker),
    End,
}

/// Why it stopped.
enum Back {
    /// The work waits for something.
    Pending,
    /// It is done.
    Done,
    /// A call takes so long.
    Busy(Duration),
}

/// See the [module](self).
pub(crate) struct Blocking {
    stack: Generator<'static, Order, Back>,
    busy: Option<Pin<Box<Sleep>>>,
}

/// Lets time pass, if the caller runs on such a thread.
#[expect(deprecated, reason = "a scope cannot be handed through the calls of a database")]
pub(crate) fn take_time(duration: Duration) {
    if !duration.is_zero() && generator::is_generator() {
        generator::yield_with(Back::Busy(duration));
    }
}

impl Blocking {
    pub(crate) fn new(work: Work) -> Self {
        Self { stack: Gn::<Order>::new_opt(STACK, || run(work)), busy: None }
    }
}

#[expect(deprecated, reason = "the same")]
fn run(mut work: Work) -> Back {
    let mut order = generator::get_yield::<Order>();
    while let Some(Order::Poll(waker)) = order {
        if work.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            break;
        }
        order = generator::yield_::<Order, Back>(Back::Pending);
    }
    Back::Done
}

impl Future for Blocking {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            let back = match &mut this.busy {
                None => this.stack.raw_send(Some(Order::Poll(cx.waker().clone()))),
                Some(busy) => {
                    ready!(busy.as_mut().poll(cx));
                    this.stack.resume()
                }
            };
            this.busy = None;
            match back {
                Some(Back::Busy(duration)) => this.busy = Some(Box::pin(sleep(duration))),
                Some(Back::Pending) => return Poll::Pending,
                Some(Back::Done) | None => return Poll::Ready(()),
            }
        }
    }
}

impl Drop for Blocking {
    /// Comes to the end of a call that was left in the middle: its stack cannot be unwound through code that catches panics.
    fn drop(&mut self) {
        let mut is_busy = self.busy.is_some();
        while !self.stack.is_done() {
            let back = if is_busy { self.stack.resume() } else { self.stack.raw_send(Some(Order::End)) };
            is_busy = matches!(back, Some(Back::Busy(_)));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn others_run_while_a_call_takes_time() {
        let start = Instant::now();
        let slow = tokio::spawn(Blocking::new(Box::pin(async {
            take_time(Duration::from_secs(2));
            tokio::task::yield_now().await;
            take_time(Duration::from_secs(2));
        })));
        sleep(Duration::from_secs(1)).await;
        assert!(!slow.is_finished() && start.elapsed() == Duration::from_secs(1));
        slow.await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_is_given_up_ends() {
        let slow = tokio::spawn(Blocking::new(Box::pin(async {
            loop {
                take_time(Duration::from_secs(2));
                tokio::task::yield_now().await;
            }
        })));
        sleep(Duration::from_secs(1)).await;
        slow.abort();
        assert!(slow.await.unwrap_err().is_cancelled());
    }
}
