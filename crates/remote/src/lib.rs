//! A durable sender of remote write: it reads frames from a queue on disk, turns them into
//! requests for one backend, and moves its own durable cursor.
//!
//! In reading order: [`config`] is Prometheus's `remote_write` block; [`frame`] is what stands in
//! the queue; [`prepare`] makes [`unit`]s of it, [`packed`] ones where it can; [`lanes`] keep every
//! series in order; [`outbox`] is the state machine, with [`verdict`] (what an answer means),
//! [`retry`] (when to try again), [`ramp`] (how many at once), [`split`] (who is to blame) and [`cursor`] (how far we are); [`sender`] drives it, at the [`pace`] that a backlog may have, and
//! [`seams`] are what it needs from outside; [`source`] is the journal's side of that, [`transport`]
//! the HTTP client's, on [`endpoints`]. [`destinations`] are all senders of a program, on one journal;
//! [`shares`] says which of them takes a frame.
//!
//! Invariant: a frame is behind the stored cursor only if each of its samples was delivered, set
//! aside or given up, the latter two counted by reason. Not here: who writes the frames, and when the
//! queue is cut.

pub mod config;
pub mod cursor;
mod delivery;
pub mod destinations;
pub mod endpoints;
pub mod frame;
pub mod lanes;
pub mod metrics;
pub mod outbox;
pub mod pace;
pub mod packed;
pub mod prepare;
pub mod ramp;
pub mod request;
pub mod retry;
pub mod seams;
pub mod sender;
pub mod shares;
pub mod source;
pub mod split;
pub mod transport;
pub mod unit;
pub mod verdict;

pub use config::{Destination, validate};
pub use destinations::{Destinations, JournalQueue};
pub use frame::{FrameHeader, FrameKind, Summary};
pub use metrics::{Metrics, State, Status};
pub use request::Post;
pub use seams::{EndpointView, Frames, PostError, Reply, Transport};
pub use sender::{Parts, Sender, WallClock};
pub use source::{Cursors, JournalFrames};
pub use transport::HttpTransport;
