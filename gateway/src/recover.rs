//! Reading the log back: the same records through the same workers, up to the last one.
//!
//! Records are decoded in parallel (rayon) in slices of bounded size and handed on in order.
//! Entries of a virtual shard whose checkpoint is later than the record are left out. A record
//! that ends the process three times is set aside: a marker file names the slice in hand, and where
//! one was left behind, records are taken one by one, each after the one before is done. No
//! configuration file is read here: the log says what decides.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use rayon::prelude::*;
use weir_aggregate::decisions::Decisions;
use weir_journal::fs::{Fs, read_up_to, write_all_at};
use weir_journal::{Item, ReadError, Record};
use weir_model::{BlockHasher, VSHARDS, VShard};

use crate::audit::Audit;
use crate::config::DecisionText;
use crate::emit::EmitFacts;
use crate::ingest::{Decoded, Decoder};
use crate::node::Readiness;
use crate::pipeline::{Adoption, Expect, Pipeline};
use crate::tenants::Tenants;
use crate::wal::moves::State;
use crate::wal::{
    ADOPT, AdoptRecord, BATCH, BatchRecord, CONFIG, ConfigRecord, FRONTIER, FrontierRecord,
    PARTIALS, PLACEMENT, PartialsRecord, PlacementRecord, RELEASE, ReleaseRecord, SETTLED, WAIVE,
    WaiveRecord,
};

/// What a replay came to.
#[derive(Default)]
pub struct Replayed {
    /// Records read.
    pub records: u64,
    /// The last position that was handed on.
    pub last: u64,
    /// Samples in them, less what stands behind checkpoints.
    pub samples: u64,
    /// The last frontier in the log.
    pub frontier: Option<i64>,
    /// What it says of a pause that was not over, milliseconds.
    pub paused_ms: i64,
    /// When the last request in it was received, milliseconds since the epoch.
    pub received: Option<i64>,
    /// Where another member's virtual shards were taken over last.
    pub adopted: Option<u64>,
    /// The configuration in force at its end.
    pub config: Option<(Arc<Decisions>, Vec<u8>)>,
}

/// Why the log cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The journal cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The marker file cannot be written.
    #[error("the replay marker: {0}")]
    Marker(#[from] io::Error),
    /// A configuration in the log makes no sense to this program.
    #[error("the log's configuration at position {0} cannot be used by this program: {1}")]
    Config(u64, String),
}

/// Reads the log back into the pipeline.
pub struct Replay<'a> {
    /// This node's name.
    pub own: &'a str,
    /// The log.
    pub log: &'a weir_journal::Journal,
    /// Where records go.
    pub pipeline: &'a Pipeline,
    /// Positions up to which each virtual shard's checkpoint reaches.
    pub checkpoints: Vec<u64>,
    /// Number of workers.
    pub workers: usize,
    /// The process's hash of label blocks.
    pub hasher: &'a BlockHasher,
    /// Tenants.
    pub tenants: &'a Arc<Tenants>,
    /// The configuration at the start.
    pub decisions: Arc<Decisions>,
    /// Most bytes of a decompressed body.
    pub body_bytes_max: usize,
    /// The disk.
    pub fs: &'a dyn Fs,
    /// Where the marker file is.
    pub dir: &'a Path,
    /// Where it is counted what cannot be read back.
    pub audit: &'a Audit,
    /// How far the emitter is.
    pub emitted: &'a EmitFacts,
    /// Progress for `/-/ready`.
    pub readiness: &'a Readiness,
}

/// Records that are decoded together.
const SLICE_RECORDS: usize = 64;

/// Bytes of payloads that are decoded together; with a compression of 12 they take 200 MB.
const SLICE_BYTES: usize = 16 << 20;

/// Times that a record may end the process before it is set aside.
const DEATHS_MAX: u64 = 3;

