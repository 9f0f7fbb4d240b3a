//! One segmented, checksummed, group-committed log: the WAL and the send queues.
