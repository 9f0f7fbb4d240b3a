//! Start timestamps of OpenMetrics, which stand in `_created` lines behind the samples that they
//! belong to.
//!
//! They are read ahead, once a family, so that each sample has its start when it is given out.
//! What is kept is sixteen bytes for each `_created` line of one family. Prometheus looks ahead
//! once a series, up to the next `_created` line only; here a family's lines may come in any
//! order.

use weir_model::{MetricType, Timestamp};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::lexer::{Lexer, Part};
use super::openmetrics::value;

/// The start timestamps of one family.
#[derive(Debug, Default)]
pub(super) struct Created {
    /// By a hash of the labels, `le` and `quantile` left out. Sorted.
    starts: Vec<(u64, Timestamp)>,
    /// Whether the family at hand was read.
    known: bool,
}

impl Created {
    /// Metadata came: a family ends.
    pub(super) fn forget(&mut self) {
        self.starts.clear();
        self.known = false;
    }

    /// Reads what is left of a family, unless that was done. What is wrong there is left to be
    /// found when its turn comes.
    pub(super) fn look_ahead(&mut self, mut lexer: Lexer<'_>, family: &[u8], kind: MetricType) {
        if std::mem::replace(&mut self.known, true) {
            return;
        }
        let rest = lexer.rest();
        let end = memchr::memmem::find(rest, b"\n#").unwrap_or(rest.len());
        if memchr::memmem::find(&rest[..end], SUFFIX).is_none() {
            return;
        }
        let end = lexer.pos() + end;
        while lexer.pos() < end {
            let (mut is_created, mut hash) = (false, 0);
            let read = lexer.series::<true>(|part| match part {
                Part::Name(name) => is_created = name.strip_suffix(SUFFIX) == Some(family),
                Part::Label(..) => hash = with_label(hash, part, kind),
            });
            if read.is_err() {
                break;
            }
            // Nothing but a time after the epoch says anything.
            if is_created
                && let Ok(seconds) = value(&mut lexer)
                && seconds > 0.0
            {
                self.starts.push((hash, (seconds * 1000.0) as Timestamp));
            }
            lexer.line();
        }
        self.starts.sort_unstable();
    }

    /// When a series of the family began.
    pub(super) fn start_of(
        &self,
        raw: &[u8],
        family: &[u8],
        kind: MetricType,
    ) -> Option<Timestamp> {
        if self.starts.is_empty() {
            return None;
        }
        let (mut of_family, mut hash) = (false, 0);
        let read = Lexer::trusting(raw).series::<true>(|part| match part {
            Part::Name(name) => of_family = name.starts_with(family),
            Part::Label(..) => hash = with_label(hash, part, kind),
        });
        if read.is_err() || !of_family {
            return None;
        }
        let at = self.starts.binary_search_by_key(&hash, |&(hash, _)| hash).ok()?;
        self.starts.get(at).map(|&(_, start)| start)
    }
}

const SUFFIX: &[u8] = b"_created";

/// Adds a label to a hash that does not depend on their order.
fn with_label(hash: u64, part: Part<'_>, kind: MetricType) -> u64 {
    match part {
        Part::Label(b"le", _) if kind == MetricType::Histogram => hash,
        Part::Label(b"quantile", _) if kind == MetricType::Summary => hash,
        Part::Label(name, value) => hash.wrapping_add(xxh3_64_with_seed(value, xxh3_64(name))),
        Part::Name(_) => hash,
    }
}
