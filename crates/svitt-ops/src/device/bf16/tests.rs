//! Products against f64 sums of the rounded operands, on odd sizes.

use super::pack::{lines_of, pack_rows};
use super::round::widen;
use super::*;
use crate::device::cpu_computes_bf16;
use crate::device::panels::ODD_SHAPES;
use crate::rng::Rng;
use burn::tensor::bf16;

fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut rng = Rng::new(seed, &[]);
    (0..count).map(|_| rng.between(-1.0, 1.0) as f32).collect()
}

/// Σ a·b of the rounded operands, and Σ |a·b|, the scale its error is measured by.
fn oracle(a: &[f32], b: impl Fn(usize, usize) -> f32, [m, n, k]: [usize; 3]) -> Vec<[f64; 2]> {
    let short = |x: f32| f64::from(round(x).to_f32());
    let sum = |i: usize, j: usize| {
        let terms = (0..k).map(|p| short(a[i * k + p]) * short(b(p, j)));
        terms.fold([0.0, 0.0], |[sum, size], term| [sum + term, size + term.abs()])
    };
    (0..m * n).map(|at| sum(at / n, at % n)).collect()
}

/// 1e-6 of Σ |a·b|: the instruction rounds every pair's sum to f32.
fn assert_close(found: &[f32], expected: &[[f64; 2]], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (found, [sum, size])) in found.iter().zip(expected).enumerate() {
        let off = (f64::from(*found) - sum).abs() / size.max(1e-30);
        assert!(off <= tolerance, "{what}, element {at}: {found} is off by {off:e}");
    }
}

#[test]
fn rounding_is_to_nearest_even() {
    // between two neighbours 1/128 apart: to the even one below, to the even one above
    let ties = [1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0];
    let known = [0.0, -0.0, 1.0, f32::INFINITY, 3.4e38, 1e-40, -2.7];
    let others = noise(1, 1000);
    for x in known.into_iter().chain(ties).chain(others) {
        assert_eq!(round(x), bf16::from_f32(x), "{x}");
    }
    assert!(round(f32::NAN).is_nan());
    let values = noise(2, 70_001);
    assert!(widen(&narrow(&values)).iter().zip(&values).all(|(short, x)| *short == bf16::from_f32(*x).to_f32()));
}

#[test]
fn products_agree_with_f64() {
    if !cpu_computes_bf16() {
        return crate::skipped::skipped("a processor with bf16 products");
    }
    for [m, n, k] in ODD_SHAPES {
        let (a, b) = (noise(3, m * k), noise(4, k * n));
        let turned: Vec<f32> = (0..n * k).map(|at| b[at % k * n + at / k]).collect();
        let a_turned: Vec<f32> = (0..k * m).map(|at| a[at % m.max(1) * k + at / m.max(1)]).collect();
        let expected = oracle(&a, |p, j| b[p * n + j], [m, n, k]);
        let rows = narrow(&a);
        for (name, left, right) in [
            ("rows", PairRows::new(&rows[..], k), Packed::of_rows(&b, [k, n])),
            ("columns", PairRows::transposed(&a_turned, k), Packed::of_columns(&turned, [k, n])),
        ] {
            let what = format!("{name}, {m} × {n} × {k}");
            assert_close(&parallel_product::<f32>(&left, &right, None), &expected, 1e-6, &what);
            let short = widen(&parallel_product::<bf16>(&left, &right, None));
            assert_close(&short, &expected, 1.0 / 256.0, &format!("{what}, stored as bf16"));
            let finish = |row: usize, first: usize, to: &mut [f32]| {
                to.iter_mut().enumerate().for_each(|(i, x)| *x = *x * 2.0 + (row * 100 + first + i) as f32);
            };
            let plain = parallel_product::<f32>(&left, &right, None);
            let doubled = parallel_product::<f32>(&left, &right, Some(&finish));
            for (at, (found, plain)) in doubled.iter().zip(plain).enumerate() {
                assert_eq!(*found, plain * 2.0 + (at / n * 100 + at % n) as f32, "{what}, finished");
            }
        }
    }
}

