//! Prometheus relabelling, compiled once.
