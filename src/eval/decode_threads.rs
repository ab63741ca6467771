//! Work done on threads for one consumer, with a bounded number of results in memory: how videos are decoded while a
//! model runs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Hands results to the consumer.
pub(crate) struct ResultSender<'a, T> {
    sender: SyncSender<T>,
    stop: &'a AtomicBool,
}

impl<T> ResultSender<'_, T> {
    /// Waits until there is room for `result`; returns whether more is wanted.
    pub(crate) fn send(&self, result: T) -> bool {
        if !self.is_wanted() {
            return false;
        }
        let sent = self.sender.send(result).is_ok();
        if !sent {
            // The receiver goes before it says that it has.
            self.stop.store(true, Ordering::Relaxed);
        }
        sent
    }

    /// Whether the consumer still listens.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

/// Calls `work` with the numbers 0 to `items` on `threads` threads, while `consume` receives what it sends; at most `room`
/// results wait. Ends when all is consumed, or when `consume` returns.
pub(crate) fn on_threads<T: Send, R>(
    items: usize,
    threads: usize,
    room: usize,
    work: &(dyn Fn(usize, &ResultSender<'_, T>) + Sync),
    consume: impl FnOnce(Receiver<T>) -> R,
) -> R {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(room.max(1));
        for _ in 0..threads.clamp(1, items.max(1)) {
            let (next, results) = (&next, ResultSender { sender: sender.clone(), stop: &stop });
            scope.spawn(move || {
                while results.is_wanted() {
                    let item = next.fetch_add(1, Ordering::Relaxed);
                    if item >= items {
                        return;
                    }
                    work(item, &results);
                }
            });
        }
        drop(sender);
        let result = consume(receiver);
        // The receiver is gone: threads that wait for room go on, and see that nothing is wanted.
        stop.store(true, Ordering::Relaxed);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once_and_a_consumer_may_leave_early() {
        let work = |item: usize, results: &ResultSender<'_, usize>| {
            let sent = (0..3).filter(|part| results.send(10 * item + part)).count();
            assert!(sent == 3 || !results.is_wanted());
        };
        let mut all = on_threads(7, 3, 2, &work, |results| results.into_iter().collect::<Vec<_>>());
        all.sort_unstable();
        assert_eq!(all, (0..7).flat_map(|item| (0..3).map(move |part| 10 * item + part)).collect::<Vec<_>>());
        let first = on_threads(1_000_000, 4, 1, &work, |results| results.recv().unwrap());
        assert!(first < 1_000_000);
        assert!(on_threads(0, 0, 0, &work, |results| results.recv()).is_err());
    }
}
