//! Loops compiled for the widest vectors of the CPU.

use pulp::{Arch, NullaryFnOnce};

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
