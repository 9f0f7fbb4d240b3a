//! What happens at open: scan every segment, tell torn from damaged, repair, report.
//!
//! Invariant: no valid record is given up, whatever stands before it; every position between the first
//! and the next is a record or counted as lost; and when [`recover`] returns, all that can be read is on
//! disk. Deliberately not here: reading records for the caller.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Config;
use crate::error::{At, IoError, OpenError};
use crate::frame::{FORMAT_VERSION, HEADER_BYTES, HeaderCheck, SegmentId, lost_frame};
use crate::fs::{Fs, FsFile, Lock, read_up_to, write_all_at};
use crate::scan::{Hole, Part, Scan, scan};
use crate::segment::{Segment, Spare, UNFINISHED, activate, create_spare, spare_number};

/// What open found and did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovery {
    /// The oldest position there, or `next` if there is none.
    pub first: u64,
    /// The position that the next record gets.
    pub next: u64,
    /// The last process closed the journal in order, or there was none.
    pub clean: bool,
    /// Bytes cut from the end: a record that was being written when the process died.
    pub torn_tail_bytes: u64,
    /// Damage found now; what an earlier start found is not repeated.
    pub damage: Vec<Damage>,
    /// Positions that earlier starts found lost, and that still lie between first and next.
    pub known_lost: u64,
    /// Segments in use.
    pub segments: usize,
}

impl Recovery {
    /// The last position there; `None` if the journal is empty.
    pub fn last(&self) -> Option<u64> {
        (self.next > self.first).then(|| self.next - 1)
    }

    /// Positions found lost now.
    pub fn lost(&self) -> u64 {
        self.damage.iter().map(|damage| damage.to - damage.from).sum()
    }
}

/// Bytes that were no valid frame although a valid later one, a closing mark or the next segment proves
/// that there were some.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The first position lost.
    pub from: u64,
    /// The position after the last one lost; equal to `from` if no record was hit.
    pub to: u64,
    /// Damaged bytes, at most; 0 where a file is missing.
    pub bytes: u64,
    /// The segment.
    pub segment: PathBuf,
    /// Where the bytes were copied; `None` if there were none, or no room for them.
    pub quarantine: Option<PathBuf>,
    /// False: the positions belong to the last group before an unclean stop, so they may never have been
    /// reported durable. True: they had been.
    pub synced: bool,
}

/// What the journal starts from. The last segment is the active one.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) lock: Box<dyn Lock>,
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) spares: Vec<Spare>,
    pub(crate) spare_number: u64,
    pub(crate) next: u64,
    pub(crate) report: Recovery,
}

/// Opens the directory and puts it in order.
pub(crate) fn recover(fs: &Arc<dyn Fs>, config: &Config) -> Result<Recovered, OpenError> {
    let dir = &config.dir;
    fs.create_dir_all(dir).at("create", dir)?;
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs.sync_dir(parent).at("sync", parent)?;
    }
    let lock = match fs.lock(&dir.join("LOCK")) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(OpenError::Locked(dir.clone()));
        }
        Err(error) => Err(error).at("lock", dir)?,
    };
    let mut house = House::enter(&**fs, config)?;
    let ids = std::mem::take(&mut house.ids);
    let mut report = Recovery { clean: true, ..Recovery::default() };
    let mut segments = Vec::new();
    for (index, &id) in ids.iter().enumerate() {
        let limit = ids.get(index + 1).map(|next| next.first);
        segments.push(Arc::new(house.take_in(id, limit, &mut report)?));
    }
    if segments.is_empty() {
        let spare = house.spare(true)?;
        report.next = config.first_position;
        let segment = activate(&**fs, dir, spare, report.next, config.segment_bytes)?;
        segments.push(Arc::new(segment));
    }
    house.top_up(&segments);
    fs.sync_dir(dir).at("sync", dir)?;
    report.first = segments.first().map_or(0, |segment| segment.id.first);
    report.segments = segments.len();
    let (spares, spare_number, next) = (house.spares, house.spare_number, report.next);
    Ok(Recovered { lock, segments, spares, spare_number, next, report })
}

/// The directory being put in order.
struct House<'a> {
    fs: &'a dyn Fs,
    config: &'a Config,
    ids: Vec<SegmentId>,
    spares: Vec<Spare>,
    spare_number: u64,
}

