//! A hashed timer wheel: coarse timers with one driver task per [`Timers`], and the only thing in the crate that sleeps.
//!
//! A waiting poll, an idle connection and a stalled write all need a timeout, and nearly all of these are cancelled or
//! postponed long before. So a timer is one entry of a shared wheel, postponing it is one store, and taking it out is two
//! links; there is no allocation and no runtime timer per wait. The price is precision: a timer fires up to 8 ms late,
//! never early.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// A tick is 8 ms: well below what a poller notices, and long enough that ten thousand timers share wake-ups. Whole
/// ticks make up a second, which saves a wide division.
const TICKS_A_SECOND: u64 = 125;
const TICK_NANOS: u64 = 1_000_000_000 / TICKS_A_SECOND;
/// Ticks in one revolution of the wheel, about 65 s: most waits fit; a longer one is met again each revolution and left
/// in place.
const SLOTS: usize = 8192;
/// Timers fired before the driver lets other tasks run.
const SLICE: usize = 512;
/// A tick no clock reaches: the timer is not set.
const NEVER: u64 = u64::MAX;
/// "No timer" in the links between timers of a slot and in [`Timer::key`].
const NIL: u32 = u32::MAX;

/// A family of timers, driven by one task. Meant to be one per worker thread, so that its lock is never contended.
#[derive(Clone)]
pub struct Timers {
    shared: Arc<Shared>,
}

struct Shared {
    /// Tick 0.
    base: Instant,
    /// Held for a few loads and stores each time, never over a wake or an await.
    wheel: Mutex<Wheel>,
    /// Notified when a timer is set to fire before the driver means to wake up.
    sooner: Notify,
}

/// Timers by the tick they fire at, hashed by `tick % SLOTS`; those of a slot are doubly linked.
struct Wheel {
    timers: Slab<Entry>,
    /// First timer of each slot. Allocated with the first timer.
    heads: Vec<u32>,
    /// One bit a slot: has timers.
    occupied: Vec<u64>,
    linked: usize,
    /// Every slot up to this tick has been emptied of what was due.
    done: u64,
    driver: Driver,
}

struct Entry {
    /// [`NEVER`] while it is not in a slot: it has fired and its owner has not set it again.
    tick: u64,
    waker: Option<Waker>,
    previous: u32,
    next: u32,
}

#[derive(Clone, Copy)]
enum Driver {
    /// No task runs.
    Absent,
    /// The task runs and wakes up at this tick.
    Until(u64),
}

impl Default for Timers {
    fn default() -> Self {
        Self::new()
    }
}

impl Timers {
    /// An empty wheel. Its driver is spawned on the current tokio runtime when the first timer is waited for, and ends
    /// when it wakes up and finds no timer left.
    #[must_use]
    pub fn new() -> Self {
        let wheel = Wheel {
            timers: Slab::new(),
            heads: Vec::new(),
            occupied: Vec::new(),
            linked: 0,
            done: 0,
            driver: Driver::Absent,
        };
        Self {
            shared: Arc::new(Shared {
                base: Instant::now(),
                wheel: Mutex::new(wheel),
                sooner: Notify::new(),
            }),
        }
    }

    /// A timer that is not set.
    #[must_use]
    pub fn timer(&self) -> Timer {
        Timer { timers: self.clone(), key: NIL, due: NEVER }
    }

    /// Completes at `when` or up to 8 ms later.
    pub fn at(&self, when: Instant) -> Until {
        let mut timer = self.timer();
        timer.set(when);
        Until { timer }
    }

    /// How many timers are in the wheel, those that were cleared but not yet dropped included. For tests and metrics.
    #[must_use]
    pub fn armed(&self) -> usize {
        self.wheel().linked
    }

    fn wheel(&self) -> MutexGuard<'_, Wheel> {
        // Nothing in here panics half-way, so a poisoned wheel is still whole.
        self.shared.wheel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first tick that begins at or after `when`, so that no timer is early.
    fn tick_after(&self, when: Instant) -> u64 {
        let since = when.saturating_duration_since(self.shared.base);
        let over = u64::from(since.subsec_nanos()).div_ceil(TICK_NANOS);
        since.as_secs().saturating_mul(TICKS_A_SECOND).saturating_add(over).min(NEVER - 1)
    }

