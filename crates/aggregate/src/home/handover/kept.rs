//! What comes for groups that are on their way to another node.
//!
//! Whether they will be that node's is open, so it is neither merged nor passed on: a taker that does not have
//! them yet would only send it back. Once they are another's it is told, else merged here. Invariant: a mark
//! of this node stays behind the first window of which something is kept.

use weir_model::Timestamp;

use super::super::Home;
use super::super::afar::Export;

/// Parts that are kept at most. The taker is gone for long then: what is more is told to it, and waits there.
const PARTS_MAX: usize = 500_000;

/// By the name of whose it is, in the order in which it came.
#[derive(Default)]
pub(in crate::home) struct Kept {
    exports: Vec<(String, Export)>,
    parts: usize,
}

impl Kept {
    /// Rules have other places; those without one are gone.
    pub(in crate::home) fn renumber(&mut self, place: impl Fn(u16) -> Option<u16>) {
        for (_, Export { parts, left, joined }) in &mut self.exports {
            parts.retain_mut(|part| place(part.rule).map(|at| part.rule = at).is_some());
            for keys in [left, joined] {
                keys.retain_mut(|(rule, _)| place(*rule).map(|at| *rule = at).is_some());
            }
        }
    }
}

impl Home {
    /// Keeps what came of `of` for groups that are on their way; this node's own is nobody's. What is more than
    /// can be kept comes back.
    pub fn keep(&mut self, of: &str, export: Export) -> Option<Export> {
        if export.is_empty() {
            return None;
        }
        if self.kept.parts + export.parts.len() > PARTS_MAX {
            return Some(export);
        }
        self.kept.parts += export.parts.len();
        self.kept.exports.push((of.to_owned(), export));
        None
    }

    /// Up to where windows end of which nothing is kept.
    pub fn kept_past(&self) -> Timestamp {
        let parts = self.kept.exports.iter().flat_map(|(_, export)| &export.parts);
        parts.map(|part| part.end - 1).min().unwrap_or(Timestamp::MAX)
    }

    /// What was kept, for whoever has the groups now.
    pub fn let_go(&mut self) -> Vec<(String, Export)> {
        std::mem::take(&mut self.kept).exports
    }
}
