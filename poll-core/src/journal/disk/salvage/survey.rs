//! Which rows of a file are intact, and how they fit together.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::sync::Arc;

use super::condition::Condition;
use super::pages::{ADDED, Entry, Header, Pages, Pointer, Slot, Walk, Widths};
use crate::environment::{Environment, Location};
use crate::journal::disk::codec::{self, Row, RowError, Totals};
use crate::journal::disk::fault::noted_fault;
use crate::journal::disk::format::{OLDEST_VERSION, VERSION};
use crate::life::{Life, Producer, ProducerId};
use crate::types::{ChannelName, Epoch, Message, Timestamp};

/// The contents of a file.
pub(super) struct Survey {
    /// Commits to read rows from, in order of preference.
    sources: Vec<Pointer>,
    /// By their number.
    pub(super) channels: BTreeMap<u64, Channel>,
    pub(super) condition: Condition,
    /// Messages that only the log has, by channel and number.
    pub(super) log: BTreeMap<(u64, u64), Arc<Message>>,
}

/// A channel that can be salvaged.
pub(super) struct Channel {
    /// Its row, corrected by its messages.
    pub(super) row: Row,
    /// The epoch that readers know, or a new one if that is uncertain.
    pub(super) epoch: Epoch,
    pub(super) life: Option<Life>,
    pub(super) producers: BTreeMap<ProducerId, Producer>,
    pub(super) extent: Extent,
    /// The epoch that the log knows it by, if that is certain.
    pub(super) logged: Option<Epoch>,
    /// Messages up to here were purged.
    pub(super) purged: u64,
}

/// The extent of a channel's messages.
#[derive(Default)]
pub(super) struct Extent {
    first: Option<u64>,
    last: u64,
    last_at: Timestamp,
    pub(super) messages: u64,
    /// Missing ranges between the first and the last.
    holes: Vec<(u64, u64)>,
    /// Damaged rows before the first and after the last.
    before: u64,
    after: u64,
}

/// The content of a message's row.
pub(super) enum Content {
    Message(Arc<Message>),
    /// None: the loss was reported before.
    Lost,
}

const NAMES: Widths = Widths { key: None, value: Some(8) };
const CHANNELS: Widths = Widths { key: Some(8), value: None };
const MESSAGES: Widths = Widths { key: Some(16), value: None };
const KEYS: Widths = Widths { key: Some(24), value: None };
const TOTALS: Widths = Widths { key: Some(0), value: None };
const FORMAT: Widths = NAMES;

/// How many gaps are listed for one channel; more count as damage, unlisted.
const HOLES: usize = 65_536;

impl Channel {
    /// The number of its oldest intact message; one past the newest if there is none.
    pub(super) fn oldest(&self) -> u64 {
        self.extent.first.unwrap_or(self.row.newest.saturating_add(1))
    }

    pub(super) fn name(&self) -> &str {
        self.row.name.as_str()
    }

    /// Whether a message that the file has of it is still there.
    pub(super) fn keeps(&self, seq: u64) -> bool {
        seq > self.purged
    }
}

/// Reports each finding as a line, and counts them.
pub(super) struct Notes<F> {
    say: F,
    damages: u64,
}

impl<F: FnMut(&str)> Notes<F> {
    pub(super) fn add(&mut self, line: &str) {
        self.damages += 1;
        (self.say)(line);
    }

    /// How many findings there were so far.
    pub(super) fn count(&self) -> u64 {
        self.damages
    }
}

