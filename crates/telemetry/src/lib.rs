//! Logs, the metrics registry, process facts, the audit.
