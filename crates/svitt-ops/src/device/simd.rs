//! Loops over one row, compiled for the widest vectors of the CPU.

use super::bf16::Element;

pub(crate) use super::vectorized::{MulAdd, total, vectorized, vectorized_fused};

/// Lanes a loop is unrolled to: one AVX-512 register, two AVX2 registers.
pub(crate) const LANES: usize = 16;

/// 2^23 + 2^22: adding it rounds to an integer, ties to even, in the low mantissa bits.
const ROUND: f32 = 12_582_912.0;

/// e^x to 2 ulp for x in [−87, 88]; about 1e-38 below. Without branches, so that loops over it vectorise (std's `exp`
/// does not).
#[inline(always)]
pub(crate) fn exp(x: f32, fma: MulAdd) -> f32 {
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = fma.of(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = fma.of(n, 2.121_944_4e-4, fma.of(n, -0.693_359_4, x));
    let p = polynomial([0.5, 0.166_666_66, 4.166_579_6e-2, 8.333_452e-3, 1.398_2e-3, 1.987_569_1e-4], r, fma);
    let power = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32 - 127) << 23;
    fma.of(p, r * r, r + 1.0) * f32::from_bits(power as u32)
}

/// The polynomial of `factors`, lowest power first, at `x`.
#[inline(always)]
fn polynomial<const N: usize>(factors: [f32; N], x: f32, fma: MulAdd) -> f32 {
    let mut value = factors[N - 1];
    for i in (0..N - 1).rev() {
        value = fma.of(value, x, factors[i]);
    }
    value
}

/// erf(x) to 1.5e-7: an odd polynomial below 0.9, 1 − e^(−polynomial) above, both computed, so that loops vectorise.
#[inline(always)]
pub(crate) fn erf(x: f32, fma: MulAdd) -> f32 {
    // least-squares Chebyshev fits of erf(√u)/√u on [0, 0.81] and of −ln(1 − erf x) on [0.9, 4.2], lowest power first
    const SMALL: [f32; 7] = [
        std::f32::consts::FRAC_2_SQRT_PI,
        -0.376_126_35,
        0.112_837_19,
        -0.026_860_708,
        0.005_204_331_6,
        -0.000_818_078_1,
        8.534_121e-5,
    ];
    const LARGE: [f32; 9] = [
        -0.000_270_669_4,
        1.130_027_9,
        0.632_185_9,
        0.109_733_425,
        -0.026_219_813,
        0.004_687_298,
        -0.000_581_094_65,
        4.416_502_3e-5,
        -1.540_11e-6,
    ];
    let a = x.abs();
    let small = polynomial(SMALL, a * a, fma);
    let bounded = if a > 4.2 { 4.2 } else { a };
    let large = polynomial(LARGE, bounded, fma);
    let magnitude = if a < 0.9 { small * a } else { 1.0 - exp(-large, fma) };
    magnitude.copysign(x)
}

/// The nearest integer, ties to even, of |x| < 2^21; without branches, so that loops over it vectorise.
#[inline(always)]
pub(crate) fn nearest(x: f32) -> i32 {
    (x + ROUND).to_bits() as i32 - ROUND.to_bits() as i32
}

/// The largest magnitude of `row`; what is no number is larger than all.
#[inline(always)]
pub(crate) fn magnitude(row: &[f32]) -> f32 {
    row.iter().fold(0.0, |most, x| larger(most, *x))
}

/// The larger of `most`, which has no sign, and the magnitude of `x`: as bits, magnitudes are in order.
#[inline(always)]
pub(crate) fn larger(most: f32, x: f32) -> f32 {
    f32::from_bits(most.to_bits().max(x.abs().to_bits()))
}

/// The first N of `from`, read before anything is written: two slices that may overlap are not copied by vectors.
#[inline(always)]
#[allow(clippy::manual_memcpy, reason = "a copy of slices is a call in code for wider vectors")]
pub(crate) fn load<const N: usize>(from: &[f32]) -> [f32; N] {
    let from = &from[..N];
    let mut lanes = [0f32; N];
    for i in 0..N {
        lanes[i] = from[i];
    }
    lanes
}

/// Writes `lanes` to the first N of `to`.
#[inline(always)]
#[allow(clippy::manual_memcpy, reason = "a copy of slices is a call in code for wider vectors")]
pub(crate) fn store<const N: usize>(to: &mut [f32], lanes: [f32; N]) {
    let to = &mut to[..N];
    for i in 0..N {
        to[i] = lanes[i];
    }
}

/// The largest value of `row`.
pub(crate) fn max(row: &[f32]) -> f32 {
    vectorized(
        #[inline(always)]
        || {
            let mut lanes = [f32::MIN; LANES];
            let (chunks, rest) = row.as_chunks::<LANES>();
            for chunk in chunks {
                for i in 0..LANES {
                    lanes[i] = if chunk[i] > lanes[i] { chunk[i] } else { lanes[i] };
                }
            }
            lanes.iter().chain(rest).fold(f32::MIN, |m, &x| if x > m { x } else { m })
        },
    )
}

/// Replaces `row` by e^(row − shift) and returns the sum.
pub(crate) fn exp_sum(row: &mut [f32], shift: f32) -> f32 {
    vectorized_fused(
        #[inline(always)]
        |fma| {
            // read once: a captured number that `row` might overlap keeps the sums in memory, and the loop waits for them
            let by = shift;
            let mut lanes = [0f32; LANES];
            let (chunks, rest) = row.as_chunks_mut::<LANES>();
            for chunk in chunks {
                for i in 0..LANES {
                    chunk[i] = exp(chunk[i] - by, fma);
                    lanes[i] += chunk[i];
                }
            }
            let mut sum = total(lanes);
            for x in rest {
                *x = exp(*x - by, fma);
                sum += *x;
            }
            sum
        },
    )
}

