//! How far long work is, told to whoever wants to know. Nobody does unless a program says so.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// So much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// What is being done: "encoding videos".
    pub what: &'a str,
    /// Items that are done.
    pub done: usize,
    /// All items.
    pub total: usize,
}

/// What hears of progress.
type Listener = dyn Fn(Progress<'_>) + Send + Sync;

/// Who is told; nobody by default.
#[derive(Clone, Default)]
pub struct ProgressSink(Option<Arc<Listener>>);

impl ProgressSink {
    /// Tells `listener`, on whatever thread the work runs.
    pub fn new(listener: impl Fn(Progress<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    /// Tells that `done` items of `total` are done.
    pub fn report(&self, what: &str, done: usize, total: usize) {
        if let Some(listener) = &self.0 {
            listener(Progress { what, done, total });
        }
    }

    /// A count of `total` items of which none is done.
    pub fn counter(&self, what: &'static str, total: usize) -> ProgressCounter {
        ProgressCounter { sink: self.clone(), what, total, done: 0 }
    }
}

impl fmt::Debug for ProgressSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "ProgressSink(listener)" } else { "ProgressSink(nobody)" })
    }
}

/// Counts items and tells after each.
#[derive(Clone, Debug)]
pub struct ProgressCounter {
    sink: ProgressSink,
    what: &'static str,
    total: usize,
    done: usize,
}

impl ProgressCounter {
    /// `count` more are done.
    pub fn tick(&mut self, count: usize) {
        self.done += count;
        self.sink.report(self.what, self.done, self.total);
    }
}

/// Asks long work to stop at its next good moment; nobody does unless a program says so.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Asks for it.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// What is set, for crates that know no more of it.
    pub fn shared(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }

    /// Whether it was asked for.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn every_tick_is_told() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let sink = ProgressSink::new({
            let heard = heard.clone();
            move |progress| heard.lock().unwrap().push((progress.what.to_owned(), progress.done, progress.total))
        });
        let mut counter = sink.counter("asking", 5);
        [2, 3].into_iter().for_each(|count| counter.tick(count));
        assert_eq!(*heard.lock().unwrap(), [("asking".to_owned(), 2, 5), ("asking".to_owned(), 5, 5)]);
        ProgressSink::default().counter("nothing", 1).tick(1);
    }
}
