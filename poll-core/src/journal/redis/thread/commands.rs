//! The commands that go to one server: what is published, what is read, and a pulse.
//!
//! A session has two connections, one for publishes, since a publish may have to wait for replicas or a file, and one for all
//! else. If either ends, both are opened anew. Publishes go in batches: one is on its way, and everything that comes
//! meanwhile is in the next. So there is one connection for all workers and not one for each: batches are larger, and the
//! order in which publishes came is kept.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline, Value, cmd};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::link::Link;
use super::session::{Next, Session};
use crate::journal::redis::connect::backoff::Backoff;
use crate::journal::redis::connect::connection::{Connection, LinkError, Role};
use crate::journal::redis::connect::durability;
use crate::journal::redis::connect::refusal::Refusal;
use crate::journal::redis::log::generation::Process;
use crate::journal::redis::log::script::{Announce, Script};
use crate::journal::redis::url::Place;

/// How often a session looks after its server.
pub(crate) const PULSE: Duration = Duration::from_secs(1);
/// How long the server may take for that. With the pulse before it, the health is red within five seconds.
const PULSE_ANSWER: Duration = Duration::from_millis(2_500);
/// A master that was killed and started again may be empty, and still be named by Sentinels that are about to replace it, or
/// that have replaced it and not demoted it yet. One that has run for less than this is not used.
const YOUNG: Duration = Duration::from_secs(4);
/// How long nothing is sent after the server refused something.
const REFUSED: Duration = Duration::from_millis(50);

/// The connections of a session, and what Redis is.
struct Opened {
    publishes: Connection,
    asks: Connection,
    /// The one of the questions, unless the pulse has to wait as publishes do.
    pulse: Connection,
    process: Process,
    /// What has to be waited for before a publish is answered.
    wait: Option<durability::Wait>,
}

/// Serves the session until it is retired.
pub(crate) async fn run(link: Arc<Link>, session: Arc<Session>) {
    let mut backoff = Backoff::new(&link.environment);
    while !session.is_retired() {
        let began = Instant::now();
        let error = match open(&link, &session).await {
            Ok(opened) => serve(&link, &session, opened).await,
            Err(error) => Some(error),
        };
        let Some(error) = error else { break };
        link.commands_ended(&session, &error);
        if began.elapsed() > PULSE {
            backoff.reset();
        }
        tokio::select! {
            biased;
            () = session.retired() => {}
            () = sleep(backoff.next()) => {}
        }
    }
    link.session_over(&session);
}

async fn open(link: &Link, session: &Session) -> Result<Opened, LinkError> {
    let url = &link.url;
    // An address may have been another's since it was looked up.
    link.looked_at_anew(session).await?;
    let mut publishes = Connection::open(url, &session.address, Role::Server, None).await?;
    let asks = Connection::open(url, &session.address, Role::Server, None).await?;
    let server = durability::Server::of(&mut publishes).await?;
    if let Place::Sentinel { .. } = &url.place
        && server.uptime < YOUNG
        && link.knows(session)
    {
        sleep(YOUNG - server.uptime).await;
    }
    // This process was the master while the connection to it was open, and is not one that has been replaced meanwhile.
    link.looked_at_anew(session).await?;
    server.is_of(&link.url.place)?;
    let wait = server.fits(link.durability)?;
    publishes.ask(&Script::load()).await?;
    let pulse = match wait {
        None => asks.clone(),
        Some(_) => Connection::open(url, &session.address, Role::Server, None).await?,
    };
    Ok(Opened { publishes, asks, pulse, process: server.process, wait })
}

/// Serves until a connection ends, and says why; `None` if the session is over.
async fn serve(link: &Arc<Link>, session: &Arc<Session>, opened: Opened) -> Option<LinkError> {
    let Opened { publishes, asks, pulse: beats, process, wait } = opened;
    link.commands_are_open(session, process);
    tokio::select! {
        biased;
        ended = publish(link, session, publishes, wait) => ended.err(),
        error = ask(link, session, asks) => Some(error),
        error = pulse(link, session, beats, wait) => Some(error),
    }
}

/// Sends batches of publishes.
async fn publish(
    link: &Link,
    session: &Session,
    mut connection: Connection,
    wait: Option<durability::Wait>,
) -> Result<(), LinkError> {
    let wait_command = wait.map(durability::Wait::command);
    while !session.is_retired() {
        let Some((mut commands, deadline)) = link.next_batch(session) else {
            session.publishes.notified().await;
            continue;
        };
        if let Some(wait) = &wait_command {
            commands.add_command(wait.clone());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        connection.within(left.max(Duration::from_millis(100)));
        let mut answers = connection.ask_all(&commands).await?;
        let waited = wait.as_ref().and_then(|wait| answers.pop().map(|answer| wait.check(&answer)));
        match link.published(session, answers, &waited.unwrap_or(Ok(()))) {
            Next::Go => {}
            Next::Pause => sleep(REFUSED).await,
            Next::LoadScript => {
                connection.ask(&Script::load()).await?;
            }
        }
    }
    Ok(())
}

/// Sends what the store, the follower and the checks ask.
async fn ask(link: &Link, session: &Session, mut connection: Connection) -> LinkError {
    loop {
        if session.is_retired() {
            // The session ends once its last publishes are answered.
            return std::future::pending().await;
        }
        let Some(commands) = link.next_asks(session) else {
            session.asks.notified().await;
            continue;
        };
        let answers = match connection.ask_all(&commands).await {
            Ok(answers) => answers,
            Err(error) => return error,
        };
        let loaded = match link.answered(session, answers) {
            Next::Go => continue,
            Next::Pause => {
                sleep(REFUSED).await;
                continue;
            }
            Next::LoadScript => connection.ask(&Script::load()).await,
        };
        if let Err(error) = loaded {
            return error;
        }
    }
}

/// Looks after the server every second: its clock, whether it accepts writes, how far its partitions are. And has it say
/// something to this server's own subscription.
async fn pulse(
    link: &Link,
    session: &Session,
    mut connection: Connection,
    wait: Option<durability::Wait>,
) -> LinkError {
    connection.within(PULSE_ANSWER);
    let commands = pulse_commands(link, session, wait);
    let mut beats = interval(PULSE);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        let asked = link.clock().here();
        let mut answers = match connection.ask_all(&commands).await {
            Ok(answers) => answers,
            Err(error) => return error,
        };
        let waited = wait.and_then(|wait| answers.pop().map(|answer| wait.check(&answer)));
        for answer in &answers {
            if let Value::ServerError(error) = answer {
                let refusal = Refusal::of_reply(error);
                if link.refused(session, &refusal) {
                    return LinkError::Refused(refusal);
                }
            }
        }
        link.pulsed(session, asked, &answers, waited.unwrap_or(Ok(())));
    }
}

fn pulse_commands(link: &Link, session: &Session, wait: Option<durability::Wait>) -> Pipeline {
    let mut commands = redis::pipe();
    let mut write = cmd("SET");
    write.arg(&session.probe).arg(1).arg("PX").arg(10_000);
    let mut canary = cmd(match link.announce {
        Announce::Publish => "PUBLISH",
        Announce::Sharded => "SPUBLISH",
    });
    canary.arg(&session.canary).arg("1");
    let beat: [Cmd; 3] = [cmd("TIME"), write, canary];
    for command in beat {
        commands.add_command(command);
    }
    if let Some(wait) = wait {
        commands.add_command(wait.command());
    }
    commands
}
