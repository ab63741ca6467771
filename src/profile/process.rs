//! Memory of this process.

use std::fs;

/// Largest resident memory of this process since its start or [`reset_peak_memory`], MB; 0 where the system does not
/// say.
pub fn peak_memory_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<f64>().ok()).map_or(0.0, |kb| kb / 1024.0)
}

/// Memory that this process could still take before the system swaps or ends it, MB: what the machine has free, or
/// what its control group has left; none where the system does not say.
pub fn available_memory_mb() -> Option<f64> {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<f64>().ok();
    let machine = fs::read_to_string("/proc/meminfo").ok()?;
    let line = machine.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let free = line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()? / 1024.0;
    let limit = number("/sys/fs/cgroup/memory.max").zip(number("/sys/fs/cgroup/memory.current"));
    Some(limit.map_or(free, |(most, taken)| free.min((most - taken) / 1048576.0)))
}

/// Resident memory of this process without mapped files, MB; none where the system does not say.
pub fn private_memory_mb() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<f64>().ok().map(|kb| kb / 1024.0)
}

/// Starts a new peak, where the system allows it (Linux); elsewhere the peak since the start stays.
pub fn reset_peak_memory() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}
