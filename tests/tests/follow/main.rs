//! A follower for each gateway: one that is gone with its disk is taken over, and nothing that was
//! acknowledged is lost, doubled or wrong.
//!
//! Real processes on loopback and a real etcd; senders that take any of them; the oracle, which knows of
//! no tier, says what must come out.

mod fenced;
mod followers;
mod leaving;
mod model;
mod stage;
mod takeover;