impl Survey {
    /// Surveys a file.
    pub(super) fn of(
        pages: &Pages,
        header: &Header,
        location: &dyn Location,
        environment: &Environment,
        mut found: impl FnMut(&str),
    ) -> Result<Self, &'static str> {
        let (sources, opens) = sources(pages, header, &mut found);
        if sources.is_empty() {
            return Err("neither of the two places that lead to everything else can be read");
        }
        let mut survey = Self {
            sources,
            channels: BTreeMap::new(),
            condition: Condition::default(),
            log: BTreeMap::new(),
        };
        let mut notes = Notes { say: found, damages: 0 };
        let is_missing = |name: &&&str| !survey.sources.iter().any(|root| pages.has_table(*root, name));
        let missing: Vec<_> = TABLES.iter().filter(is_missing).collect();
        let added: Vec<_> = ADDED.iter().filter(is_missing).collect();
        let version = survey.read_format(pages, &mut notes)?;
        let added = added.into_iter().filter(|_| version == Some(VERSION));
        for name in missing.into_iter().chain(added) {
            notes.add(&format!("the root of the table \"{name}\""));
        }
        let totals = survey.read_totals(pages, &mut notes);
        let losses = totals.map(|totals| totals.losses + u64::from(totals.relaxed));
        let mut extents = survey.read_extents(pages);
        let mut rows = survey.read_rows(pages);
        survey.name_the_rest(pages, &mut rows, &mut extents, &mut notes);
        for (id, (row, is_certain)) in rows {
            let extent = extents.remove(&id).unwrap_or_default();
            let epoch = match losses.filter(|_| is_certain) {
                Some(losses) => row.visible_epoch(losses),
                None => Epoch::new(environment.random().max(1)),
            };
            let logged = totals.filter(|_| is_certain).map(|totals| row.visible_epoch(totals.losses));
            let channel = Channel { epoch, extent, logged, ..Channel::of(row) }.corrected(&mut notes);
            survey.condition.messages += channel.extent.messages;
            survey.channels.insert(id, channel);
        }
        for (id, extent) in extents {
            let messages = extent.messages + extent.before;
            notes.add(&format!("{messages} messages of a channel whose name is lost (its number is {id})"));
        }
        survey.read_lives(pages, &mut notes);
        survey.read_log(location, totals.unwrap_or_default(), &mut notes);
        let noted = noted_fault(location);
        if let Some(fault) = &noted {
            notes.add(&fault.to_string());
        }
        survey.condition = Condition {
            channels: survey.channels.len() as u64,
            messages: survey.condition.messages,
            damages: notes.damages + survey.bad_keys(pages, &mut notes),
            pages: pages.bad(),
            opens: opens && noted.is_none(),
        };
        Ok(survey)
    }

    /// All intact messages, by channel and number.
    pub(super) fn messages<'p>(&'p self, pages: &'p Pages) -> impl Iterator<Item = (u64, u64, Content)> {
        let log =
            self.log.iter().map(|(key, message)| Judged::Whole(*key, Content::Message(Arc::clone(message))));
        let log: Box<dyn Iterator<Item = _> + 'p> = Box::new(log);
        let database: Box<dyn Iterator<Item = _> + 'p> = Box::new(self.judged(pages));
        let merged = Merged { newer: Some(log.peekable()), older: Some(database.peekable()) };
        merged.filter_map(|judged| match judged {
            Judged::Whole(key, content) => Some((key.0, key.1, content)),
            Judged::Damaged(_) => None,
        })
    }

    fn judged<'p>(&self, pages: &'p Pages) -> Merged<'p, (u64, u64), Content> {
        self.merged(pages, "messages", MESSAGES, |entry| {
            let key = (number(&entry.key, 0)?, number(&entry.key, 8)?);
            let whole = entry.value.first().is_some_and(|kind| *kind > 2) || entry.is_trusted;
            let content = match codec::decode_message(key.0, key.1, &entry.value) {
                Ok(message) if whole => Some(Content::Message(message)),
                Err(RowError::Lost) => Some(Content::Lost),
                _ => None,
            };
            Some((key, content))
        })
    }

    /// Whether rows of the commit before the last one are used as well.
    pub(super) fn is_patched(&self) -> bool {
        self.sources.len() > 1
    }

    pub(super) fn merged<'p, K: Ord + Copy + 'p, V: 'p>(
        &self,
        pages: &'p Pages,
        table: &str,
        widths: Widths,
        judge: impl Fn(&Entry) -> Option<(K, Option<V>)> + Copy + 'p,
    ) -> Merged<'p, K, V> {
        let mut walks = self.sources.iter().filter_map(|root| pages.table(*root, table)).map(|root| {
            let walk: Walk<'p> = pages.walk(root, widths);
            let judged = walk.filter_map(move |entry| {
                let (key, value) = judge(&entry)?;
                Some(value.map_or(Judged::Damaged(key), |value| Judged::Whole(key, value)))
            });
            (Box::new(judged) as Box<dyn Iterator<Item = Judged<K, V>> + 'p>).peekable()
        });
        Merged { newer: walks.next(), older: walks.next() }
    }

    pub(super) fn rows<'p>(
        &self,
        pages: &'p Pages,
        table: &str,
        widths: Widths,
    ) -> impl Iterator<Item = Entry> + use<'p> {
        let roots: Vec<_> = self.sources.iter().filter_map(|root| pages.table(*root, table)).collect();
        roots.into_iter().flat_map(move |root| pages.walk(root, widths))
    }

    fn read_format(
        &self,
        pages: &Pages,
        notes: &mut Notes<impl FnMut(&str)>,
    ) -> Result<Option<u64>, &'static str> {
        let row = self.rows(pages, "format", FORMAT).find(|row| row.key == b"poll");
        let version = row.filter(|row| row.is_trusted).and_then(|row| number(&row.value, 0));
        match version {
            None => notes.add("the version of the file's format"),
            Some(OLDEST_VERSION..=VERSION) => {}
            Some(_) => return Err("it has a version of the format that this server does not read"),
        }
        Ok(version)
    }

    /// The totals, which say how often messages may have been lost, and with that each channel's epoch.
    fn read_totals(&self, pages: &Pages, notes: &mut Notes<impl FnMut(&str)>) -> Option<Totals> {
        let totals = self.rows(pages, "totals", TOTALS).find_map(|row| {
            let whole = row.is_trusted || row.value.len() >= Totals::SUMMED;
            Totals::decode(&row.value).ok().filter(|_| whole)
        });
        if totals.is_none() {
            notes.add("the totals: all channels begin a new epoch");
        }
        totals
    }

    /// Where each channel's messages begin and end, and which are missing between.
    fn read_extents(&self, pages: &Pages) -> BTreeMap<u64, Extent> {
        let mut extents = BTreeMap::<u64, Extent>::new();
        for judged in self.judged(pages) {
            match judged {
                Judged::Whole((id, seq), content) => extents.entry(id).or_default().add(seq, &content),
                Judged::Damaged((id, _)) => {
                    let extent = extents.entry(id).or_default();
                    let count = if extent.first.is_some() { &mut extent.after } else { &mut extent.before };
                    *count += 1;
                }
            }
        }
        extents
    }

    /// The intact rows of channels.
    fn read_rows(&self, pages: &Pages) -> BTreeMap<u64, (Row, bool)> {
        let rows = self.merged(pages, "channels", CHANNELS, |entry| {
            let id = number(&entry.key, 0)?;
            // The mark after the numbers shows whether there is a checksum.
            let whole = entry.value.get(32).is_some_and(|mark| *mark > 1) || entry.is_trusted;
            Some((id, Row::decode(id, &entry.value).ok().filter(|_| whole)))
        });
        let whole = |judged| if let Judged::Whole(id, row) = judged { Some((id, (row, true))) } else { None };
        rows.filter_map(whole).collect()
    }

    /// Adds channels whose row is damaged but whose name is in the table of names; reports those missing from that table. What
    /// a damaged channel had before it began anew, under another number, is left out.
    fn name_the_rest(
        &self,
        pages: &Pages,
        rows: &mut BTreeMap<u64, (Row, bool)>,
        extents: &mut BTreeMap<u64, Extent>,
        notes: &mut Notes<impl FnMut(&str)>,
    ) {
        let mut named = BTreeSet::new();
        for entry in self.rows(pages, "names", NAMES) {
            let Some((name, id)) = name(&entry) else { continue };
            match rows.get(&id) {
                Some((row, _)) if row.name == name => drop(named.insert(id)),
                // Damaged, or a row of the previous commit.
                Some(_) => {}
                None if entry.is_trusted && extents.contains_key(&id) => {
                    notes.add(&format!("channel {:?}: its row; it begins a new epoch", name.as_str()));
                    rows.insert(id, (Row::begin(name, 0, 0), false));
                    named.insert(id);
                }
                None => {}
            }
        }
        // Numbers are given out in order.
        let newest: BTreeMap<_, _> = rows.iter().map(|(id, (row, _))| (row.name.clone(), *id)).collect();
        rows.retain(|id, (row, _)| {
            let (name, is_newest) = (row.name.as_str(), newest.get(&row.name) == Some(id));
            if !is_newest {
                extents.remove(id);
                notes
                    .add(&format!("channel {name:?}: what it had before it began anew (its number is {id})"));
            } else if !named.contains(id) {
                notes.add(&format!("channel {name:?}: its place in the table of names (its number is {id})"));
            }
            is_newest
        });
    }

    fn bad_keys(&self, pages: &Pages, notes: &mut Notes<impl FnMut(&str)>) -> u64 {
        let whole = |entry: &Entry| {
            let key = (number(&entry.key, 0)?, number(&entry.key, 8)?, number(&entry.key, 16)?);
            codec::decode_key(key, &entry.value).ok()
        };
        let bad = self.rows(pages, "keys", KEYS).filter(|entry| whole(entry).is_none()).count() as u64;
        if bad > 0 {
            (notes.say)(&format!("{bad} idempotency keys"));
        }
        bad
    }
}