    /// The tick that has begun.
    fn tick_now(&self) -> u64 {
        let since = Instant::now().saturating_duration_since(self.shared.base);
        let over = u64::from(since.subsec_nanos()) / TICK_NANOS;
        since.as_secs().saturating_mul(TICKS_A_SECOND).saturating_add(over).min(NEVER - 1)
    }

    fn instant_of(&self, tick: u64) -> Instant {
        // A tick beyond what a duration holds is centuries away; the driver merely wakes up early.
        let millis = tick.saturating_mul(8).min(u64::from(u32::MAX) * 1000);
        self.shared.base + Duration::from_millis(millis)
    }

    /// Makes sure that a driver wakes up at `tick`, which was just linked.
    fn ensure_driver(&self, mut wheel: MutexGuard<'_, Wheel>, tick: u64) {
        match wheel.driver {
            Driver::Until(up) if up <= tick => {}
            Driver::Until(_) => {
                wheel.driver = Driver::Until(tick);
                drop(wheel);
                self.shared.sooner.notify_one();
            }
            Driver::Absent => {
                wheel.driver = Driver::Until(tick);
                drop(wheel);
                tokio::spawn(drive(Driving { timers: self.clone(), ended: false }));
            }
        }
    }
}

impl std::fmt::Debug for Timers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timers").field("armed", &self.armed()).finish()
    }
}

/// One timer of a [`Timers`]. Dropping it takes it out of the wheel.
///
/// Setting and clearing only note the time; the next [`poll`](Timer::poll) acts on it. A timer moved later stays where
/// it is in the wheel and finds its new place when it comes up, which may wake its task once for nothing.
pub struct Timer {
    timers: Timers,
    key: u32,
    due: u64,
}

impl Timer {
    /// To fire at `when`. Poll afterwards: a time earlier than the last is only kept from then on.
    pub fn set(&mut self, when: Instant) {
        self.due = self.timers.tick_after(when);
    }

    /// Not to fire at all.
    pub fn clear(&mut self) {
        self.due = NEVER;
    }

    /// Whether it is set, fired or not.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.due != NEVER
    }

    /// Ready once the time is reached, and from then on until it is set anew or cleared. One that is first polled when
    /// its time is over may be woken for that.
    ///
    /// # Panics
    /// Outside a tokio runtime with time enabled, as a runtime timer would.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.due == NEVER {
            return Poll::Pending;
        }
        let timers = &self.timers;
        // A replaced waker's drop may run a task's destructor, which may own timers: never under the lock, so it is
        // declared first and dropped last.
        let _replaced;
        let mut wheel = timers.wheel();
        let now = if let Some(entry) = wheel.timers.get_mut(self.key as usize) {
            let same = entry.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
            if entry.tick <= self.due && same {
                return Poll::Pending;
            }
            _replaced = entry.waker.replace(cx.waker().clone());
            if entry.tick <= self.due {
                return Poll::Pending;
            }
            // Too late in the wheel, or not in it any more.
            wheel.unlink(self.key);
            timers.tick_now()
        } else {
            self.key = wheel.admit(cx.waker().clone());
            // A new timer usually has some time left. If not, the driver handles it, so the clock need not be read here; an
            // empty wheel begins at the timer's tick.
            if wheel.linked > 0 { wheel.done } else { timers.tick_now() }
        };
        if self.due <= now {
            return Poll::Ready(());
        }
        wheel.link(self.key, self.due, now);
        timers.ensure_driver(wheel, self.due);
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if self.key == NIL {
            return;
        }
        let mut wheel = self.timers.wheel();
        wheel.unlink(self.key);
        let entry = wheel.timers.try_remove(self.key as usize);
        if wheel.timers.is_empty() && wheel.timers.capacity() > SLICE {
            // A crowd has left: free its memory.
            wheel.timers = Slab::new();
        }
        drop(wheel);
        // Not under the lock, as in `poll`.
        drop(entry);
    }
}

impl std::fmt::Debug for Timer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timer").field("set", &self.is_set()).finish_non_exhaustive()
    }
}

/// Future of [`Timers::at`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Until {
    timer: Timer,
}

impl Future for Until {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.poll(cx)
    }
}

impl Wheel {
    fn admit(&mut self, waker: Waker) -> u32 {
        let entry = Entry { tick: NEVER, waker: Some(waker), previous: NIL, next: NIL };
        // Four billion timers would need more memory than a machine has.
        u32::try_from(self.timers.insert(entry)).unwrap_or(NIL)
    }

