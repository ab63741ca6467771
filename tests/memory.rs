//! What a process says of its own memory. A program of its own with one test: in the library's tests every other test
//! moves the peak, and the bench's starts a new one.
#![cfg(target_os = "linux")]

use std::hint::black_box;
use svitt::profile::{available_memory_mb, peak_memory_mb, reset_peak_memory};

#[test]
fn the_peak_sees_a_block_and_can_be_reset() {
    let before = peak_memory_mb();
    assert!(available_memory_mb().unwrap() > 50.0);
    let block = vec![1u8; 256 << 20];
    assert!(black_box(&block).iter().all(|&x| x == 1));
    let with_block = peak_memory_mb();
    assert!((248.0..320.0).contains(&(with_block - before)), "{before} MB, then {with_block}");
    drop(block);
    // the kernel counts pages in batches: two readings of one peak are not the same number
    assert!(peak_memory_mb() > with_block - 8.0, "a peak outlives what made it");
    reset_peak_memory();
    let after = peak_memory_mb();
    assert!(after < with_block - 192.0, "{after} MB after {with_block}");
}