impl Extent {
    pub(super) fn add(&mut self, seq: u64, content: &Content) {
        if self.first.is_none() {
            // A loss before the first message, reported earlier, is as good as an eviction.
            let Content::Message(_) = content else { return };
            self.first = Some(seq);
        } else if self.last + 1 < seq && self.holes.len() < HOLES {
            self.holes.push((self.last + 1, seq - 1));
        }
        self.last = seq;
        self.after = 0;
        if let Content::Message(message) = content {
            self.messages += 1;
            self.last_at = message.at;
        }
    }
}

impl Channel {
    /// A channel of which nothing but its row is known.
    pub(super) fn of(row: Row) -> Self {
        Self {
            epoch: Epoch::new(row.epoch),
            row,
            life: None,
            producers: BTreeMap::new(),
            extent: Extent::default(),
            logged: None,
            purged: 0,
        }
    }

    /// The same with its row corrected by its messages.
    fn corrected(mut self, notes: &mut Notes<impl FnMut(&str)>) -> Self {
        let Self { row, extent, .. } = &mut self;
        let name = row.name.as_str();
        if extent.before > 0 {
            notes.add(&format!("channel {name:?}: {} messages in front of all others", extent.before));
        }
        for (first, last) in &extent.holes {
            notes.add(&format!("channel {name:?}: messages {first} to {last}"));
        }
        let end = if extent.first.is_some() { extent.last } else { row.newest };
        let newest = end.saturating_add(extent.after).max(row.newest);
        if newest > end || extent.after > 0 {
            notes.add(&format!("channel {name:?}: messages {} to {newest}", end + 1));
        }
        (row.newest, row.newest_at) = (newest, row.newest_at.max(extent.last_at));
        self
    }
}

