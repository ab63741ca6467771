//! Turns panics into errors. Burn and its runtimes panic where a driver is missing or memory runs out, often on their
//! own threads, so that the caller only sees a closed channel: the first panic of the process is the one reported.

use crate::{Error, Result};
use std::any::Any;
use std::panic::{self, AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError};

static FIRST_PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Silences the panic hook and records the first panic until [`catch_backend_panic`] reports it. For programs, not
/// libraries: the hook is global.
pub fn capture_panics() {
    panic::set_hook(Box::new(|info| {
        if svitt_video::reading_untrusted_input() {
            return;
        }
        let text = payload_text(info.payload());
        let place = info.location().map(|place| format!(" ({}:{})", place.file(), place.line())).unwrap_or_default();
        FIRST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(text + &place);
    }));
}

/// Runs `work` on `backend`; a panic comes back as an error.
///
/// # Errors
/// A missing driver, exhausted memory, or a fault of this program, each with its remedy.
pub fn catch_backend_panic<T>(backend: &str, work: impl FnOnce() -> T) -> Result<T> {
    FIRST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panic_error(backend, &first_or(&*panic)))
}

/// Runs `work` on untrusted input; a panic is returned as its text.
///
/// # Errors
/// The panic's text.
pub fn catch_panic<T>(work: impl FnOnce() -> T) -> std::result::Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        // Handled here, so it must not be reported as the cause of a later panic.
        FIRST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
        payload_text(&*panic)
    })
}

/// Runs `work`; where it panics for lack of memory, the error is what `out_of_memory` makes of the panic's text. Other
/// panics go on.
///
/// # Errors
/// What `work` returns, or `out_of_memory`.
pub fn catch_out_of_memory<T>(
    work: impl FnOnce() -> Result<T>,
    out_of_memory: impl FnOnce(&str) -> Error,
) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = first_or(&*panic);
        if lacks_memory(&text) { Err(out_of_memory(&first_line(&text))) } else { resume_unwind(panic) }
    })
}

/// The first panic of the process where it was remembered, or this one.
fn first_or(panic: &(dyn Any + Send)) -> String {
    let first = FIRST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone();
    first.unwrap_or_else(|| payload_text(panic))
}

/// What a panic said.
fn payload_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no reason given".into())
}

fn first_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}

fn contains(text: &str, words: &[&str]) -> bool {
    let text = text.to_lowercase();
    words.iter().any(|word| text.contains(word))
}

fn lacks_memory(text: &str) -> bool {
    contains(text, &["out of memory", "out_of_memory", "outofmemory", "not enough memory", "memory allocation"])
}

/// The panic `text` of `backend`, as far as its cause is known.
fn panic_error(backend: &str, text: &str) -> Error {
    let other = "or use option `backend` flex";
    let said = first_line(text);
    if lacks_memory(text) {
        let remedy = "use a smaller batch (option `batch`, or `batch` in the preset), fewer frames, or a smaller model";
        return Error::backend(backend, format!("its memory is exhausted: {said}"), remedy);
    }
    if contains(text, &["cuda installation not found", "cuda_runtime.h"]) {
        let problem = "the headers CUDA kernels are compiled with were not found";
        let remedy = "install the CUDA toolkit, or set CUDA_PATH to a folder whose include/ has cuda_runtime.h";
        return Error::backend(backend, problem, format!("{remedy}, {other}"));
    }
    if contains(text, &["nvrtc"]) {
        let problem = "NVRTC, the compiler of CUDA kernels, was not found";
        return Error::backend(backend, problem, format!("install the CUDA toolkit's libnvrtc (12 or 13), {other}"));
    }
    if contains(text, &["dynamically load", "libcuda", "nvcuda", "cuda_error_no_device", "cuda_error_stub_library"]) {
        let problem = "no NVIDIA driver was found on this machine";
        return Error::backend(backend, problem, format!("install it (580 or newer), {other}"));
    }
    if contains(text, &["adapter", "no device", "requestdevice"]) {
        let problem = format!("no usable GPU was found: {said}");
        return Error::backend(backend, problem, format!("install its Vulkan or Metal driver, {other}"));
    }
    Error::Fault(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &'static str) -> String {
        panic_error("cuda", text).to_string()
    }

    #[test]
    fn missing_drivers_are_named_with_a_remedy() {
        let driver = of("Unable to dynamically load the \"cuda\" shared library - searched for library names: []");
        assert!(driver.contains("no NVIDIA driver") && driver.contains("option `backend` flex"), "{driver}");
        let compiler = of("Unable to dynamically load the \"nvrtc\" shared library");
        assert!(compiler.contains("NVRTC") && !compiler.contains("no NVIDIA driver"), "{compiler}");
        let headers = of("CUDA installation not found. Please ensure that CUDA is installed");
        assert!(headers.contains("CUDA_PATH") && headers.contains("option `backend` flex"), "{headers}");
        assert!(of("No possible adapter available for backend").contains("no usable GPU"));
        assert!(of("index out of bounds").contains("please report"));
    }

    #[test]
    fn exhausted_memory_suggests_a_smaller_batch_and_other_panics_pass_through() {
        let tell = |text: &str| Error::setting("batch", text, "try 8");
        let full = || -> Result<()> { panic!("CUDA_ERROR_OUT_OF_MEMORY") };
        assert!(catch_out_of_memory(full, tell).unwrap_err().to_string().contains("try 8"));
        let other = catch_unwind(|| catch_out_of_memory(|| -> Result<()> { panic!("index") }, tell));
        assert!(other.is_err());
        assert!(
            catch_backend_panic("flex", || panic!("out of memory")).unwrap_err().to_string().contains("smaller batch")
        );
        assert_eq!(catch_backend_panic("flex", || 7).unwrap(), 7);
    }
}
