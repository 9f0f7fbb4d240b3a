//! Agents go to the owners of their targets, and keep what they sent there until it is out.

mod direct;
mod lost_disk;
mod stage;
