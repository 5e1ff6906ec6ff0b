//! Lists of channels that change while the server crashes and comes back: per channel every message once and in order.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::TryStreamExt;
use poll_client::{
    BackoffSettings, ChannelName, Channels, ChunkedStream, Client, Event, EventSource, IdempotencyKey,
    LongPoll, Message, Payload, Push, ShortPoll, StartAt, Subscription,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::time::timeout;

use super::server::Server;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(120);
const CHANNELS: usize = 8;
const MESSAGES: u64 = 400;

#[derive(Debug, Clone, Copy)]
enum Pattern {
    Short,
    Long,
    Lines,
    Sse,
    Push,
}

impl Pattern {
    const ALL: [Self; 5] = [Self::Short, Self::Long, Self::Lines, Self::Sse, Self::Push];

    fn subscribe(self, client: &Client, channels: Channels, start: StartAt) -> Subscription {
        match self {
            Self::Short => {
                let poll = ShortPoll::new(client, channels).every(Duration::from_millis(20));
                poll.start_at(start).subscribe()
            }
            Self::Long => LongPoll::new(client, channels).start_at(start).subscribe(),
            Self::Lines => ChunkedStream::new(client, channels).start_at(start).subscribe(),
            Self::Sse => EventSource::new(client, channels).start_at(start).subscribe(),
            Self::Push => Push::new(client, channels).start_at(start).subscribe(),
        }
    }
}

fn client(server: &Server) -> Client {
    let backoff = BackoffSettings {
        base: Duration::from_millis(20),
        cap: Duration::from_millis(100),
        max_retries: None,
    };
    Client::builder(&server.url()).backoff(backoff).build().unwrap()
}

fn names() -> Vec<ChannelName> {
    (0..CHANNELS).map(|number| ChannelName::parse(&format!("list/{number} é&=")).unwrap()).collect()
}

/// How far the publisher is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Publishing(u64),
    Over,
}

/// Publishes to channels at random, each message with its number, once however often it takes.
async fn publish(client: Client, seed: u64, phase: watch::Sender<Phase>) {
    let (names, mut random) = (names(), StdRng::seed_from_u64(seed));
    for number in 0..MESSAGES {
        let channel = &names[random.random_range(0..CHANNELS)];
        let key = IdempotencyKey::parse(&format!("{seed}-{number}")).unwrap();
        client.publish_once(channel, &Payload::text(number.to_string()), &key).await.unwrap();
        phase.send_replace(Phase::Publishing(number));
    }
    phase.send_replace(Phase::Over);
}

/// The whole log of each channel.
async fn logs(client: &Client) -> HashMap<ChannelName, Vec<(u64, String)>> {
    let mut logs = HashMap::new();
    for name in names() {
        let poll = ShortPoll::new(client, &name).every(Duration::from_millis(20));
        let (mut events, mut log) = (poll.start_at(StartAt::Oldest).subscribe(), Vec::new());
        // An empty answer is the end.
        while events.counts().empty_answers == 0 {
            match timeout(Duration::from_millis(100), events.try_next()).await {
                Ok(Ok(Some(Event::Message(message)))) => log.push(seen(&message)),
                Ok(other) => panic!("{name}: {other:?}"),
                Err(_) => {}
            }
        }
        logs.insert(name, log);
    }
    logs
}

fn seen(message: &Message) -> (u64, String) {
    (message.seq.get(), message.content.text().unwrap())
}

/// What was read of a channel from when it was added until it was removed.
struct Stretch {
    channel: ChannelName,
    start: StartAt,
    seen: Vec<(u64, String)>,
}

/// A reader that changes its list now and then, and resumes by its position now and then.
struct Reader {
    pattern: Pattern,
    client: Client,
    random: StdRng,
    /// Those in the list.
    open: HashMap<ChannelName, Stretch>,
    closed: Vec<Stretch>,
}

impl Reader {
    async fn run(mut self, mut phase: watch::Receiver<Phase>) -> Vec<Stretch> {
        let names = names();
        let (first, start) = (vec![names[0].clone(), names[1].clone()], StartAt::Oldest);
        first.iter().for_each(|name| self.opened(name, StartAt::Oldest));
        let mut events = self.pattern.subscribe(&self.client, first.into(), start);
        let mut next_change = 0;
        while *phase.borrow_and_update() != Phase::Over {
            tokio::select! {
                event = events.try_next() => self.take(event.unwrap().expect("no channel ends")),
                changed = phase.changed() => changed.unwrap(),
            }
            let Phase::Publishing(number) = *phase.borrow() else { break };
            if number >= next_change {
                next_change = number + self.random.random_range(5..40);
                match events.position().filter(|_| self.random.random_bool(0.2)) {
                    // A new process would do the same.
                    Some(token) => {
                        let channels: Channels = self.open.keys().collect();
                        events = self.pattern.subscribe(&self.client, channels, StartAt::After(token));
                    }
                    None => self.change(&events, &names),
                }
            }
        }
        // Whatever is listed is read to its end.
        let logs = logs(&self.client).await;
        let is_behind = |open: &HashMap<ChannelName, Stretch>| {
            open.iter().any(|(name, stretch)| {
                let last = logs[name].last();
                // One that started with the next message may have come after the last.
                last.is_some_and(|last| stretch.seen.last() != Some(last))
                    && (stretch.start == StartAt::Oldest || !stretch.seen.is_empty())
            })
        };
        while is_behind(&self.open) {
            let event = timeout(PATIENCE, events.try_next()).await;
            self.take(event.expect("the last message").unwrap().expect("no channel ends"));
        }
        self.closed.extend(self.open.into_values());
        self.closed
    }

