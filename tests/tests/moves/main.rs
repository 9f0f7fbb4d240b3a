//! Virtual shards change hands under load: a tier grows, shrinks, and loses members in between, and what
//! comes out is what one gateway would have said.
//!
//! Real processes on loopback, known to each other by a file or by etcd; the oracle, which knows of no
//! move, says what must come out.

mod ends;
mod refused;
mod restarts;
mod scale;
mod stage;
