//! A worker thread small enough to model: it polls those of its tasks whose own waker was called, and sleeps
//! while none was.
//!
//! loom's `block_on` polls whatever it was given on any wake, which would hide a wake that went to the wrong
//! task.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::{Condvar, Mutex};

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Which tasks are to be polled.
struct ReadyTasks {
    ready: Mutex<Vec<usize>>,
    changed: Condvar,
}

struct TaskWaker(Arc<ReadyTasks>, usize);

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.0.ready.lock().unwrap().push(self.1);
        self.0.changed.notify_one();
    }
}

/// Runs `main` to its end, and `background` tasks beside it until then.
pub(crate) fn run(main: impl Future<Output = ()> + 'static, background: Vec<Task>) {
    let mut tasks: Vec<Task> = std::iter::once(Box::pin(main) as Task).chain(background).collect();
    let ready = Mutex::new((0..tasks.len()).rev().collect());
    let shared = Arc::new(ReadyTasks { ready, changed: Condvar::new() });
    let wakers: Vec<Waker> =
        (0..tasks.len()).map(|task| Waker::from(Arc::new(TaskWaker(shared.clone(), task)))).collect();
    loop {
        let mut ready = shared.ready.lock().unwrap();
        while ready.is_empty() {
            ready = shared.changed.wait(ready).unwrap();
        }
        let due = std::mem::take(&mut *ready);
        drop(ready);
        for task in due {
            let done = tasks[task].as_mut().poll(&mut Context::from_waker(&wakers[task])).is_ready();
            if done && task == 0 {
                return;
            }
        }
    }
}

/// The outcome of a future that has no reason to wait.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}