/// Operands with gaps between rows, as the heads of an attention have, in several segments.
#[test]
fn strided_segments_add_up() {
    if !cpu_computes_bf16() {
        return crate::skipped::skipped("a processor with bf16 products");
    }
    let (m, n, stride) = (7, 21, 90);
    let (a, b) = (noise(5, m * stride), noise(6, stride * stride));
    let [a_short, b_short] = [narrow(&a), narrow(&b)];
    let parts: [(usize, usize); 5] = [(0, 12), (12, 6), (20, 8), (28, 5), (36, 54)];
    for (name, columns) in [("rows", false), ("columns", true)] {
        let (mut lines, mut segments) = (Vec::new(), Vec::new());
        for (from, k) in parts {
            let start = lines.len();
            lines.resize(start + lines_of(k, n), pack::EMPTY);
            if columns {
                pack_columns(&mut lines[start..], &b_short[from..], stride, [k, n]);
            } else {
                pack_rows(&mut lines[start..], &b_short[from * stride..], stride, [k, n]);
            }
            segments.push(Segment { a: from, b: start, pairs: k.div_ceil(2) });
        }
        let mut found = vec![0f32; m * n];
        tile_rows::<false>(&mut found, n, [m, n], &a_short, stride, &lines, &segments);
        let mut added = found.clone();
        tile_rows::<true>(&mut added, n, [m, n], &a_short, stride, &lines, &segments);
        assert!(added.iter().zip(&found).all(|(added, once)| *added == 2.0 * once), "{name}, added");
        let index: Vec<usize> = parts.iter().flat_map(|(from, k)| *from..from + k).collect();
        let picked: Vec<f32> =
            (0..m).flat_map(|i| index.iter().map(move |p| (i, *p))).map(|(i, p)| a[i * stride + p]).collect();
        let right = |p: usize, j: usize| if columns { b[j * stride + index[p]] } else { b[index[p] * stride + j] };
        assert_close(&found, &oracle(&picked, right, [m, n, index.len()]), 1e-6, name);
    }
}

/// On every processor: by the instructions of AVX-512, or one by one.
#[test]
fn operands_are_turned() {
    let mut square = std::array::from_fn(|i| std::array::from_fn(|j| (16 * i + j) as u32));
    turn(&mut square);
    assert!((0..256).all(|at| square[at % 16][at / 16] == at as u32));
    for [k, n] in [[1, 1], [2, 16], [7, 5], [31, 17], [32, 64], [33, 80], [56, 64], [64, 31]] {
        let stride = n + 3;
        let rows = narrow(&noise(7, k * stride));
        let (mut turned, width) = (vec![bf16::NAN; 5], k.next_multiple_of(2));
        turn_rows(&mut turned, &rows, stride, [k, n]);
        assert_eq!(turned.len(), n * width);
        for (at, found) in turned.iter().enumerate() {
            let (i, j) = (at % width, at / width);
            let expected = if i < k { rows[i * stride + j] } else { bf16::ZERO };
            assert_eq!(*found, expected, "{k} × {n}, row {j}, column {i}");
        }
        let [mut by_columns, mut by_rows, mut rounded] = [(); 3].map(|()| vec![EMPTY; lines_of(k, n)]);
        pack_columns(&mut by_columns, &turned, width, [k, n]);
        pack_rows(&mut by_rows, &rows, stride, [k, n]);
        pack_rows(&mut rounded, &widen(&rows), stride, [k, n]);
        for (at, lines) in by_columns.iter().zip(&by_rows).zip(&rounded).enumerate() {
            let (panel, v) = (at / (width / 2 * LINES), at % LINES);
            let count = n.saturating_sub(panel * 64 + v * 16).min(16);
            let ((by_columns, by_rows), rounded) = lines;
            assert_eq!(by_columns.0[..count], by_rows.0[..count], "{k} × {n}, line {at}");
            assert_eq!(rounded.0[..count], by_rows.0[..count], "{k} × {n}, line {at}");
        }
    }
}