    fn take(&mut self, event: Event) {
        let Event::Message(message) = event else { panic!("{:?}: {event:?}", self.pattern) };
        let stretch = self.open.get_mut(&message.channel).expect("only what is listed");
        stretch.seen.push(seen(&message));
    }

    fn opened(&mut self, channel: &ChannelName, start: StartAt) {
        let stretch = Stretch { channel: channel.clone(), start, seen: Vec::new() };
        self.open.insert(channel.clone(), stretch);
    }

    fn change(&mut self, events: &Subscription, names: &[ChannelName]) {
        let list = events.channels();
        let name = &names[self.random.random_range(0..names.len())];
        if self.open.contains_key(name) {
            list.remove(name);
            self.closed.extend(self.open.remove(name));
        } else {
            let start = if self.random.random_bool(0.5) { StartAt::Oldest } else { StartAt::Now };
            list.add_at(name, start.clone());
            self.opened(name, start);
        }
    }
}

#[tokio::test]
async fn per_channel_every_message_comes_once_and_in_order_whatever_happens() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut server = Server::start();
    let (phase, watched) = watch::channel(Phase::Publishing(0));
    let publisher = tokio::spawn(publish(client(&server), seed, phase));
    let readers: Vec<_> = Pattern::ALL
        .into_iter()
        .flat_map(|pattern| (0..2).map(move |number| (pattern, number)))
        .map(|(pattern, number)| {
            let reader = Reader {
                pattern,
                client: client(&server),
                random: StdRng::seed_from_u64(seed ^ (number * 8 + pattern as u64)),
                open: HashMap::new(),
                closed: Vec::new(),
            };
            (pattern, tokio::spawn(reader.run(watched.clone())))
        })
        .collect();
    let mut progress = watched.clone();
    for crash_at in [MESSAGES / 4, MESSAGES / 2, 3 * MESSAGES / 4] {
        let reached = progress.wait_for(|phase| match phase {
            Phase::Publishing(number) => *number >= crash_at,
            Phase::Over => true,
        });
        timeout(PATIENCE, reached).await.expect("messages are published").unwrap();
        server.crash();
    }
    publisher.await.unwrap();
    let logs = logs(&client(&server)).await;
    assert_eq!(logs.values().map(Vec::len).sum::<usize>() as u64, MESSAGES, "each was published once");
    for (pattern, reader) in readers {
        for Stretch { channel, start, seen } in timeout(PATIENCE, reader).await.unwrap().unwrap() {
            let log = &logs[&channel];
            let first = match start {
                StartAt::Oldest => 1,
                _ => seen.first().map_or(1, |(seq, _)| *seq),
            };
            let begin = usize::try_from(first - 1).unwrap();
            assert_eq!(seen, log[begin..begin + seen.len()], "{pattern:?} of {channel} from {start:?}");
        }
    }
}

/// What it gives until this message, as `a1` or `reset of a`.
async fn until(events: &mut Subscription, last: &str) -> Vec<String> {
    let mut given = Vec::new();
    while given.last().map(String::as_str) != Some(last) {
        let event = timeout(PATIENCE, events.try_next()).await.expect("a message").unwrap().expect("no end");
        given.push(match event {
            Event::Message(message) => format!("{}{}", message.channel, message.seq),
            Event::Missed { channel, reset: true, .. } => format!("reset of {channel}"),
            other => format!("{other:?}"),
        });
    }
    given
}

#[tokio::test]
async fn a_cursor_of_one_channel_goes_along_and_one_of_none_is_told() {
    let server = Server::start();
    let client = client(&server);
    for pattern in Pattern::ALL {
        let [a, b, c] =
            ["a", "b", "c"].map(|name| ChannelName::parse(&format!("{pattern:?}-{name}-")).unwrap());
        let publish = async |channel: &ChannelName, count: usize| {
            let mut receipts = Vec::new();
            for number in 0..count {
                receipts.push(client.publish(channel, &Payload::text(number.to_string())).await.unwrap());
            }
            receipts
        };
        publish(&a, 2).await;
        let b_first = publish(&b, 3).await[0].cursor;
        // b goes on behind its first message; a, which the cursor does not know, starts now.
        let start = StartAt::After(b_first.to_string().parse().unwrap());
        let mut events = pattern.subscribe(&client, [&a, &b].into(), start);
        assert_eq!(until(&mut events, &format!("{b}3")).await, [format!("{b}2"), format!("{b}3")]);
        publish(&a, 1).await;
        assert_eq!(until(&mut events, &format!("{a}3")).await, [format!("{a}3")], "{pattern:?}");

        // The token of several is one channel's as well, and one channel more is no trouble.
        let token = events.position().unwrap();
        publish(&b, 1).await;
        publish(&c, 1).await;
        let mut alone = pattern.subscribe(&client, (&b).into(), StartAt::After(token.clone()));
        assert_eq!(until(&mut alone, &format!("{b}4")).await, [format!("{b}4")]);
        let mut more = pattern.subscribe(&client, [&c, &a, &b].into(), StartAt::After(token));
        assert_eq!(until(&mut more, &format!("{b}4")).await, [format!("{b}4")]);

        // A cursor of neither: everything that is retained, and it is said.
        let foreign = StartAt::After("00000000000000090000000000000001".parse().unwrap());
        let mut lost = pattern.subscribe(&client, [&a, &b].into(), foreign);
        let mut given = until(&mut lost, &format!("{b}4")).await;
        for channel in [&a, &b] {
            assert!(given.contains(&format!("reset of {channel}")), "{pattern:?}: {given:?}");
        }
        given.retain(|event| !event.starts_with("reset"));
        assert_eq!(given.len(), 7, "{pattern:?}: {given:?}");
    }
}
