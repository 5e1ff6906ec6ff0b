//! Lines in: records become rows, a few thousand a commit.

use redb::Database;

use super::error::{BackupError, Report};
use super::record::{ChannelRecord, EventRecord, LostRecord, Record};
use crate::environment::{Environment, Location};
use crate::journal::disk::codec::{Row, Totals, encode_lost, encode_message};
use crate::journal::disk::fault::guarded;
use crate::journal::disk::format::{self, TOTALS};
use crate::journal::disk::options::Progress;
use crate::journal::disk::stored_channel::StoredChannel;
use crate::journal::disk::tables::{self, Tables};
use crate::journal::disk::weight::{Weight, channel_weight};
use crate::journal::disk::{lives, recovery};
use crate::life::{Bounds, Life, Producer, ProducerId};
use crate::types::{ChannelName, Message, Payload, Seq, Timestamp, mint_id};

/// Records taken with one commit.
const BATCH: usize = 4_096;
/// Consecutive lost messages that each get a row.
const LOST: u64 = 1 << 20;

/// Imports records into a journal, which is created if there is none. Messages that it has already are skipped; retention
/// applies when a server opens it.
///
/// # Errors
/// When the journal cannot be written, or a record is invalid or conflicts with the journal or the lines before it. The
/// records before it are imported, except for up to a few thousand. What was exported can then be imported again; events of
/// golongpoll have no numbers, so those that are there already would be there twice.
pub fn import(
    environment: &Environment,
    location: impl Location,
    progress: impl Fn(Progress) + Send + Sync + 'static,
    lines: impl IntoIterator<Item = std::io::Result<String>>,
) -> Result<Report, BackupError> {
    let alone = recovery::open_alone(environment, location, progress)?;
    let mut import = Import {
        environment: environment.clone(),
        totals: alone.totals,
        report: Report::default(),
        current: None,
    };
    let mut batch = Vec::with_capacity(BATCH);
    let mut last = 0;
    for (number, line) in (1u64..).zip(lines) {
        last = number;
        let line = line.map_err(BackupError::Io)?;
        if line.trim().is_empty() {
            continue;
        }
        batch.push((number, Some(Record::parse(&line).map_err(|what| BackupError::Line(number, what))?)));
        if batch.len() == BATCH {
            import.commit(&alone.database, std::mem::take(&mut batch))?;
        }
    }
    batch.push((last, None));
    import.commit(&alone.database, batch)?;
    Ok(import.report)
}

struct Import {
    environment: Environment,
    totals: Totals,
    report: Report,
    /// The channel that the next messages belong to, and its line.
    current: Option<(Target, ChannelRecord)>,
}

/// A channel being imported.
struct Target {
    id: u64,
    row: Row,
    bounds: Option<Bounds>,
}

