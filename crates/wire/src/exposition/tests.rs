//! What Prometheus accepts, refuses and reads, case by case.

mod text;
