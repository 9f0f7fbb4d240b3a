//! Deliberate mistakes of what is a model here: logging, telling and moving in the wrong order.
//!
//! The core's own stand in `weir_model::mutation`.

/// A mistake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Slip {
    /// A request is answered before the log is synced.
    AnsweredBeforeSync,
    /// A piece of a stream is acknowledged before the log is synced.
    TakenBeforeSync,
    /// A window's outputs leave before the log is synced past what determines them.
    SaidBeforeSync,
    /// Others are told before the log is synced past what determines it.
    ToldBeforeSync,
    /// Who has given virtual shards away goes on to take their samples.
    NotFenced,
    /// A state is sent before the record that gives it away is on disk.
    ReleaseNotSynced,
    /// A state is confirmed before it is on disk.
    AdoptedBeforeSync,
    /// A state that comes again is taken again.
    AdoptedTwice,
    /// The giver's frontier goes on while its virtual shards are on their way.
    GiverNotHeld,
    /// What is given away is forgotten at a restart.
    ReleaseForgotten,
}

impl Slip {
    pub(crate) const ALL: [Self; 10] = [
        Self::AnsweredBeforeSync,
        Self::TakenBeforeSync,
        Self::SaidBeforeSync,
        Self::ToldBeforeSync,
        Self::NotFenced,
        Self::ReleaseNotSynced,
        Self::AdoptedBeforeSync,
        Self::AdoptedTwice,
        Self::GiverNotHeld,
        Self::ReleaseForgotten,
    ];

    /// Whether some hundred seeds show it. What is said or told too early is determined again by what comes again,
    /// and mostly the same.
    pub(crate) fn is_noticed(&self) -> bool {
        !matches!(self, Self::SaidBeforeSync | Self::ToldBeforeSync)
    }

    /// By its name.
    pub(crate) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|slip| format!("{slip:?}") == name)
    }
}
