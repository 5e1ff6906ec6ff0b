//! Admission: limits on waiting requests and on the rate of requests.
//!
//! A refusal costs a look-up and leaves nothing behind: the tables hold admitted requests only, and a fixed number of
//! addresses. `worker::permit` releases what was taken, however a request ends.

mod channel_limit;
mod per_key_limit;
mod rate;

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::StatusCode;
use poll_core::{ChannelList, ChannelName, Charge, Kind, Memory, OverBudget};

pub(crate) use channel_limit::{ListCount, Waiting, WaitsBy};
pub use rate::Rate;

use crate::access::client::Client;
use crate::message::refusal::Refusal;
use channel_limit::ChannelLimit;
use per_key_limit::PerKeyLimit;
use rate::{Buckets, Cost};

/// Limits on waiting requests and open streams, and on the rate of requests. Zero means no limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// In all. 100 000: about 160 MB over HTTP/1.1, besides the kernel's memory for sockets.
    pub total: usize,
    /// On one channel. 10 000.
    pub per_channel: usize,
    /// Of one named client. 6: as many as a browser opens to a host.
    pub per_client: usize,
    /// From one address. 1024: enough for an office behind it, but no way around the client's limit by invented names.
    pub per_address: usize,
    /// Requests from one address.
    pub rate: Rate,
    /// Unknown tokens from one address per minute. 20: more than anyone mistypes, too few to guess.
    pub auth_failures: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            total: 100_000,
            per_channel: 10_000,
            per_client: 6,
            per_address: 1_024,
            rate: Rate::Unlimited,
            auth_failures: 20,
        }
    }
}

/// The state of all limits.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Replaced as a whole: a request is judged by the ones or the others.
    limits: ArcSwap<InForce>,
    total: AtomicUsize,
    channels: Arc<ChannelLimit>,
    clients: PerKeyLimit<Arc<str>>,
    addresses: PerKeyLimit<IpAddr>,
    buckets: Buckets,
    failures: Buckets,
    memory: Memory,
}

/// Limits, and what follows from them.
#[derive(Debug)]
struct InForce {
    limits: Limits,
    rate: Cost,
    failures: Cost,
}

impl From<Limits> for InForce {
    fn from(limits: Limits) -> Self {
        Self { rate: limits.rate.into(), failures: Rate::a_minute(limits.auth_failures).into(), limits }
    }
}

/// The channels that a request waits on: one, or a list.
pub(crate) trait Channels: Clone + Send + 'static {
    /// How the request is counted in them.
    fn counted(&self) -> Counted<'_>;
}

/// How a request is counted in its channels.
#[derive(Clone, Copy)]
pub(crate) enum Counted<'a> {
    In(&'a ChannelName),
    /// In each channel of a list, whose names are on the account already.
    InEach(&'a Arc<ChannelList>, &'a OnceLock<ListCount>),
}

impl<'a> Counted<'a> {
    /// The channels.
    pub(crate) fn names(self) -> &'a [ChannelName] {
        match self {
            Self::In(channel) => std::slice::from_ref(channel),
            Self::InEach(list, _) => list.names(),
        }
    }
}

impl Channels for ChannelName {
    fn counted(&self) -> Counted<'_> {
        Counted::In(self)
    }
}

/// The memory of an admitted request's channel and client names. Short ones are stored inline.
#[derive(Debug)]
#[must_use = "released with the request"]
pub(crate) struct Names {
    _charge: Option<Box<Charge>>,
}

impl Names {
    /// Names of up to this many bytes are stored inline.
    const SHORT: usize = 23;

    fn of(counted: Counted<'_>, client: &Client, memory: &Memory) -> Result<Self, OverBudget> {
        let channel = if let Counted::In(channel) = counted { Some(channel.as_str()) } else { None };
        let names = channel.into_iter().chain(client.name.as_deref());
        let bytes: usize = names.map(str::len).filter(|bytes| *bytes > Self::SHORT).sum();
        if bytes == 0 {
            return Ok(Self { _charge: None });
        }
        let charge = memory.charge(Kind::Names, bytes as u64)?;
        Ok(Self { _charge: Some(Box::new(charge)) })
    }
}

const AT_CAPACITY: &str = "Server at capacity";
const CLIENT_AT_CAPACITY: &str = "Too many connections from client";
const CHANNEL_AT_CAPACITY: &str = "Channel at capacity";

/// Polls end all the time, so there is room again soon.
const PERMIT_RETRY: Duration = Duration::from_secs(1);

impl Admission {
    pub(crate) fn new(limits: Limits, memory: Memory) -> Self {
        Self {
            limits: ArcSwap::from_pointee(limits.into()),
            memory,
            total: AtomicUsize::new(0),
            channels: Arc::default(),
            clients: PerKeyLimit::new(),
            addresses: PerKeyLimit::new(),
            buckets: Buckets::new(),
            failures: Buckets::new(),
        }
    }

