//! The allocator of the programs. glibc returns large tensors to the kernel after every operation; mimalloc keeps them,
//! but by default for less than a step: filling new pages with zeros took a tenth of a training step.

use std::ffi::{c_int, c_long, c_ulong};

/// For programs: `#[global_allocator] static ALLOCATOR: MiMalloc = MiMalloc;`. The library leaves the choice to them.
pub use mimalloc::MiMalloc;

// Of mimalloc's C interface, which the crate links but does not declare; and of Linux.
unsafe extern "C" {
    fn mi_option_set(option: c_int, value: c_long);
    fn mi_collect(force: bool);
    #[cfg(target_os = "linux")]
    fn prctl(option: c_int, value: c_ulong, ...) -> c_int;
}

/// `mi_option_purge_delay`, milliseconds; the same number in mimalloc 2 and 3.
const PURGE_DELAY: c_int = 15;

/// Milliseconds that free pages stay ours: longer than a step of the base model at batch 1.
const KEPT_MS: c_long = 10_000;

/// The same where memory is short: what a backward frees goes back before it ends.
const KEPT_FRUGAL_MS: c_long = 1_000;

/// Keeps freed pages for later steps. A user's `MIMALLOC_PURGE_DELAY` wins.
pub fn keep_pages() {
    purge_after(KEPT_MS);
}

/// Whether memory counts for more than speed, as in training, whose weights, gradients and moments fill most of it:
/// free pages go back sooner, and tensors from now on lie in pages of 4 KB, because every tensor rounded up to 2 MB is
/// 200 MB of the base model. A step at 16 frames takes 3.93 GB in place of 4.37 so, and no longer;
/// the forward alone would take 2 to 4 % longer.
pub fn save_memory(on: bool) {
    purge_after(if on { KEPT_FRUGAL_MS } else { KEPT_MS });
    #[cfg(target_os = "linux")]
    {
        const PR_SET_THP_DISABLE: c_int = 41;
        let zero: c_ulong = 0;
        // SAFETY: a number for the kernel and no pointer; where the call is refused nothing changes.
        unsafe { prctl(PR_SET_THP_DISABLE, c_ulong::from(on), zero, zero, zero) };
    }
}

fn purge_after(milliseconds: c_long) {
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        // SAFETY: sets a number that the allocator reads; allowed at any time.
        unsafe { mi_option_set(PURGE_DELAY, milliseconds) };
    }
}

/// Gives free pages back to the system.
pub fn release_pages() {
    // SAFETY: allowed at any time.
    unsafe { mi_collect(true) };
}
