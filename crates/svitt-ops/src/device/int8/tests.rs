//! Products against f64 sums of operands quantised in the plainest way, on odd sizes.

use super::*;
use crate::device::cpu_computes_int8;
use crate::device::panels::ODD_SHAPES;
use crate::rng::Rng;

fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut rng = Rng::new(seed, &[]);
    (0..count).map(|_| rng.normal() as f32).collect()
}

/// Every run of `length` values, `step` apart, as scale · integer.
fn quantized(values: &[f32], runs: usize, [between, step, length]: [usize; 3]) -> Vec<f64> {
    let mut out = vec![0f64; values.len()];
    for run in 0..runs {
        let at = |i: usize| run * between + i * step;
        let scale = (0..length).fold(0f32, |m, i| m.max(values[at(i)].abs())) / 127.0;
        for i in 0..length {
            let byte = if scale > 0.0 { f64::from(values[at(i)] * (1.0 / scale)).round_ties_even() } else { 0.0 };
            out[at(i)] = byte * f64::from(scale);
        }
    }
    out
}

#[test]
fn products_agree_with_f64() {
    if !cpu_computes_int8() {
        return crate::skipped::skipped("a processor with products of bytes");
    }
    for [m, n, k] in ODD_SHAPES {
        let (mut a, mut b) = (noise(3, m * k), noise(4, k * n));
        // a row and a column of zeros have no scale
        a.iter_mut().take(if m > 2 { k } else { 0 }).for_each(|x| *x = 0.0);
        b.iter_mut().step_by(n).take(if n > 2 { k } else { 0 }).for_each(|x| *x = 0.0);
        let (qa, qb) = (quantized(&a, m, [k, 1, k]), quantized(&b, n, [1, n, k]));
        let found = parallel_product::<f32>(&ByteRows::of(&a, k), &PackedBytes::of_rows(&b, [k, n]), None);
        assert_eq!(found.len(), m * n);
        for (at, found) in found.iter().enumerate() {
            let terms = (0..k).map(|p| {
                [(qa[at / n * k + p], qb[p * n + at % n]), (f64::from(a[at / n * k + p]), f64::from(b[p * n + at % n]))]
            });
            let (mut sum, mut exact, mut size) = (0.0, 0.0, 1e-30);
            for [(x, y), (u, v)] in terms {
                (sum, exact, size) = (sum + x * y, exact + u * v, size + (x * y).abs());
            }
            assert!((f64::from(*found) - sum).abs() <= 2e-6 * size, "{m} × {n} × {k}, {at}: {found}, not {sum}");
            assert!(
                (f64::from(*found) - exact).abs() <= 0.05 * size.max(0.2),
                "{m} × {n} × {k}, {at}: {found}, exactly {exact}"
            );
        }
    }
}

/// The widest sums of the models, of the largest bytes: 3072 · 255 · 127 is far from overflowing an i32.
#[test]
fn long_sums_are_exact() {
    if !cpu_computes_int8() {
        return crate::skipped::skipped("a processor with products of bytes");
    }
    let k = 16_384;
    let rows = ByteRows::of(&vec![2.0f32; k], k);
    for sign in [1.0, -1.0] {
        let found = parallel_product::<f32>(&rows, &PackedBytes::of_rows(&vec![sign * 0.5; k], [k, 1]), None);
        assert!((found[0] - sign * k as f32).abs() < 1e-6 * k as f32, "{}", found[0]);
    }
}

/// What is no number stays none.
#[test]
fn no_number_is_lost() {
    if !cpu_computes_int8() {
        return crate::skipped::skipped("a processor with products of bytes");
    }
    let rows = ByteRows::of(&[1.0, 2.0, f32::NAN, 1.0, f32::INFINITY, 1.0], 2);
    let found = parallel_product::<f32>(&rows, &PackedBytes::of_rows(&[1.0, -1.0], [2, 1]), None);
    assert!(found[0].is_finite() && found[1].is_nan() && !found[2].is_finite(), "{found:?}");
    let weights = PackedBytes::of_rows(&[1.0, f32::NAN, 1.0, 1.0], [2, 2]);
    let found = parallel_product::<f32>(&ByteRows::of(&[1.0, 2.0], 2), &weights, None);
    assert!(found[0].is_finite() && found[1].is_nan(), "{found:?}");
}
