//! End-to-end, crash and tidy tests on the real binaries.