/// Why a record cannot be imported.
enum ImportError {
    Record(String),
    Database(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for ImportError {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

impl Import {
    /// Takes records by their lines; the last line has none.
    fn commit(&mut self, database: &Database, batch: Vec<(u64, Option<Record>)>) -> Result<(), BackupError> {
        let mut wrong = None;
        let written = guarded(|| {
            let txn = tables::begin_write(database)?;
            {
                let mut tables = Tables::open(&txn, database)?;
                for (number, record) in batch {
                    let taken = match record {
                        Some(record) => self.take(&mut tables, record),
                        None => self.leave(&mut tables),
                    };
                    match taken {
                        Ok(()) => {}
                        Err(ImportError::Database(error)) => return Err(error),
                        Err(ImportError::Record(what)) => {
                            wrong = Some(BackupError::Line(number, what));
                            break;
                        }
                    }
                }
                self.totals.commit += 1;
                tables::open(&txn, TOTALS)?.insert((), self.totals.encode().as_slice())?;
            }
            Ok(txn.commit()?)
        });
        written?;
        wrong.map_or(Ok(()), Err)
    }

    fn take(&mut self, tables: &mut Tables<'_>, record: Record) -> Result<(), ImportError> {
        match record {
            Record::Channel(channel) => {
                self.leave(tables)?;
                self.enter(tables, channel)
            }
            Record::Message(message) => {
                let message = message.message().map_err(ImportError::Record)?;
                let Some((target, _)) = &mut self.current else {
                    return Err(ImportError::Record("a message before any channel".to_owned()));
                };
                let seq = message.seq.get();
                if seq <= target.row.newest {
                    return Ok(());
                }
                // Messages before the first retained one may have existed.
                let first = target.row.newest == 0;
                if !first && (seq != target.row.newest + 1 || message.at <= target.row.newest_at) {
                    let newest = target.row.newest;
                    return Err(ImportError::Record(format!(
                        "message {seq} does not follow message {newest}"
                    )));
                }
                self.totals.took(target.put(tables, &message)?);
                self.report.messages += 1;
                Ok(())
            }
            Record::Lost(lost) => self.lose(tables, lost),
            Record::Event(event) => self.event(tables, &event),
        }
    }

    /// Lost messages keep their numbers.
    fn lose(&mut self, tables: &mut Tables<'_>, lost: LostRecord) -> Result<(), ImportError> {
        let Some((target, _)) = &mut self.current else {
            return Err(ImportError::Record("lost messages before any channel".to_owned()));
        };
        let newest = target.row.newest;
        if lost.lost_to <= newest {
            return Ok(());
        }
        let (first, last) = (lost.lost_from.max(newest + 1), lost.lost_to);
        if newest == 0 || first != newest + 1 {
            return Err(ImportError::Record(format!(
                "lost message {first} does not follow message {newest}"
            )));
        }
        // Where there are more, they get no rows and count as missing.
        if last - first < LOST {
            let mut row = Vec::new();
            for seq in first..=last {
                encode_lost(target.id, seq, &mut row);
                tables.messages.insert((target.id, seq), row.as_slice())?;
                self.totals.took(Weight::of(&row));
            }
        }
        target.row.newest = last;
        Ok(())
    }

    /// Begins with a channel.
    fn enter(&mut self, tables: &mut Tables<'_>, record: ChannelRecord) -> Result<(), ImportError> {
        let name =
            ChannelName::parse(&record.channel).map_err(|error| ImportError::Record(error.to_string()))?;
        let epoch = u64::from_str_radix(&record.epoch, 16).ok().filter(|epoch| *epoch > 0);
        let epoch =
            epoch.ok_or_else(|| ImportError::Record("an epoch is 16 hexadecimal digits".to_owned()))?;
        let mut target = match tables.find(&name)? {
            Some(stored) if stored.row.visible_epoch(self.totals.losses).get() == epoch => {
                Target::of(stored, tables)?
            }
            Some(_) => return Err(ImportError::Record(format!("channel {name:?} is there already"))),
            None => self.create(tables, name, epoch)?,
        };
        self.live(tables, &mut target, &record)?;
        self.current = Some((target, record));
        self.report.channels += 1;
        Ok(())
    }

    /// Takes over a channel's life and its producers.
    fn live(
        &mut self,
        tables: &mut Tables<'_>,
        target: &mut Target,
        record: &ChannelRecord,
    ) -> Result<(), ImportError> {
        let wrong = |error: &dyn std::fmt::Display| ImportError::Record(error.to_string());
        if let Some(life) = &record.life {
            let life = Life::try_from((**life).clone()).map_err(|error| wrong(&error))?;
            target.bounds = Some(life.bounds);
            lives::put(tables, &mut self.totals, target.id, &target.row.name, &life)?;
        }
        for (name, epoch, last, used) in &record.producers {
            let id = ProducerId::parse(name).map_err(|error| wrong(&error))?;
            let (epoch, last, used) = (*epoch, *last, Timestamp::from_micros(*used));
            lives::put_producer(tables, &mut self.totals, target.id, &id, Producer { epoch, last, used })?;
        }
        Ok(())
    }

    /// Ends the current channel: its row takes the rest from its line, unless messages are missing.
    fn leave(&mut self, tables: &mut Tables<'_>) -> Result<(), ImportError> {
        let Some((mut target, record)) = self.current.take() else { return Ok(()) };
        if target.row.newest < record.newest {
            if record.oldest <= record.newest {
                let (channel, there, newest) = (record.channel, target.row.newest, record.newest);
                let what = format!("channel {channel:?} breaks off after message {there} of {newest}");
                return Err(ImportError::Record(what));
            }
            target.row.newest = record.newest;
            target.row.newest_at = target.row.newest_at.max(Timestamp::from_micros(record.newest_at));
        }
        target.row.ended |= record.ended;
        tables.channels.insert(target.id, target.row.encode(target.id).as_slice())?;
        Ok(())
    }

    /// An event becomes the next message of its category.
    fn event(&mut self, tables: &mut Tables<'_>, event: &EventRecord) -> Result<(), ImportError> {
        self.leave(tables)?;
        let name =
            ChannelName::parse(&event.category).map_err(|error| ImportError::Record(error.to_string()))?;
        let payload = Payload::json(event.data.get().as_bytes());
        let payload = payload.map_err(|error| ImportError::Record(error.to_string()))?;
        let mut target = match tables.find(&name)? {
            Some(stored) if stored.row.ended => {
                return Err(ImportError::Record(format!("channel {name:?} has ended")));
            }
            Some(stored) => Target::of(stored, tables)?,
            None => {
                self.report.channels += 1;
                self.create(tables, name, self.environment.random().max(1))?
            }
        };
        let next = Timestamp::from_micros(target.row.newest_at.as_micros() + 1);
        let at = Timestamp::from_millis(event.timestamp).max(next);
        let seq = Seq::new(target.row.newest + 1);
        let message = Message { seq, id: mint_id(at, self.environment.random()), at, payload };
        self.totals.took(target.put(tables, &message)?);
        self.report.messages += 1;
        Ok(())
    }

    fn create(
        &mut self,
        tables: &mut Tables<'_>,
        name: ChannelName,
        epoch: u64,
    ) -> Result<Target, redb::Error> {
        let id = self.totals.next;
        tables.names.insert(name.as_str(), id)?;
        let row = Row::begin(name, epoch, self.totals.losses);
        tables.channels.insert(id, row.encode(id).as_slice())?;
        self.totals.next += 1;
        self.totals.channels += 1;
        self.totals.overhead_mut().channels += channel_weight(row.name.as_str());
        Ok(Target { id, row, bounds: None })
    }
}

impl Target {
    /// A channel that is there.
    fn of(stored: StoredChannel, tables: &Tables<'_>) -> format::Result<Self> {
        let bounds = tables.life(stored.id)?.map(|life| life.bounds);
        Ok(Self { id: stored.id, row: stored.row, bounds })
    }

    /// Adds the next message, and returns its weight.
    fn put(&mut self, tables: &mut Tables<'_>, message: &Message) -> format::Result<Weight> {
        let mut row = Vec::new();
        encode_message(self.id, message, &mut row);
        tables.messages.insert((self.id, message.seq.get()), row.as_slice())?;
        (self.row.newest, self.row.newest_at) = (message.seq.get(), message.at);
        Ok(Weight::of(&row).never_evicted(self.bounds.as_ref()))
    }
}
