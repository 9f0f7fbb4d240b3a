//! What Prometheus accepts, refuses and reads, case by case; real pages; bytes that mean harm.

mod captures;
mod hostile;
mod known;
mod openmetrics;
mod protobuf;
mod text;
