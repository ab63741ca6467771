//! Loops compiled for the widest vectors of the CPU.

use pulp::{Arch, NullaryFnOnce, Simd, WithSimd};

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

/// `a · b + c` as one instruction where vectors have it. A fused product where they have not would be a call into the C
/// library.
#[derive(Clone, Copy, Debug)]
pub struct MulAdd {
    fused: bool,
}

impl MulAdd {
    /// A product and a sum, rounded both.
    #[cfg(test)]
    pub(crate) const SEPARATE: Self = Self { fused: false };

    /// `a · b + c`.
    #[inline(always)]
    pub fn of(self, a: f32, b: f32, c: f32) -> f32 {
        if self.fused { a.mul_add(b, c) } else { a * b + c }
    }
}

/// [`vectorized`] with products and sums in one: half of the instructions of a polynomial.
#[inline(always)]
pub fn vectorized_fused<R>(body: impl FnMut(MulAdd) -> R) -> R {
    struct Body<F>(F);
    impl<R, F: FnMut(MulAdd) -> R> WithSimd for Body<F> {
        type Output = R;

        #[inline(always)]
        fn with_simd<S: Simd>(mut self, _: S) -> R {
            // Eight lanes are AVX2, which `pulp` uses together with FMA alone.
            (self.0)(MulAdd { fused: S::F32_LANES >= 8 || cfg!(target_arch = "aarch64") })
        }
    }
    Arch::new().dispatch(Body(body))
}
