//! Panics of decoders become errors: a damaged file must not end the program that reads it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Whether this thread is inside a decoder whose panics this crate catches and returns as errors. For a program's panic
/// hook, which need not report those.
pub fn reading_untrusted_input() -> bool {
    DEPTH.get() > 0
}

/// Runs `work`, which may panic on input that nobody trusts: the panic comes back as its text.
///
/// # Errors
/// The panic's text.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    DEPTH.set(DEPTH.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(work));
    DEPTH.set(DEPTH.get() - 1);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no reason given".into())
    })
}
