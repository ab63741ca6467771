//! Dropout whose draws depend only on a seed, also with several training threads.

use super::layers::Mode;
use burn::tensor::{Distribution, Tensor, backend::Backend};
use std::cell::Cell;
use std::sync::{Mutex, PoisonError};
use svitt_ops::rng::key;

thread_local! {
    /// This thread's seed and the draws made from it.
    static DRAWS: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

/// Burn's backends have one generator for all threads and devices, so seeding and drawing must happen under one lock.
static GENERATOR: Mutex<()> = Mutex::new(());

/// Makes the dropout draws of this thread, from here on, functions of `seed` and their order.
pub fn reseed_dropout(seed: u64) {
    DRAWS.set(Some((seed, 0)));
}

/// In [`Mode::Train`], zeroes each element with probability `p` and scales the others by `1 / (1 − p)`, any shape.
/// See [`reseed_dropout`] for a repeatable step.
pub fn dropout<B: Backend, const D: usize>(x: Tensor<B, D>, p: f64, mode: Mode) -> Tensor<B, D> {
    if mode == Mode::Eval || p == 0.0 {
        return x;
    }
    let keep = {
        let _one_act = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((seed, draw)) = DRAWS.get() {
            DRAWS.set(Some((seed, draw + 1)));
            B::seed(&x.device(), key(seed, &[draw]));
        }
        x.random_like(Distribution::Bernoulli(1.0 - p))
    };
    x * keep.mul_scalar(1.0 / (1.0 - p))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{host, on_cpu_backends};

    fn dropout_acts_in_training_alone<B: Backend>() {
        let x = Tensor::<B, 2>::ones([57, 91], &Default::default());
        assert_eq!(host(dropout(x.clone(), 0.4, Mode::Eval)), vec![1.0; 57 * 91]);
        let kept = host(dropout(x, 0.4, Mode::Train));
        let mean = kept.iter().sum::<f32>() / kept.len() as f32;
        assert!((mean - 1.0).abs() < 0.06, "{mean}");
        assert!(kept.iter().all(|x| *x == 0.0 || (x - 1.0 / 0.6).abs() < 1e-6));
    }

    /// Two threads that draw at once get the same values as each alone.
    fn threads_do_not_take_each_others_draws<B: Backend>() {
        let draws = |seed: u64| {
            reseed_dropout(seed);
            let x = Tensor::<B, 2>::ones([31, 17], &Default::default());
            (0..20).map(|_| host(dropout(x.clone(), 0.5, Mode::Train))).collect::<Vec<_>>()
        };
        let alone = [draws(1), draws(2)];
        assert_ne!(alone[0], alone[1]);
        assert_ne!(alone[0][0], alone[0][1]);
        let together = std::thread::scope(|scope| {
            let threads = [scope.spawn(|| draws(1)), scope.spawn(|| draws(2))];
            threads.map(|thread| thread.join().unwrap())
        });
        assert_eq!(alone, together);
    }

    on_cpu_backends!(dropout_acts_in_training_alone, threads_do_not_take_each_others_draws);
}
