//! Who is let in: places for those who wait, and a rate for those who ask.
//!
//! Refusing costs a look-up and keeps nothing: the tables hold those who were let in, and no more addresses
//! than a fixed number. That a place is given back, however a request ends, is seen to by the service.

mod per_key_limit;
mod rate;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use poll_core::{ChannelName, Charge, Kind, Memory, OverBudget};

pub use rate::Rate;

use crate::access::client::Client;
use crate::message::refusal::Refusal;
use per_key_limit::Tally;
use rate::Buckets;

/// Bounds on waiting requests and open streams, and on how often anybody asks. Zero counts mean no bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// In all. 100 000: what one process holds in about a gigabyte.
    pub total: usize,
    /// On one channel. 10 000.
    pub per_channel: usize,
    /// Of one client that names itself. 6: as many as a browser opens to a host.
    pub per_client: usize,
    /// From one address. 1024: an office behind one, but no way round the client's bound by made-up names.
    pub per_address: usize,
    /// Requests from one address.
    pub rate: Rate,
    /// Tokens that are not known from one address, a minute. 20: more than anybody mistypes, and a guess each three
    /// seconds finds nothing.
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

/// Everybody who was let in.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Limits,
    total: AtomicUsize,
    channels: Tally<ChannelName>,
    clients: Tally<Arc<str>>,
    addresses: Tally<IpAddr>,
    buckets: Buckets,
    failures: Buckets,
    memory: Memory,
}

/// What the names take of one who was let in. Short ones lie in what waits itself.
#[derive(Debug)]
#[must_use = "the names are kept for as long as the place is"]
pub(crate) struct Names {
    _charge: Option<Box<Charge>>,
}

impl Names {
    /// Names up to this many bytes have no place of their own.
    const SHORT: usize = 23;