/// Replaces `row` by e^(row − shift) and returns the sum of its products with `x`.
pub(crate) fn exp_dot(row: &mut [f32], shift: f32, x: &[f32]) -> f32 {
    vectorized_fused(
        #[inline(always)]
        |fma| {
            // as in `exp_sum`; and so `x` is copied
            let by = shift;
            let mut lanes = [0f32; LANES];
            let ((chunks, rest), (xs, x_rest)) = (row.as_chunks_mut::<LANES>(), x.as_chunks::<LANES>());
            for (chunk, x) in chunks.iter_mut().zip(xs) {
                let (mut powers, x) = (*chunk, *x);
                for i in 0..LANES {
                    powers[i] = exp(powers[i] - by, fma);
                    lanes[i] = fma.of(powers[i], x[i], lanes[i]);
                }
                *chunk = powers;
            }
            let mut sum = total(lanes);
            for (value, x) in rest.iter_mut().zip(x_rest) {
                *value = exp(*value - by, fma);
                sum += *value * x;
            }
            sum
        },
    )
}

/// `ds = p ⊙ (dp − delta)`, written over `dp`.
pub(crate) fn score_gradient(dp: &mut [f32], p: &[f32], delta: f32) {
    vectorized(
        #[inline(always)]
        || {
            for (dp, p) in dp.iter_mut().zip(p) {
                *dp = *p * (*dp - delta);
            }
        },
    );
}

/// `y += a · x`.
pub(crate) fn axpy(y: &mut [f32], a: f32, x: &[f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += a * x);
}

/// Σ x. One sum would wait for itself at every addition.
#[inline(always)]
pub(crate) fn sum(x: &[f32]) -> f32 {
    lane_sum(x, |x| x)
}

/// The sum of `map` of every element.
#[inline(always)]
pub(crate) fn lane_sum(row: &[f32], map: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] += map(chunk[i]);
        }
    }
    total(lanes) + rest.iter().map(|&x| map(x)).sum::<f32>()
}

/// Σ x·y, in f32.
#[inline(always)]
pub(crate) fn dot<T: Element>(x: &[f32], y: &[T]) -> f32 {
    let mut lanes = [0f32; LANES];
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in xs.iter().zip(ys) {
        for i in 0..LANES {
            lanes[i] += x[i] * y[i].wide();
        }
    }
    total(lanes) + x_rest.iter().zip(y_rest).map(|(x, y)| x * y.wide()).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_accurate() {
        let check = |fma: MulAdd| {
            for i in -8700..=2000 {
                let x = i as f32 / 100.0;
                let (found, expected) = (f64::from(exp(x, fma)), f64::from(x).exp());
                assert!((found / expected - 1.0).abs() < 3e-7, "exp({x}) = {found}, not {expected}");
            }
            assert!(exp(-1e9, fma) < 2e-38);
            assert_eq!(exp(0.0, fma), 1.0);
        };
        check(MulAdd::SEPARATE);
        vectorized_fused(check);
    }

    #[test]
    fn erf_is_accurate() {
        // from tables of the error function
        let known = [(0.0, 0.0), (0.1, 0.112_462_9), (0.5, 0.520_499_9), (0.9, 0.796_908_2), (1.0, 0.842_700_8)];
        let more = [(1.5, 0.966_105_16), (2.0, 0.995_322_3), (3.0, 0.999_977_9), (4.5, 1.0), (40.0, 1.0)];
        let check = |fma: MulAdd| {
            for (x, expected) in known.into_iter().chain(more) {
                assert!((erf(x, fma) - expected).abs() < 1.5e-7, "erf({x}) = {}", erf(x, fma));
                assert_eq!(erf(-x, fma), -erf(x, fma));
            }
        };
        check(MulAdd::SEPARATE);
        vectorized_fused(check);
    }

    #[test]
    fn the_largest_magnitude_of_any_length() {
        for length in [1, 15, 16, 17, 100] {
            let mut row: Vec<f32> = (0..length).map(|i| (i % 7) as f32 - 3.0).collect();
            row[length - 1] = -9.0;
            assert_eq!(magnitude(&row), 9.0);
            row[length / 2] = f32::NAN;
            assert!(magnitude(&row).is_nan(), "what is no number does not get lost");
        }
        assert_eq!(magnitude(&[]), 0.0);
    }

    #[test]
    fn rows_of_any_length() {
        for length in [1, 15, 16, 17, 225] {
            let row: Vec<f32> = (0..length).map(|i| ((i * 37) % 11) as f32 - 5.0).collect();
            let shift = max(&row);
            assert_eq!(shift, row.iter().copied().fold(f32::MIN, f32::max));
            let mut powers = row.clone();
            let sum = exp_sum(&mut powers, shift);
            let expected: f64 = row.iter().map(|x| f64::from(x - shift).exp()).sum();
            assert!((f64::from(sum) / expected - 1.0).abs() < 1e-6);
            let mut again = row.clone();
            let product = exp_dot(&mut again, shift, &row);
            assert_eq!(again, powers);
            assert!((product - dot(&row, &powers)).abs() < 1e-4);
            assert!((dot(&row, &powers) - row.iter().zip(&powers).map(|(x, y)| x * y).sum::<f32>()).abs() < 1e-4);
        }
    }
}