/// Picks the commits to read; also returns whether a server would open the file.
fn sources(pages: &Pages, header: &Header, say: &mut impl FnMut(&str)) -> (Vec<Pointer>, bool) {
    let roots = |slots: &[Slot]| slots.iter().filter_map(|slot| slot.user).collect();
    let Some((newest, older)) = header.slots.split_first() else { return (Vec::new(), false) };
    if pages.verify(newest) {
        return (roots(&[*newest]), true);
    }
    if header.is_clean || header.is_sure {
        // redb verifies nothing then, so it opens the file as long as it can reach each table.
        let found = newest.user.is_some_and(|root| TABLES.iter().all(|name| pages.has_table(root, name)));
        return (roots(&header.slots), found);
    }
    // As an earlier version left it.
    let before = older.first().filter(|older| {
        pages.forget_bad();
        pages.verify(older)
    });
    match before {
        Some(before) => {
            say("the last commit is not whole, as after a power cut: the one before it counts");
            (roots(&[*before]), true)
        }
        None => (roots(&header.slots), false),
    }
}

const TABLES: [&str; 6] = ["format", "totals", "names", "channels", "messages", "keys"];

/// A row, judged.
pub(super) enum Judged<K, V> {
    Whole(K, V),
    Damaged(K),
}

type Rows<'p, K, V> = Peekable<Box<dyn Iterator<Item = Judged<K, V>> + 'p>>;

/// The rows of two commits, merged by key: the newer one's where both are intact. Of damaged rows, only the newer one's.
pub(super) struct Merged<'p, K, V> {
    newer: Option<Rows<'p, K, V>>,
    older: Option<Rows<'p, K, V>>,
}

impl<K: Ord + Copy, V> Iterator for Merged<'_, K, V> {
    type Item = Judged<K, V>;

    fn next(&mut self) -> Option<Judged<K, V>> {
        let Some(newer) = &mut self.newer else { return self.older.as_mut()?.next() };
        let Some(older) = &mut self.older else { return newer.next() };
        while older.next_if(|row| matches!(row, Judged::Damaged(_))).is_some() {}
        match (newer.peek(), older.peek()) {
            // Not compared: the key of a damaged row may be wrong too.
            (Some(Judged::Damaged(_)) | None, None) | (Some(Judged::Damaged(_)), _) => newer.next(),
            (None, Some(_)) => older.next(),
            (Some(Judged::Whole(..)), None) => newer.next(),
            (Some(Judged::Whole(one, _)), Some(Judged::Whole(two, _) | Judged::Damaged(two))) => {
                match one.cmp(two) {
                    std::cmp::Ordering::Less => newer.next(),
                    std::cmp::Ordering::Greater => older.next(),
                    std::cmp::Ordering::Equal => {
                        older.next();
                        newer.next()
                    }
                }
            }
        }
    }
}

pub(super) fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn name(entry: &Entry) -> Option<(ChannelName, u64)> {
    let name = std::str::from_utf8(&entry.key).ok()?;
    Some((ChannelName::parse(name).ok()?, number(&entry.value, 0)?))
}
