//! The subscription to what one server announces.
//!
//! It is one connection that only listens. Once each announcement's channel is confirmed, whatever was missed before is
//! read; see [`Follower`](crate::journal::redis::follower::Follower). A connection can be open and dead, and Redis' publish and subscribe says
//! nothing when it stops: so each node publishes to itself once a second, over the same subscription. When that does not
//! arrive, the subscription is closed and made again.

use std::sync::Arc;
use std::time::Duration;

use redis::{PushInfo, PushKind, Value, pipe};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::link::Link;
use super::session::Session;
use crate::journal::redis::connect::backoff::Backoff;
use crate::journal::redis::connect::connection::{Connection, LinkError, Role};
use crate::journal::redis::connect::refusal::Refusal;
use crate::journal::redis::log::partition::Partition;
use crate::journal::redis::log::script::Announce;
use crate::journal::{Fault, FaultKind};

/// How long nothing may arrive.
pub(crate) const SILENCE: Duration = Duration::from_secs(3);

/// What the connection's task tells the loop.
struct Ear {
    link: Arc<Link>,
    session: Arc<Session>,
    /// When this server last heard itself.
    heard: watch::Sender<Instant>,
    /// Called when the connection or a subscription ended.
    ended: Notify,
}

/// Keeps the subscription until the session is retired.
pub(crate) async fn run(link: Arc<Link>, session: Arc<Session>) {
    let mut backoff = Backoff::new(&link.environment);
    while !session.is_retired() {
        let began = Instant::now();
        let fault = tokio::select! {
            biased;
            () = session.retired() => return,
            fault = listen(&link, &session) => fault,
        };
        link.subscription_ended(&session, fault);
        if began.elapsed() > SILENCE {
            backoff.reset();
        }
        tokio::select! {
            biased;
            () = session.retired() => return,
            () = tokio::time::sleep(backoff.next()) => {}
        }
    }
}

/// Subscribes and listens until that ends.
async fn listen(link: &Arc<Link>, session: &Arc<Session>) -> Fault {
    let ear = Arc::new(Ear {
        link: link.clone(),
        session: session.clone(),
        heard: watch::Sender::new(Instant::now()),
        ended: Notify::new(),
    });
    let on_push = {
        let ear = ear.clone();
        Box::new(move |push| ear.hear(push))
    };
    let opened = Connection::open(&link.url, &session.address, Role::Server, Some(on_push)).await;
    let mut connection = match opened {
        Ok(connection) => connection,
        Err(error) => return error.fault(&session.address),
    };
    if let Err(error) = subscribe(link, session, &mut connection).await {
        return error.fault(&session.address);
    }
    ear.heard.send_replace(Instant::now());
    link.subscribed(session);
    let mut heard = ear.heard.subscribe();
    loop {
        let deadline = *heard.borrow_and_update() + SILENCE;
        tokio::select! {
            biased;
            () = ear.ended.notified() => {
                return Fault::new(FaultKind::Unreachable, format!("{}: the subscription ended", session.address));
            }
            // The sender is in `ear`, which is held here.
            _ = heard.changed() => {}
            () = sleep_until(deadline) => {
                return Fault::new(FaultKind::Silent, format!("{}: the subscription is silent", session.address));
            }
        }
    }
}

/// One command for each channel: those of different slots cannot share one.
async fn subscribe(link: &Link, session: &Session, connection: &mut Connection) -> Result<(), LinkError> {
    let verb = match link.announce {
        Announce::Publish => "SUBSCRIBE",
        Announce::Sharded => "SSUBSCRIBE",
    };
    let mut commands = pipe();
    commands.cmd(verb).arg(&session.canary);
    for partition in &session.partitions {
        commands.cmd(verb).arg(partition.announcements(&link.prefix));
    }
    for answer in connection.ask_all(&commands).await? {
        if let Value::ServerError(error) = answer {
            return Err(LinkError::Refused(Refusal::of_reply(&error)));
        }
    }
    Ok(())
}

impl Ear {
    /// Called by the connection's task for everything that Redis sends.
    fn hear(&self, push: PushInfo) {
        let _vital = self.link.vital();
        match push.kind {
            PushKind::Message | PushKind::SMessage => {
                let mut data = push.data.into_iter();
                let (Some(Value::BulkString(channel)), Some(Value::BulkString(message))) =
                    (data.next(), data.next())
                else {
                    return;
                };
                if let Some(partition) = Partition::announced_on(&self.link.prefix, &channel) {
                    self.link.announced(&self.session, partition, &message);
                } else if channel == self.session.canary.as_bytes() {
                    self.heard.send_replace(Instant::now());
                }
            }
            // In a cluster: the partition moved.
            PushKind::SUnsubscribe | PushKind::Unsubscribe => {
                self.link.topology_changed();
                self.ended.notify_one();
            }
            PushKind::Disconnection => self.ended.notify_one(),
            _ => {}
        }
    }
}