impl<'a> House<'a> {
    /// Lists the directory; removes what is unfinished or of no use.
    fn enter(fs: &'a dyn Fs, config: &'a Config) -> Result<Self, OpenError> {
        let dir = &config.dir;
        let mut house = Self { fs, config, ids: Vec::new(), spares: Vec::new(), spare_number: 0 };
        let mut names = fs.list(dir).at("list", dir)?;
        names.sort_unstable();
        for name in names {
            let path = dir.join(&name);
            if let Some(id) = SegmentId::from_file_name(&name) {
                house.ids.push(id);
            } else if name.ends_with(UNFINISHED) {
                fs.remove(&path).at("remove", &path)?;
            } else if let Some(number) = spare_number(&name) {
                house.spare_number = house.spare_number.max(number.saturating_add(1));
                let file = config.open_file(fs, &path).at("open", &path)?;
                let whole = file.len().at("measure", &path)? == config.segment_bytes;
                if whole && house.spares.len() < config.spares_max() {
                    house.spares.push(Spare { path, file, recycled: true });
                } else {
                    fs.remove(&path).at("remove", &path)?;
                }
            }
        }
        house.ids.sort_unstable_by_key(|id| (id.first, id.salt));
        Ok(house)
    }

    /// Scans one segment and repairs it if need be. Without `limit` it is the last one.
    fn take_in(
        &mut self,
        id: SegmentId,
        limit: Option<u64>,
        report: &mut Recovery,
    ) -> Result<Segment, OpenError> {
        let path = self.config.dir.join(id.file_name());
        if id.first < report.next {
            return Err(OpenError::Overlap { path, first: id.first, reached: report.next });
        }
        let file = self.config.open_file(self.fs, &path).at("open", &path)?;
        let len = file.len().at("measure", &path)?;
        let bytes = read_up_to(&*file, 0, len as usize).at("read", &path)?;
        let mut found = scan(&bytes, id, limit);
        if let HeaderCheck::OtherVersion(version) = found.header {
            return Err(OpenError::Version { path, version, known: FORMAT_VERSION });
        }
        let last = limit.is_none();
        // Where nothing was ever appended there is nothing that could have stopped badly.
        let untouched = report.segments == 0 && found.parts.is_empty();
        let clean = !last || ((found.closed || untouched) && found.torn_bytes == 0);
        if last {
            self.skip_to_first_position(&mut found);
            report.clean = clean;
            report.torn_tail_bytes = if clean { 0 } else { found.torn_bytes };
        }
        report.next = found.next;
        report.segments += 1;
        report.known_lost += found.known_lost;
        let group = found.last_group.filter(|_| last && !clean);
        let whole = self.report_damage(&path, id, &bytes, &found, group, &mut report.damage)?;
        if whole && clean && len >= HEADER_BYTES as u64 {
            return Ok(Segment::new(id, path, file, len, found.end as u64));
        }
        let image = repaired(&bytes, id, &found);
        match self.replace(&path, &image) {
            Ok((file, len)) => Ok(Segment::new(id, path, file, len, image.len() as u64)),
            Err(error) if error.source.kind() == io::ErrorKind::StorageFull => {
                // No room for a copy: the same bytes in the same place make the pages dirty again, so
                // that this sync is an honest one. Holes stay, and are reported again next time.
                let bytes = bytes.get(..found.end).unwrap_or(&bytes);
                write_all_at(&*file, &mut [IoSlice::new(bytes)], 0).at("write", &path)?;
                file.sync_data().at("sync", &path)?;
                Ok(Segment::new(id, path, file, len, found.end as u64))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A journal that ends before the first position asked for has lost what is between.
    fn skip_to_first_position(&self, found: &mut Scan) {
        let first = self.config.first_position;
        if found.next < first {
            let hole = Hole { bytes: found.end..found.end, positions: found.next..first };
            found.parts.push(Part::Hole(hole));
            found.next = first;
        }
    }

    /// Reports and quarantines the holes; true if there were none.
    fn report_damage(
        &self,
        path: &Path,
        id: SegmentId,
        bytes: &[u8],
        found: &Scan,
        last_group: Option<u64>,
        damage: &mut Vec<Damage>,
    ) -> Result<bool, OpenError> {
        let before = damage.len();
        let header = (found.header == HeaderCheck::Damaged).then(|| Hole {
            bytes: 0..HEADER_BYTES.min(bytes.len()),
            positions: id.first..id.first,
        });
        for hole in header.iter().chain(found.holes()) {
            let content = bytes.get(hole.bytes.clone()).unwrap_or_default();
            let quarantine = self.quarantine(id, hole, content)?;
            damage.push(Damage {
                from: hole.positions.start,
                to: hole.positions.end,
                bytes: content.len() as u64,
                segment: path.to_owned(),
                quarantine,
                synced: last_group.is_none_or(|group| hole.positions.start < group),
            });
        }
        Ok(damage.len() == before)
    }

    /// Copies damaged bytes to a file of their own, if there is room.
    fn quarantine(
        &self,
        id: SegmentId,
        hole: &Hole,
        content: &[u8],
    ) -> Result<Option<PathBuf>, OpenError> {
        if content.is_empty() {
            return Ok(None);
        }
        let name = format!("{}.{:x}.quarantine", id.file_name(), hole.bytes.start);
        let path = self.config.dir.join(name);
        let write = || -> io::Result<()> {
            let file = self.fs.create(&path)?;
            write_all_at(&*file, &mut [IoSlice::new(content)], 0)?;
            file.sync_data()
        };
        match write() {
            Ok(()) => Ok(Some(path)),
            // A full disk must not keep the journal from starting.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                self.fs.remove(&path).at("remove", &path)?;
                Ok(None)
            }
            Err(source) => Err(IoError { path, action: "write", source }.into()),
        }
    }

    /// Puts `image` in a segment's place, in another file: after a failed sync the pages of the old one
    /// may count as clean without being on disk.
    fn replace(&mut self, path: &Path, image: &[u8]) -> Result<(Arc<dyn FsFile>, u64), IoError> {
        let dir = &self.config.dir;
        let unfinished = dir.join(format!("repair{UNFINISHED}"));
        let (file, len) = if image.len() as u64 <= self.config.segment_bytes {
            // A leftover frame in the spare file has another salt than the image's.
            let spare = self.spare(false)?;
            self.fs.rename(&spare.path, &unfinished).at("rename", &spare.path)?;
            // Were it a spare again after a crash, its frames could pass for this segment's.
            self.fs.sync_dir(dir).at("sync", dir)?;
            (spare.file, self.config.segment_bytes)
        } else {
            (self.fs.create(&unfinished).at("create", &unfinished)?, image.len() as u64)
        };
        write_all_at(&*file, &mut [IoSlice::new(image)], 0).at("write", &unfinished)?;
        file.sync_data().at("sync", &unfinished)?;
        self.fs.rename(&unfinished, path).at("replace", path)?;
        self.fs.sync_dir(dir).at("sync", dir)?;
        Ok((file, len))
    }

    /// A spare file, made if there is none.
    fn spare(&mut self, fill: bool) -> Result<Spare, IoError> {
        match self.spares.pop() {
            Some(spare) => Ok(spare),
            None => self.create_spare(fill),
        }
    }

    fn create_spare(&mut self, fill: bool) -> Result<Spare, IoError> {
        let number = self.spare_number;
        self.spare_number += 1;
        create_spare(self.fs, self.config, number, fill)
    }

    /// Makes what the first reservations need, if the disk has room: the reserve, and another where the
    /// active segment is half used. The rest is the helper's, which takes its time to zero-fill.
    fn top_up(&mut self, segments: &[Arc<Segment>]) {
        let config = self.config;
        let allowed = config
            .quota_segments()
            .map_or(usize::MAX, |quota| quota.saturating_sub(segments.len()));
        let half_used = segments
            .last()
            .is_none_or(|active| active.len < active.end() + config.segment_bytes / 2);
        let wanted = (usize::from(half_used) + config.reserve_segments()).min(allowed);
        while self.spares.len() < wanted {
            match self.create_spare(false) {
                Ok(spare) => self.spares.push(spare),
                // Reservations fail until the helper finds room.
                Err(_) => return,
            }
        }
    }
}

/// The segment as it should be: header, whole frames, and for each hole that cost positions a frame that
/// says so.
fn repaired(bytes: &[u8], id: SegmentId, found: &Scan) -> Vec<u8> {
    let mut image = id.encode_header().to_vec();
    for part in &found.parts {
        match part {
            Part::Whole(range) => {
                image.extend_from_slice(bytes.get(range.clone()).unwrap_or_default());
            }
            Part::Hole(hole) if !hole.positions.is_empty() => {
                image.extend(lost_frame(hole.positions.start, hole.positions.end, id.salt));
            }
            Part::Hole(_) => {}
        }
    }
    image
}
