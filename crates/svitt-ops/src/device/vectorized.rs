//! Loops compiled for the widest vectors of the CPU.

use pulp::{Arch, NullaryFnOnce};

/// The sum of `lanes`, a power of two of them, pair by pair: 4 dependent additions in place of 16.
#[inline(always)]
pub fn total<const LANES: usize>(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Runs `body` compiled for the machine's widest vectors.
///
/// Calls it as `FnMut`: a closure that borrows what it uses becomes `FnOnce` through a shim that is compiled without
/// vectors and not inlined, so that `Arch::dispatch(|| …)` itself runs on four lanes (4.1 times slower for GELU with
/// AVX-512). For the same reason `body` loops with `for`: the bodies of `for_each` and `fold` are not inlined either
/// once they are long.
#[inline(always)]
pub fn vectorized<R>(body: impl FnMut() -> R) -> R {
    struct Body<F>(F);
    impl<R, F: FnMut() -> R> NullaryFnOnce for Body<F> {
        type Output = R;

        #[inline(always)]
        fn call(mut self) -> R {
            (self.0)()
        }
    }
    Arch::new().dispatch(Body(body))
}
