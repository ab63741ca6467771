//! The programs' allocator. glibc hands large tensors back to the kernel after every operation; mimalloc keeps them,
//! but by default for 10 ms only, less than a step: filling fresh pages with zeros was a tenth of a training step.

use std::ffi::{c_int, c_long};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// Of mimalloc's C interface, which the crate links but does not declare.
unsafe extern "C" {
    fn mi_option_set(option: c_int, value: c_long);
    fn mi_collect(force: bool);
}

/// `mi_option_purge_delay`, milliseconds; the same number in mimalloc 2 and 3.
const PURGE_DELAY: c_int = 15;

/// Milliseconds that free pages stay ours: longer than a step of the base model at batch 1.
const KEPT_MS: c_long = 10_000;

/// Keeps free pages from one training step to the next. What a user sets as `MIMALLOC_PURGE_DELAY` stays.
pub fn keep_pages() {
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        // SAFETY: sets a number that the allocator reads; allowed at any time.
        unsafe { mi_option_set(PURGE_DELAY, KEPT_MS) };
    }
}

/// Gives free pages back to the system.
#[allow(dead_code, reason = "the examples do not measure memory")]
pub fn release_pages() {
    // SAFETY: allowed at any time.
    unsafe { mi_collect(true) };
}
