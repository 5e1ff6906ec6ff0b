//! A Redis with the script, and a caller that remembers what it has seen.

use redis::{Connection, Value};

#[expect(dead_code, reason = "the tests of the journal itself kill it and start it again")]
#[path = "../../../../../../tests/redis/server.rs"]
pub(super) mod server;

use server::RedisServer;

use crate::journal::redis::connect::refusal::Refusal;
use crate::journal::redis::log::announcement::{Announcement, Kept};
use crate::journal::redis::log::entry::Draft;
use crate::journal::redis::log::generation::{Birth, Generation, Mark, Process};
use crate::journal::redis::log::partition::{Partition, Prefix};
use crate::journal::redis::log::script::{
    Announce, Births, Call, KeyHashes, Known, Publish, Published, Renew, Script, Verdict,
};
use crate::types::{ChannelName, Ending, IdempotencyKey, Payload, Retention, fingerprint};

pub(super) struct Redis {
    pub(super) server: RedisServer,
    pub(super) connection: Connection,
    pub(super) script: Script,
    pub(super) known: Known,
    random: u64,
}

pub(super) const PROCESS: Process = Process(*b"process1");

pub(super) fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

pub(super) fn text(text: &str) -> Vec<Payload> {
    vec![Payload::text(text)]
}

impl Redis {
    /// A new Redis; the partition of `default` has a generation.
    pub(super) fn new(retention: Retention) -> Self {
        let mut redis = Self::empty(retention);
        redis.begin(Partition::of(&name("default")));
        redis
    }

    pub(super) fn empty(retention: Retention) -> Self {
        let server = RedisServer::start(&["--enable-debug-command", "yes"]);
        let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
        Script::load().exec(&mut connection).unwrap();
        let script = Script::new(Prefix::default(), Announce::Publish, retention);
        let known = Known { mark: Mark::default(), process: PROCESS };
        Self { server, connection, script, known, random: 0 }
    }

    /// The same Redis and another bound.
    pub(super) fn bounded(&mut self, retention: Retention) {
        self.script = Script::new(Prefix::default(), Announce::Publish, retention);
    }

    /// Gives a partition its first generation.
    pub(super) fn begin(&mut self, partition: Partition) {
        self.known.mark = Mark::default();
        let next = Generation::default().next(7);
        self.done(&Renew { partition, next });
    }

    pub(super) fn value<C: Call>(&mut self, call: &C) -> Value {
        call.command(&self.script, self.known).query(&mut self.connection).unwrap()
    }

    pub(super) fn call<C: Call>(&mut self, call: &C) -> Verdict<C::Reply> {
        let value = self.value(call);
        call.reply(value).unwrap()
    }

    /// A call that is executed; what it says of the partition is known afterwards.
    pub(super) fn done<C: Call>(&mut self, call: &C) -> C::Reply {
        match self.call(call) {
            Verdict::Done(mark, reply) => {
                self.known.mark = mark;
                reply
            }
            Verdict::Lost(mark) => panic!("lost, {:?} is there and {mark:?} known", self.known.mark),
            Verdict::Renewed(mark) => panic!("renewed: {mark:?}"),
        }
    }

    /// A call that Redis refuses.
    pub(super) fn refused<C: Call>(&mut self, call: &C) -> Refusal {
        let command = call.command(&self.script, self.known);
        Refusal::of_error(&command.query::<Value>(&mut self.connection).unwrap_err())
    }

    pub(super) fn publish(&mut self, channel: &ChannelName, payloads: Vec<Payload>) -> Publish {
        let drafts = payloads.into_iter().map(|payload| {
            self.random += 1;
            Draft { payload, random: self.random << 40 | 5 }
        });
        let drafts = drafts.collect();
        let birth = Birth::random(self.random + 1_000);
        let (channel, births) = (channel.clone(), Births::Allowed);
        Publish { channel, drafts, ending: Ending::Open, key: None, birth, births, change: None }
    }

    /// Publishes what is kept.
    pub(super) fn keep(&mut self, channel: &ChannelName, payloads: Vec<Payload>) -> Kept {
        let publish = self.publish(channel, payloads);
        self.kept(&publish)
    }

    pub(super) fn kept(&mut self, publish: &Publish) -> Kept {
        match self.done(publish) {
            Published::Kept(kept) => kept,
            other => panic!("{other:?}"),
        }
    }

    /// A connection that hears what is announced in the partition of a channel.
    pub(super) fn subscribe(&self, channel: &ChannelName) -> Connection {
        let mut connection = redis::Client::open(self.server.url()).unwrap().get_connection().unwrap();
        let announcements = Partition::of(channel).announcements(self.script.prefix());
        let mut subscription = connection.as_pubsub();
        subscription.subscribe(announcements).unwrap();
        // Dropping a subscription ends it.
        std::mem::forget(subscription);
        connection
    }
}

pub(super) fn next(connection: &mut Connection) -> Announcement {
    let value = connection.recv_response().unwrap();
    let Value::Array(parts) = value else { panic!("{value:?}") };
    let Some(Value::BulkString(bytes)) = parts.last() else { panic!("{parts:?}") };
    Announcement::decode(bytes).unwrap()
}

impl Publish {
    pub(super) fn closing(self) -> Self {
        Self { ending: Ending::Close, ..self }
    }

    pub(super) fn under(self, key: &str) -> Self {
        let payloads: Vec<_> = self.drafts.iter().map(|draft| draft.payload.clone()).collect();
        let key = KeyHashes::new(&IdempotencyKey::parse(key).unwrap(), &fingerprint(&payloads));
        Self { key: Some(key), ..self }
    }

    pub(super) fn in_place_of_another(self) -> Self {
        Self { births: Births::InPlaceOfAnother, ..self }
    }
}
