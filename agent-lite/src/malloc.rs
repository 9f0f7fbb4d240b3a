//! One setting of the C library's allocator, the only foreign call here.
//!
//! glibc raises the size from which an allocation gets pages of its own each time that such a one is
//! freed; after the first pages have been read, buffers of megabytes lie between small things, and
//! the heap never shrinks again. A size that was set stays. That is a third of the agent's memory.
//! Elsewhere than on glibc this does nothing.

#![expect(unsafe_code, reason = "a leaf: one call, no memory of ours")]

/// Sets it; called once, before anything large is allocated.
pub fn settle() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes two numbers by value and touches the allocator's own state alone.
    let taken = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_PAGES_BYTES) };
    #[cfg(target_env = "gnu")]
    if taken != 1 {
        tracing::debug!("the allocator does not take its threshold");
    }
}

/// glibc's own default, from which it begins to grow.
#[cfg(target_env = "gnu")]
const OWN_PAGES_BYTES: i32 = 128 << 10;