    /// Puts an unlinked timer where `tick` comes up. `now` is the tick that has begun; `tick` is later.
    fn link(&mut self, key: u32, tick: u64, now: u64) {
        if self.heads.is_empty() {
            self.heads = vec![NIL; SLOTS];
            self.occupied = vec![0; SLOTS / 64];
        }
        if self.linked == 0 {
            self.done = self.done.max(now);
        }
        let slot = slot_of(tick);
        let head = std::mem::replace(&mut self.heads[slot], key);
        if let Some(next) = self.timers.get_mut(head as usize) {
            next.previous = key;
        }
        let entry = &mut self.timers[key as usize];
        (entry.tick, entry.previous, entry.next) = (tick, NIL, head);
        self.occupied[slot / 64] |= 1 << (slot % 64);
        self.linked += 1;
    }

    /// Takes a timer out, if it is in.
    fn unlink(&mut self, key: u32) {
        let Some(entry) = self.timers.get_mut(key as usize) else { return };
        let tick = std::mem::replace(&mut entry.tick, NEVER);
        if tick == NEVER {
            return;
        }
        let (previous, next) = (entry.previous, entry.next);
        if let Some(after) = self.timers.get_mut(next as usize) {
            after.previous = previous;
        }
        if let Some(before) = self.timers.get_mut(previous as usize) {
            before.next = next;
        } else {
            let slot = slot_of(tick);
            self.heads[slot] = next;
            if next == NIL {
                self.occupied[slot / 64] &= !(1 << (slot % 64));
            }
        }
        self.linked -= 1;
    }

    /// Takes out up to [`SLICE`] timers due by `now` and appends their wakers.
    fn fire(&mut self, now: u64, wakers: &mut Vec<Waker>) {
        while let Some(tick) = self.next_up().filter(|&tick| tick <= now) {
            let mut key = self.heads[slot_of(tick)];
            while key != NIL {
                if wakers.len() == SLICE {
                    return;
                }
                let entry = &mut self.timers[key as usize];
                let next = entry.next;
                if entry.tick <= now {
                    wakers.extend(entry.waker.take());
                    self.unlink(key);
                }
                key = next;
            }
            self.done = tick;
        }
        self.done = self.done.max(now);
    }

    /// The first tick not done yet whose slot has timers, possibly of a later revolution.
    fn next_up(&self) -> Option<u64> {
        if self.linked == 0 {
            return None;
        }
        let start = slot_of(self.done + 1);
        let words = self.occupied.len();
        for step in 0..=words {
            let word = (start / 64 + step) % words;
            let mut bits = self.occupied[word];
            if step == 0 {
                bits &= u64::MAX << (start % 64);
            }
            if bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                return Some(self.done + 1 + ((slot + SLOTS - start) % SLOTS) as u64);
            }
        }
        None
    }
}

fn slot_of(tick: u64) -> usize {
    // Less than SLOTS, so the cast keeps the value.
    (tick % SLOTS as u64) as usize
}

/// The driver's task. Marks the driver absent when it is dropped half-way, as a runtime's shutdown does.
struct Driving {
    timers: Timers,
    /// [`drive`] has ended and recorded that, under the lock; another driver may already run.
    ended: bool,
}

impl Drop for Driving {
    fn drop(&mut self) {
        if !self.ended {
            self.timers.wheel().driver = Driver::Absent;
        }
    }
}

async fn drive(mut driving: Driving) {
    let timers = driving.timers.clone();
    let mut wakers = Vec::new();
    loop {
        let next = {
            let mut wheel = timers.wheel();
            wheel.fire(timers.tick_now(), &mut wakers);
            let next = wheel.next_up();
            match next {
                Some(tick) => wheel.driver = Driver::Until(tick),
                None if wakers.is_empty() => {
                    // Under the lock that `ensure_driver` looks at it with: the next timer finds no driver.
                    wheel.driver = Driver::Absent;
                    driving.ended = true;
                    return;
                }
                None => {}
            }
            next
        };
        if !wakers.is_empty() {
            wakers.drain(..).for_each(Waker::wake);
            tokio::task::yield_now().await;
        } else if let Some(tick) = next {
            tokio::select! {
                biased;
                () = sleep_until(timers.instant_of(tick)) => {}
                () = timers.shared.sooner.notified() => {}
            }
        }
    }
}