    fn of(channel: &ChannelName, client: &Client, memory: &Memory) -> Result<Self, OverBudget> {
        let names = [channel.as_str(), client.name.as_deref().unwrap_or_default()];
        let long = names.iter().map(|name| name.len()).filter(|bytes| *bytes > Self::SHORT);
        let bytes: usize = long.sum();
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

/// Slots come free as polls end, so soon.
const SLOT_RETRY: Duration = Duration::from_secs(1);

impl Admission {
    pub(crate) fn new(limits: Limits, memory: Memory) -> Self {
        Self {
            limits,
            memory,
            total: AtomicUsize::new(0),
            channels: Tally::new(limits.per_channel),
            clients: Tally::new(limits.per_client),
            addresses: Tally::new(limits.per_address),
            buckets: Buckets::new(limits.rate),
            failures: Buckets::new(Rate::a_minute(limits.auth_failures)),
        }
    }

    /// Lets one wait. The place is to be [given back](Self::give).
    ///
    /// # Errors
    /// 429 with the bound that is reached.
    pub(crate) fn take(&self, channel: &ChannelName, client: &Client) -> Result<Names, Refusal> {
        let names = Names::of(channel, client, &self.memory)?;
        let full = |what| Refusal::new(StatusCode::TOO_MANY_REQUESTS, what).retry_after(SLOT_RETRY);
        let limits = &self.limits;
        let more = |count| (limits.total == 0 || count < limits.total).then_some(count + 1);
        self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map_err(|_| full(AT_CAPACITY))?;
        let undo_total = || self.total.fetch_sub(1, Ordering::Relaxed);
        if let Some(name) = &client.name
            && !self.clients.take(name)
        {
            undo_total();
            return Err(full(CLIENT_AT_CAPACITY));
        }
        let undo_client = || client.name.iter().for_each(|name| self.clients.give(name));
        if !self.addresses.take(&client.address) {
            undo_client();
            undo_total();
            return Err(full(CLIENT_AT_CAPACITY));
        }
        if !self.channels.take(channel) {
            self.addresses.give(&client.address);
            undo_client();
            undo_total();
            return Err(full(CHANNEL_AT_CAPACITY));
        }
        Ok(names)
    }

    /// Gives back a place that was taken.
    pub(crate) fn give(&self, channel: &ChannelName, client: &Client, names: Names) {
        drop(names);
        self.channels.give(channel);
        self.addresses.give(&client.address);
        if let Some(name) = &client.name {
            self.clients.give(name);
        }
        self.total.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts one request against its address's rate.
    ///
    /// # Errors
    /// 429 with the time until the next one is due.
    pub(crate) fn charge(&self, address: IpAddr) -> Result<(), Refusal> {
        self.buckets.charge(address).map_err(|wait| {
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many requests from this address")
                .retry_after(wait)
        })
    }

    /// Counts a token that is not known. Whoever has a good one is never asked here.
    ///
    /// # Errors
    /// 429 where there were too many, so that guessing is slow.
    pub(crate) fn failed_token(&self, address: IpAddr) -> Result<(), Refusal> {
        self.failures.charge(address).map_err(|wait| {
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens from this address")
                .retry_after(wait)
        })
    }

    /// A request turned out to be nothing new: it costs a tenth.
    pub(crate) fn refund(&self, address: IpAddr) {
        self.buckets.refund(address);
    }

    /// How many wait.
    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: Option<&str>, address: [u8; 4]) -> Client {
        Client { name: name.map(Into::into), address: address.into() }
    }

    #[test]
    fn each_bound_is_reached_told_and_given_back() {
        let limits = Limits { total: 4, per_channel: 2, per_client: 1, per_address: 3, ..Limits::default() };
        let admission = Admission::new(limits, Memory::new(0));
        let channel = |name: &str| ChannelName::parse(name).unwrap();
        let take = |name: &str, who: Option<&str>, at: u8| {
            let taken = admission.take(&channel(name), &client(who, [1, 1, 1, at]));
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
            admission.give(&channel(name), &client(who, [1, 1, 1, at]), Names { _charge: None });
        }
        assert_eq!(admission.waiting(), 0);
        assert!(
            admission.channels.is_empty() && admission.clients.is_empty() && admission.addresses.is_empty()
        );
    }

    #[test]
    fn refused_strangers_leave_nothing_behind() {
        let limits = Limits { total: 1, ..Limits::default() };
        let admission = Admission::new(limits, Memory::new(0));
        let channel = ChannelName::parse("a").unwrap();
        let _taken = admission.take(&channel, &client(None, [9, 9, 9, 9])).unwrap();
        for number in 0..10_000u32 {
            let name = format!("attacker-{number}");
            let stranger = Client { name: Some(name.as_str().into()), address: IpAddr::V4(number.into()) };
            assert!(admission.take(&channel, &stranger).is_err());
        }
        assert!(admission.clients.is_empty());
    }

    #[test]
    fn long_names_are_charged_for_as_long_as_the_place_is_kept() {
        // A sixteenth of it is for names.
        let memory = Memory::new(16 * 2_000);
        let admission = Admission::new(Limits::default(), memory.clone());
        let (short, long) = ("c".repeat(23), "c".repeat(1_000));
        let [short, long] = [short, long].map(|name| ChannelName::parse(&name).unwrap());
        let (one, named) = (client(None, [1, 1, 1, 1]), client(Some(&"n".repeat(100)), [1, 1, 1, 1]));
        let names = admission.take(&short, &one).unwrap();
        assert_eq!(memory.used(Kind::Names), 0);
        admission.give(&short, &one, names);
        let names = [admission.take(&long, &named), admission.take(&short, &named)].map(Result::unwrap);
        assert_eq!(memory.used(Kind::Names), 1_200);
        assert_eq!(admission.take(&long, &one).unwrap_err().detail(), AT_CAPACITY);
        let [first, second] = names;
        admission.give(&long, &named, first);
        admission.give(&short, &named, second);
        assert_eq!((memory.used(Kind::Names), admission.waiting()), (0, 0));
    }
}
