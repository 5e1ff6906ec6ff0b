//! What goes wrong: which faults there are, and how each is inflicted.

use std::time::Duration;

use crate::disk::{Fault as DiskFault, Harm};
use crate::random::Random;
use crate::server::{Server, is_ready};
use crate::trace;

/// A fault. Most strike later, after a number of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The power fails now.
    Power,
    /// The power fails at some write or sync.
    PowerAtWrite,
    /// The process is killed.
    Kill,
    /// The process is asked to end.
    Drain,
    WriteFails,
    /// Half of a write reaches the file.
    WriteTorn,
    SyncFails,
    /// A sync succeeds, but reports a failure.
    SyncDone,
    /// A sync does nothing, but reports success.
    SyncLies,
    SyncSlow,
    ReadFails,
    /// A few attempts to open a file fail.
    Shut,
    Full,
    /// A bit of a file changes.
    Flip,
    /// Connections are cut.
    Cut,
    /// Connections pass nothing on for a while.
    Stall,
    /// The clock jumps forward or back.
    Clock,
}

/// Those that a server must bear without losing anything.
const HARMLESS: &[Fault] = &[
    Fault::Power,
    Fault::Power,
    Fault::PowerAtWrite,
    Fault::PowerAtWrite,
    Fault::PowerAtWrite,
    Fault::Kill,
    Fault::Drain,
    Fault::WriteFails,
    Fault::WriteTorn,
    Fault::SyncFails,
    Fault::SyncDone,
    Fault::SyncSlow,
    Fault::ReadFails,
    Fault::Shut,
    Fault::Full,
    Fault::Cut,
    Fault::Cut,
    Fault::Stall,
    Fault::Clock,
];
/// Those that take something from the disk, below the server.
const HARMFUL: &[Fault] = &[Fault::SyncLies, Fault::SyncLies, Fault::Flip];
/// One seed in this many has a harmful fault.
const HARM: u64 = 4;

/// The faults of a seed, and how long to wait before each.
pub(crate) struct Plan {
    pub(crate) faults: Vec<(Duration, Fault)>,
    /// Whether one of them is harmful.
    pub(crate) is_harmful: bool,
}

pub(crate) fn plan(random: &Random) -> Plan {
    let is_harmful = random.once_in(HARM);
    let count = random.within(3..8);
    let mut faults: Vec<_> = (0..count).map(|_| random.choose(HARMLESS)).collect();
    if is_harmful {
        let at = random.below(count);
        faults[usize::try_from(at).unwrap_or_default()] = random.choose(HARMFUL);
    }
    let pause = || Duration::from_millis(random.within(10..350));
    Plan { faults: faults.into_iter().map(|fault| (pause(), fault)).collect(), is_harmful }
}

/// What a fault does to the server.
pub(crate) enum Effect {
    None,
    /// It is down, and may be started again after this long.
    Down(Duration),
}

/// Inflicts a fault.
pub(crate) async fn strike(fault: Fault, server: &mut Server, random: &Random) -> anyhow::Result<Effect> {
    trace::log(|| format!("fault: {fault:?}"));
    let calls = random.below(40);
    let down = Effect::Down(Duration::from_millis(random.below(200)));
    let disk = &server.disk.files;
    match fault {
        Fault::Power => {
            server.crash().await;
            return Ok(down);
        }
        Fault::Kill => {
            server.kill().await;
            return Ok(down);
        }
        Fault::Drain => {
            server.drain().await?;
            return Ok(down);
        }
        Fault::PowerAtWrite => disk.fail(DiskFault::Power(calls)),
        Fault::WriteFails => disk.fail(DiskFault::Write(calls)),
        Fault::WriteTorn => disk.fail(DiskFault::ShortWrite(calls)),
        Fault::SyncFails => disk.fail(DiskFault::Sync(calls / 4)),
        Fault::SyncDone => disk.fail(DiskFault::SyncDone(calls / 4, 0)),
        Fault::SyncLies => disk.fail(DiskFault::SyncLies(calls / 4)),
        Fault::SyncSlow => server.disk.slow_down(random.choose(&[30, 300, 3_000, 12_000])),
        Fault::ReadFails => disk.fail(DiskFault::Read(calls / 8)),
        Fault::Shut => disk.fail(DiskFault::Shut(random.within(1..6))),
        Fault::Full => {
            let room = disk.len() + usize::try_from(random.below(40_000)).unwrap_or_default();
            disk.set_room(Some(room));
        }
        Fault::Flip => {
            // A server that is still starting may not have read its log.
            let harm = if is_ready().await { Harm::Flipped } else { Harm::FlippedBeforeRead };
            let what = server.disk.flip(harm);
            trace::log(|| what);
        }
        Fault::Cut => {
            let cut = server.network.cut(random.within(1..4));
            trace::record("cut", cut as u64);
        }
        Fault::Stall => {
            let long = Duration::from_millis(random.choose(&[20, 200, 2_000, 20_000]));
            let stalled = server.network.stall(random.within(1..4), long);
            trace::record("stalled", stalled as u64);
        }
        Fault::Clock => {
            let millis = random.choose(&[1, 40, 1_500, 60_000, 3_600_000]);
            server.clock.jump(if random.once_in(2) { millis } else { -millis });
        }
    }
    Ok(Effect::None)
}
