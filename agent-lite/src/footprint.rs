//! What the process asks of the machine beside what it uses: the allocator's settings, and giving back
//! now and then what was used for a moment only. The only foreign calls here.
//!
//! glibc raises the size from which an allocation gets pages of its own each time that such a one is
//! freed; after the first pages have been read, buffers of megabytes lie between small things, and
//! the heap never shrinks again. A size that was set stays. It also gives each thread a heap of its own;
//! here one thread does nearly everything. Elsewhere than on glibc only code and constants are given back.
//!
//! Code that runs at the start alone (arguments, configuration, the first connections) is half of what
//! is resident after it, and so is some of the libraries'; so are relocations and constants, which only the
//! start reads. Dropped, what is needed comes back from the page cache.

#![expect(unsafe_code, reason = "a leaf: three calls, no memory of ours")]

use std::ops::Range;

/// Sets up the allocator; called once, before anything large is allocated.
pub fn settle() {
    #[cfg(target_env = "gnu")]
    for (setting, value) in
        [(libc::M_MMAP_THRESHOLD, OWN_PAGES_BYTES), (libc::M_ARENA_MAX, HEAPS_MAX)]
    {
        // SAFETY: mallopt takes two numbers by value and touches the allocator's own state alone.
        let taken = unsafe { libc::mallopt(setting, value) };
        if taken != 1 {
            tracing::debug!(setting, "the allocator does not take a setting");
        }
    }
}

/// Gives back code and constants that were not needed lately, and pages of the heap on which nothing lies.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes a number by value and gives back free memory alone.
    unsafe {
        libc::malloc_trim(0);
    }
    #[cfg(target_os = "linux")]
    {
        let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else {
            return;
        };
        for range in unwritten(&maps) {
            let begin = std::ptr::without_provenance_mut(range.start);
            // SAFETY: the range is of the program or a library, mapped from its file and never
            // writable (code is position independent, so that nothing was relocated in it): each page
            // dropped comes back with the same bytes when it is next used.
            unsafe {
                libc::madvise(begin, range.len(), libc::MADV_DONTNEED);
            }
        }
    }
}

/// Where files are mapped that nobody has written to: code, which is private, executable and not
/// writable, and what stands at a file's beginning without being writable. Other constants cannot be
/// told from those that were relocated and then made unwritable.
fn unwritten(maps: &str) -> impl Iterator<Item = Range<usize>> {
    maps.lines().filter_map(|line| {
        let mut words = line.splitn(6, ' ');
        let (range, rights, offset) = (words.next()?, words.next()?, words.next()?);
        let is_file = words.nth(2)?.trim_start().starts_with('/');
        let is_first = u64::from_str_radix(offset, 16) == Ok(0);
        let is_unwritten = is_file && (rights == "r-xp" || (rights == "r--p" && is_first));
        let (begin, end) = range.split_once('-').filter(|_| is_unwritten)?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        Some(address(begin)?..address(end)?)
    })
}

/// glibc's own default, from which it begins to grow.
#[cfg(target_env = "gnu")]
const OWN_PAGES_BYTES: i32 = 128 << 10;
#[cfg(target_env = "gnu")]
const HEAPS_MAX: i32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_writes_is_told_from_all_else() {
        // As the kernel writes it.
        let maps = "\
            55e3b7501000-55e3b77a8000 r--p 00000000 fe:00 7094443                    /a/weir agent\n\
            55e3b77a8000-55e3b8105000 r-xp 002a6000 fe:00 7094443                    /a/weir agent\n\
            55e3b8105000-55e3b815e000 r--p 00c02000 fe:00 7094443                    /a/weir agent\n\
            55e3e18b5000-55e3e1dc8000 rw-p 00000000 00:00 0                          [heap]\n\
            7fdad5aaf000-7fdad5c05000 r-xp 00026000 fe:00 326269                     /lib/libc.so.6\n\
            7fff1a5f9000-7fff1a5fb000 r-xp 00000000 00:00 0                          [vdso]\n";
        let found: Vec<Range<usize>> = unwritten(maps).collect();
        let constants = 0x55e3_b750_1000..0x55e3_b77a_8000;
        let program = 0x55e3_b77a_8000..0x55e3_b810_5000;
        let library = 0x7fda_d5aa_f000..0x7fda_d5c0_5000;
        assert_eq!(found, [constants, program, library]);
    }

    #[test]
    fn what_was_given_back_comes_back() {
        give_back();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        assert!(unwritten(&maps).count() > 2);
    }
}