impl Replay<'_> {
    /// Reads every record past `from`.
    pub fn run(mut self, from: u64) -> Result<Replayed, ReplayError> {
        let marker = Marker::load(self.fs, self.dir)?;
        let last = self.log.next_position() - 1;
        self.readiness.replay_from.store(from, Ordering::Relaxed);
        self.readiness.replay_to.store(last, Ordering::Relaxed);
        let mut replayed = Replayed::default();
        let mut reader = self.log.reader(from + 1);
        loop {
            let careful = marker.is_near(reader.position());
            let slice = self.slice(&mut reader, if careful { 1 } else { SLICE_RECORDS })?;
            let Some(first) = slice.first().map(|r| r.position) else {
                break;
            };
            marker.before(first)?;
            crate::crash::point("replay");
            let suspect = careful && marker.is_deadly(first);
            self.apply(slice, suspect, &mut replayed)?;
            while careful && self.emitted.position.load(Ordering::Relaxed) < replayed.last {
                std::thread::yield_now();
            }
            self.readiness.replay_at.store(reader.position(), Ordering::Relaxed);
        }
        marker.remove()?;
        Ok(replayed)
    }

    /// The next records to be decoded together. A configuration ends them: it decides where the
    /// series of those behind it belong.
    fn slice(
        &self,
        reader: &mut weir_journal::Reader,
        records: usize,
    ) -> Result<Vec<Record>, ReplayError> {
        let (mut slice, mut bytes) = (Vec::new(), 0);
        while slice.len() < records && bytes < SLICE_BYTES {
            match reader.next()? {
                None => break,
                Some(Item::Record(record)) => {
                    bytes += record.payload.len();
                    let is_config = record.kind == CONFIG;
                    slice.push(record);
                    if is_config {
                        break;
                    }
                }
                Some(Item::Gap { from, to, cause }) => {
                    tracing::error!(from, to, ?cause, "positions are missing from the log");
                    self.audit.lost_positions.fetch_add(to - from, Ordering::Relaxed);
                }
            }
        }
        Ok(slice)
    }

    fn apply(
        &mut self,
        slice: Vec<Record>,
        suspect: bool,
        replayed: &mut Replayed,
    ) -> Result<(), ReplayError> {
        let decoded: Vec<Option<(BatchRecord, Decoded)>> = if suspect {
            // This record has ended the process time and again.
            slice.iter().map(|_| None).collect()
        } else {
            slice.par_iter().map(|record| self.decode(record)).collect()
        };
        for (record, decoded) in slice.iter().zip(decoded) {
            replayed.records += 1;
            let used = match (record.kind, decoded) {
                (BATCH, Some((batch, decoded))) => {
                    self.batch(record.position, batch, decoded, replayed)
                }
                (FRONTIER, _) => self.frontier(record, replayed),
                (CONFIG, _) => {
                    self.config(record.position, &record.payload, replayed)?;
                    true
                }
                (PLACEMENT | PARTIALS | WAIVE | SETTLED, _) => self.of_the_tier(record),
                (RELEASE, _) => self.release(record),
                (ADOPT, _) => self.adopt(record, replayed),
                _ => false,
            };
            if used {
                replayed.last = record.position;
            } else {
                let (position, kind) = (record.position, record.kind);
                tracing::error!(position, kind, "a record of the log is set aside");
                self.audit.set_aside_records.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn decode(&self, record: &Record) -> Option<(BatchRecord, Decoded)> {
        if record.kind != BATCH {
            return None;
        }
        let (batch, body) = BatchRecord::read(&record.payload).ok()?;
        let (id, name) = self.tenants.meet(&batch.tenant).ok()?;
        let wire = (batch.version, batch.encoding);
        let cap = self.body_bytes_max.max(batch.body_bytes as usize);
        let shard_key = &self.decisions.shard_key;
        let decoded =
            Decoder::take(|d| d.decode(self.hasher, wire, &body, cap, (&name, id), shard_key));
        Some((batch, decoded.ok()?))
    }

    /// Hands a batch on; `false` if it cannot be. Without the configuration that decided about it
    /// (it is damaged on disk) nothing is guessed.
    fn batch(
        &self,
        position: u64,
        record: BatchRecord,
        decoded: Decoded,
        replayed: &mut Replayed,
    ) -> bool {
        replayed.received = replayed.received.max(Some(record.received));
        let Ok((tenant, name)) = self.tenants.meet(&record.tenant) else {
            return false;
        };
        if record.config_version > self.decisions.version {
            return false;
        }
        if crate::crash::loses("record") {
            return true;
        }
        let mut work = crate::ingest::work(self.workers, record, decoded, (tenant, name), None);
        let columns = Arc::clone(&work.batch.columns);
        let entry = |at: u32| &columns.entries[at as usize];
        let mut skipped = 0;
        for entries in &mut work.entries {
            entries.retain(|&at| {
                let keep = self.checkpoints[usize::from(entry(at).vshard.0)] < position;
                if !keep {
                    let histograms = columns.histograms_of(entry(at)).len() as u64;
                    skipped += u64::from(entry(at).samples_len) + histograms;
                }
                keep
            });
        }
        if crate::crash::loses("replay") {
            work.entries.iter_mut().find_map(Vec::pop);
        }
        work.skipped = skipped;
        replayed.samples += work.samples - skipped.min(work.samples);
        self.pipeline.replay_batch(position, work);
        true
    }

    fn frontier(&self, record: &Record, replayed: &mut Replayed) -> bool {
        let Ok(frontier) = FrontierRecord::read(&record.payload) else {
            return false;
        };
        replayed.frontier = Some(frontier.to);
        replayed.paused_ms = frontier.paused_ms.max(0);
        self.pipeline.replay_frontier(record.position, &frontier);
        true
    }

    /// Whether no checkpoint of this virtual shard knows of a position.
    fn is_news(&self, vshard: VShard, position: u64) -> bool {
        self.checkpoints[usize::from(vshard.0)] < position
    }

    fn release(&self, record: &Record) -> bool {
        let Ok(release) = ReleaseRecord::read(&record.payload) else {
            return false;
        };
        let vshards =
            release.vshards.iter().filter(|&v| self.is_news(v, record.position)).collect();
        self.pipeline.replay_release(record.position, release, vshards);
        true
    }

    fn adopt(&self, record: &Record, replayed: &mut Replayed) -> bool {
        let adopt = AdoptRecord::read(&record.payload);
        let Ok((adopt, mut state)) =
            adopt.and_then(|adopt| State::read(&adopt.state).map(|state| (adopt, state)))
        else {
            return false;
        };
        if adopt.from != self.own {
            replayed.adopted = Some(record.position);
        }
        state.vshards.retain(|&(vshard, _)| self.is_news(vshard, record.position));
        let tenants = Arc::clone(self.tenants);
        let adoption = Adoption { vshards: state.vshards, tenants };
        self.pipeline.replay_adopt(record.position, adopt, adoption);
        true
    }

    /// Hands on what only the emitter needs.
    fn of_the_tier(&self, record: &Record) -> bool {
        let (position, replayed) = (record.position, true);
        let expect =
            match record.kind {
                PLACEMENT => PlacementRecord::read(&record.payload).map(|record| {
                    Expect::Placement { position, record: Arc::new(record), replayed }
                }),
                SETTLED => Ok(Expect::Settled(position)),
                PARTIALS => PartialsRecord::read(&record.payload).map(|record| Expect::Partials {
                    position,
                    record: Arc::new(record),
                    replayed,
                }),
                _ => WaiveRecord::read(&record.payload).map(|record| Expect::Waive {
                    position,
                    record,
                    replayed,
                }),
            };
        expect.map(|expect| self.pipeline.replay_for_emitter(expect)).is_ok()
    }

    fn config(
        &mut self,
        position: u64,
        payload: &Bytes,
        replayed: &mut Replayed,
    ) -> Result<(), ReplayError> {
        let wrong = |why: String| ReplayError::Config(position, why);
        let record = ConfigRecord::read(payload).map_err(|e| wrong(e.to_string()))?;
        let text = DecisionText::from_bytes(&record.text).map_err(|e| wrong(e.to_string()))?;
        let decisions = text.decisions(record.version).map_err(|e| wrong(e.to_string()))?;
        self.decisions = Arc::new(decisions);
        self.pipeline.replay_config(position, Arc::clone(&self.decisions), record.at);
        replayed.config = Some((Arc::clone(&self.decisions), record.text));
        Ok(())
    }
}

/// The positions that no checkpoint of a virtual shard covers yet.
pub fn no_checkpoints() -> Vec<u64> {
    vec![0; usize::from(VSHARDS)]
}

/// Two numbers in decimal.
const MARKER_BYTES_MAX: usize = 64;

/// How often the slice that begins here has been begun without an end.
struct Marker<'a> {
    fs: &'a dyn Fs,
    path: PathBuf,
    position: u64,
    deaths: u64,
}

impl<'a> Marker<'a> {
    fn load(fs: &'a dyn Fs, dir: &Path) -> io::Result<Self> {
        let path = dir.join("replay.marker");
        let text = match fs.open(&path) {
            Ok(file) => read_up_to(&*file, 0, MARKER_BYTES_MAX)?,
            Err(why) if why.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(why) => return Err(why),
        };
        let text = String::from_utf8_lossy(&text);
        let mut numbers = text.split_whitespace().filter_map(|n| n.parse().ok());
        let (position, deaths) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        Ok(Self { fs, path, position, deaths })
    }

    fn before(&self, position: u64) -> io::Result<()> {
        let deaths = if position == self.position { self.deaths + 1 } else { 1 };
        let text = format!("{position} {deaths}\n");
        let write = || {
            let file = self.fs.create(&self.path)?;
            write_all_at(&*file, &mut [IoSlice::new(text.as_bytes())], 0)
        };
        match write() {
            // Without it a deadly record is not found out; with an error there would be no start.
            Err(why) if why.kind() == io::ErrorKind::StorageFull => {
                tracing::debug!(%why, "no replay marker");
                Ok(())
            }
            written => written,
        }
    }

    /// Whether a slice that began near here ended the process.
    fn is_near(&self, position: u64) -> bool {
        self.deaths > 0 && position.abs_diff(self.position) < SLICE_RECORDS as u64
    }

    fn is_deadly(&self, position: u64) -> bool {
        self.deaths >= DEATHS_MAX && position == self.position
    }

    fn remove(&self) -> io::Result<()> {
        match self.fs.remove(&self.path) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
            _ => Ok(()),
        }
    }
}
