//! Deliberate mistakes, by name: the proof that whoever checks this program would notice them.
//!
//! A build with debug assertions makes the one that it is told to make, from the start to the end of
//! the process; the program says which, for nothing here looks at the environment. In a release
//! build [`is`] is `false` at compile time and nothing of it is left. A mutation never stands where
//! a sample is decoded or hashed: it changes an answer, not a way.

use std::sync::atomic::{AtomicU8, Ordering};

macro_rules! mutations {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A mistake that can be made.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum Mutation { $($(#[$doc])* $name,)* }

        impl Mutation {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What it is called.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

mutations! {
    /// What waits is folded up to a millisecond before the frontier.
    FrontierOffByOne = "frontier_off_by_one",
    /// A timestamp at a window's start belongs to it.
    WindowStartInclusive = "window_start_inclusive",
    /// A counter's base is lost at its stale marker.
    BaseLostAtMarker = "base_lost_at_marker",
    /// Bases are not read back from a checkpoint.
    BaseLostAtRestart = "base_lost_at_restart",
    /// A fall in value counts for nothing.
    ResetIgnored = "reset_ignored",
    /// A start timestamp past the sample before proves no reset.
    StartIgnored = "start_ignored",
    /// A replica that lags at a switch is taken for a reset.
    FalseResetAtSwitch = "false_reset_at_switch",
    /// Both replicas of a pair count.
    BothReplicasTaken = "both_replicas_taken",
    /// Every first sample counts in full.
    BirthCountedInFull = "birth_counted_in_full",
    /// No first sample counts.
    BirthLost = "birth_lost",
    /// A sample out of order is folded twice.
    OutOfOrderTwice = "out_of_order_twice",
    /// A repeat is a sample.
    DuplicateNotDropped = "duplicate_not_dropped",
    /// A late increase is carried twice.
    LateCarriedTwice = "late_carried_twice",
    /// A late increase is dropped, and the base moves all the same.
    LateLost = "late_lost",
    /// Of a dedup slot every sample counts.
    DedupIgnored = "dedup_ignored",
    /// Series live twice as long in silence.
    StalenessDoubled = "staleness_doubled",
    /// A stale marker is not heeded.
    MarkerIgnored = "marker_ignored",
    /// A group's end is not said.
    MarkerNotWritten = "marker_not_written",
    /// A group's first total has no 0 before it.
    TotalWithoutZero = "total_without_zero",
    /// `without` forgets its first label.
    WithoutForgetsOne = "without_forgets_one",
    /// What one worker has of a window is dropped.
    WorkerDropped = "worker_dropped",
    /// Rows merge the smaller value as the greatest, and the reverse.
    ExtremesSwapped = "extremes_swapped",
    /// Of two quantile sketches the second is dropped.
    SketchMergeLost = "sketch_merge_lost",
    /// A window's ranges do not join the running ones.
    RangesLost = "ranges_lost",
    /// What is past `max_groups` is dropped.
    OverflowLost = "overflow_lost",
    /// A checkpoint has no open windows.
    OpenWindowsLost = "open_windows_lost",
    /// Running totals are not read back from a checkpoint.
    TotalNotRestored = "total_not_restored",
    /// An alias outlives its series.
    AliasOfFreed = "alias_of_freed",
    /// Samples that pass are written again by a replay.
    PassedTwice = "passed_twice",
    /// Stale markers do not pass.
    PassedMarkerLost = "passed_marker_lost",
    /// Rates are over the window's length, not over the time between samples.
    RateOverWindow = "rate_over_window",
    /// A part that another member sends again is added to what it sent before.
    PartAdded = "part_added",
    /// A place of another member's stream that was taken is taken again.
    PlaceForgotten = "place_forgotten",
    /// A window does not wait for the other members.
    MarkNotAwaited = "mark_not_awaited",
    /// A window that lacks a member's part claims to be complete.
    WaivedInSilence = "waived_in_silence",
    /// Output groups stay where they were when their virtual shard moves.
    GroupsLeftBehind = "groups_left_behind",
    /// Who has given virtual shards away goes on to take their samples.
    MoveNotFenced = "move_not_fenced",
    /// A state that was taken over is not known as such: nothing waits for its giver, and it counts for new
    /// when it comes again.
    AdoptedTwice = "adopted_twice",
}

/// The one that is made, from 1; 0 for none.
static ARMED: AtomicU8 = AtomicU8::new(0);

/// Makes the mistake of this name from now on. `false` if there is none, or the build cannot.
pub fn arm(name: &str) -> bool {
    let found = Mutation::ALL.iter().find(|m| cfg!(debug_assertions) && m.name() == name);
    if let Some(&mutation) = found {
        ARMED.store(mutation as u8 + 1, Ordering::Relaxed);
    }
    found.is_some()
}

/// Whether this mistake is to be made here.
#[inline(always)]
pub fn is(mutation: Mutation) -> bool {
    cfg!(debug_assertions) && ARMED.load(Ordering::Relaxed) == mutation as u8 + 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_tell_mutations_apart_and_nothing_is_armed_without_one() {
        let names: BTreeSet<&str> = Mutation::ALL.iter().map(|m| m.name()).collect();
        assert_eq!(names.len(), Mutation::ALL.len());
        assert!(!arm("no such mistake"));
        assert!(Mutation::ALL.iter().all(|&m| !is(m)));
    }
}