    /// Sets other limits. What is admitted stays, also where that is more than they allow.
    pub(crate) fn replace(&self, limits: Limits) {
        self.limits.store(Arc::new(limits.into()));
    }

    /// Admits a request that waits, once for its client and in each of its channels. It has to be
    /// [released](Self::release).
    ///
    /// # Errors
    /// 429 with the limit that was reached, in whichever channel.
    pub(crate) fn acquire(
        &self,
        by: WaitsBy,
        channels: &impl Channels,
        client: &Client,
    ) -> Result<Names, Refusal> {
        let counted = channels.counted();
        let names = Names::of(counted, client, &self.memory)?;
        let at_limit = |what| Refusal::new(StatusCode::TOO_MANY_REQUESTS, what).retry_after(PERMIT_RETRY);
        // Counted first, then in all, then looked at: of those that exceed a channel's limit, the last one to be counted in
        // all sees the others.
        self.add(by, counted);
        let in_force = self.limits.load();
        let limits = &in_force.limits;
        let more = |count| (limits.total == 0 || count < limits.total).then_some(count + 1);
        let Ok(before) = self.total.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more) else {
            self.remove(by, counted);
            return Err(at_limit(AT_CAPACITY));
        };
        let undo = || {
            self.total.fetch_sub(1, Ordering::SeqCst);
            self.remove(by, counted);
        };
        if let Some(name) = &client.name
            && !self.clients.acquire(name, limits.per_client)
        {
            undo();
            return Err(at_limit(CLIENT_AT_CAPACITY));
        }
        let undo_client = || client.name.iter().for_each(|name| self.clients.release(name));
        if !self.addresses.acquire(&client.address, limits.per_address) {
            undo_client();
            undo();
            return Err(at_limit(CLIENT_AT_CAPACITY));
        }
        // While no more wait in all, no channel is over its limit.
        let most = limits.per_channel;
        if most > 0 && before >= most && !self.allows(counted, most) {
            self.addresses.release(&client.address);
            undo_client();
            undo();
            return Err(at_limit(CHANNEL_AT_CAPACITY));
        }
        Ok(names)
    }

    /// How many requests wait in a channel, on this server.
    pub(crate) fn waiting_in(&self, channel: &ChannelName) -> Waiting {
        self.channels.waiting(channel)
    }

    fn add(&self, by: WaitsBy, counted: Counted<'_>) {
        match counted {
            Counted::In(channel) => self.channels.add(by, channel),
            Counted::InEach(list, count) => count.get_or_init(|| self.channels.list(list)).add(by),
        }
    }

    fn remove(&self, by: WaitsBy, counted: Counted<'_>) {
        match counted {
            Counted::In(channel) => self.channels.remove(by, channel),
            Counted::InEach(_, count) => count.get().into_iter().for_each(|count| count.remove(by)),
        }
    }

    /// Whether no channel has more than `most`.
    fn allows(&self, counted: Counted<'_>, most: usize) -> bool {
        match counted {
            Counted::In(channel) => self.channels.allows(channel, most),
            Counted::InEach(_, count) => count.get().is_none_or(|count| count.allows(most)),
        }
    }

    /// Releases an admitted request.
    pub(crate) fn release(&self, by: WaitsBy, channels: &impl Channels, client: &Client, names: Names) {
        drop(names);
        self.addresses.release(&client.address);
        if let Some(name) = &client.name {
            self.clients.release(name);
        }
        self.total.fetch_sub(1, Ordering::SeqCst);
        self.remove(by, channels.counted());
    }

    /// Counts a request against the rate of its address.
    ///
    /// # Errors
    /// 429 with the time until the next request is allowed.
    pub(crate) fn charge(&self, address: IpAddr) -> Result<(), Refusal> {
        self.buckets.charge(address, self.limits.load().rate).map_err(|wait| {
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many requests from this address")
                .retry_after(wait)
        })
    }

    /// Counts an unknown token.
    ///
    /// # Errors
    /// 429 if there were too many, so that guessing is slow.
    pub(crate) fn failed_token(&self, address: IpAddr) -> Result<(), Refusal> {
        self.failures.charge(address, self.limits.load().failures).map_err(|wait| {
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens from this address")
                .retry_after(wait)
        })
    }

    /// Refunds nine tenths of a request that found nothing new.
    pub(crate) fn refund(&self, address: IpAddr) {
        self.buckets.refund(address, self.limits.load().rate);
    }

    /// How many requests wait.
    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::client::Expiry;
    use crate::message::access_log::Logged;

    fn client(name: Option<&str>, address: [u8; 4]) -> Client {
        Client {
            name: name.map(Into::into),
            address: address.into(),
            expiry: Expiry::NEVER,
            logged: Logged::default(),
            record: None,
        }
    }

    #[test]
    fn each_bound_is_reached_reported_and_released() {
        let limits = Limits { total: 4, per_channel: 2, per_client: 1, per_address: 3, ..Limits::default() };
        let admission = Admission::new(limits, Memory::new(0));
        let channel = |name: &str| ChannelName::parse(name).unwrap();
        let take = |name: &str, who: Option<&str>, at: u8| {
            let taken = admission.acquire(WaitsBy::Poll, &channel(name), &client(who, [1, 1, 1, at]));
            taken.map(drop).map_err(|refusal| refusal.detail().to_owned())
        };
        let refused = |what: &str| Err(what.to_owned());

        assert_eq!(take("a", Some("x"), 1), Ok(()));
        assert_eq!(take("b", Some("x"), 2), refused(CLIENT_AT_CAPACITY));
        assert_eq!(take("a", Some("y"), 1), Ok(()));
        assert_eq!(take("a", None, 2), refused(CHANNEL_AT_CAPACITY));
        assert_eq!(take("b", Some("z"), 1), Ok(()));
        assert_eq!(take("b", Some("made-up"), 1), refused(CLIENT_AT_CAPACITY));
        assert_eq!(take("c", None, 2), Ok(()));
        assert_eq!(take("d", None, 3), refused(AT_CAPACITY));

        for (name, who, at) in [("a", Some("x"), 1), ("a", Some("y"), 1), ("b", Some("z"), 1), ("c", None, 2)]
        {
            admission.release(
                WaitsBy::Poll,
                &channel(name),
                &client(who, [1, 1, 1, at]),
                Names { _charge: None },
            );
        }
        assert_eq!(admission.waiting(), 0);
        assert!(
            admission.channels.is_empty() && admission.clients.is_empty() && admission.addresses.is_empty()
        );
    }

    #[test]
    fn limits_change_while_requests_wait_and_the_count_stays_right() {
        let all = |count| Limits { total: count, per_client: count, per_address: count, ..Limits::default() };
        let admission = Admission::new(all(0), Memory::new(0));
        let (channel, one) = (ChannelName::parse("a").unwrap(), client(Some("x"), [1, 1, 1, 1]));
        let names: Vec<_> =
            (0..3).map(|_| admission.acquire(WaitsBy::Poll, &channel, &one).unwrap()).collect();
        admission.replace(all(3));
        assert!(admission.acquire(WaitsBy::Poll, &channel, &one).is_err());
        admission.replace(all(4));
        let last = admission.acquire(WaitsBy::Poll, &channel, &one).unwrap();
        admission.replace(all(2));
        names.into_iter().for_each(|names| admission.release(WaitsBy::Poll, &channel, &one, names));
        let more = admission.acquire(WaitsBy::Poll, &channel, &one).unwrap();
        assert!(admission.acquire(WaitsBy::Poll, &channel, &one).is_err());
        [last, more].into_iter().for_each(|names| admission.release(WaitsBy::Poll, &channel, &one, names));
        assert_eq!(admission.waiting(), 0);
        assert!(admission.clients.is_empty() && admission.addresses.is_empty());
    }

    #[test]
    fn refused_strangers_leave_nothing_behind() {
        let limits = Limits { total: 1, ..Limits::default() };
        let admission = Admission::new(limits, Memory::new(0));
        let channel = ChannelName::parse("a").unwrap();
        let _taken = admission.acquire(WaitsBy::Poll, &channel, &client(None, [9, 9, 9, 9])).unwrap();
        for number in 0..10_000u32 {
            let name = format!("attacker-{number}");
            let address = IpAddr::V4(number.into());
            let stranger = Client {
                name: Some(name.as_str().into()),
                address,
                expiry: Expiry::NEVER,
                logged: Logged::default(),
                record: None,
            };
            assert!(admission.acquire(WaitsBy::Poll, &channel, &stranger).is_err());
        }
        assert!(admission.clients.is_empty());
    }

    #[test]
    fn long_names_are_charged_for_as_long_as_the_permit_is_held() {
        // An eighth of it is for names.
        let memory = Memory::new(8 * 2_000);
        let admission = Admission::new(Limits::default(), memory.clone());
        let (short, long) = ("c".repeat(23), "c".repeat(1_000));
        let [short, long] = [short, long].map(|name| ChannelName::parse(&name).unwrap());
        let (one, named) = (client(None, [1, 1, 1, 1]), client(Some(&"n".repeat(100)), [1, 1, 1, 1]));
        let names = admission.acquire(WaitsBy::Poll, &short, &one).unwrap();
        assert_eq!(memory.used(Kind::Names), 0);
        admission.release(WaitsBy::Poll, &short, &one, names);
        let names = [
            admission.acquire(WaitsBy::Poll, &long, &named),
            admission.acquire(WaitsBy::Poll, &short, &named),
        ]
        .map(Result::unwrap);
        assert_eq!(memory.used(Kind::Names), 1_200);
        assert_eq!(admission.acquire(WaitsBy::Poll, &long, &one).unwrap_err().detail(), AT_CAPACITY);
        let [first, second] = names;
        admission.release(WaitsBy::Poll, &long, &named, first);
        admission.release(WaitsBy::Poll, &short, &named, second);
        assert_eq!((memory.used(Kind::Names), admission.waiting()), (0, 0));
    }
}
